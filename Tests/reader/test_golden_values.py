"""The golden values decode to what the JSON beside them says, and a flipped bit never does."""

import glob
import itertools
import json
import os

import numpy as np
import pytest

import codec
import values
import versions
from block import Block

# A decoded int8, int4 or bit vector may differ by this: the JSON gives seven decimals.
DECODED_TOLERANCE = 1e-7
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "format-spec", "vectors", "values")


def read(name):
    with open(os.path.join(FOLDER, name), "rb") as file:
        return file.read()


def described(pattern):
    """The descriptions that match, as test arguments named after their files."""
    names = sorted(os.path.basename(path) for path in glob.glob(os.path.join(FOLDER, pattern)))
    return [pytest.param(json.loads(read(name)), id=name[: -len(".json")]) for name in names]


def load_group(golden):
    """The rows of a golden row group, from its slabs, and their blocks."""
    blocks = [Block(read(place["file"])) for place in golden["blocks"]]
    stored = np.concatenate([block.rows for block in blocks], axis=1)
    values = codec.unpack(golden["codec"], golden["dims"], stored)
    assert np.array_equal(codec.pack(golden["codec"], values), stored)
    rows = codec.Encoded(values, blocks[0].scales, blocks[0].squared_norms,
                         blocks[0].residual_norms)
    return rows, blocks


def same(actual, expected):
    """Exactly equal, type and sign of zero included."""
    if isinstance(expected, float):
        return type(actual) is float and np.float64(actual).tobytes() == np.float64(
            expected).tobytes()
    return type(actual) is type(expected) and actual == expected


def test_every_kind_of_value_has_golden_files():
    kinds = [f"block-{name}-*" for name in codec.DTYPES]
    kinds += ["row-record-*", "key-*", "column-*", "row-map*", "catalog-*", "deleted-rows-*"]
    for kind in kinds:
        assert glob.glob(os.path.join(FOLDER, kind + ".json")), kind


@pytest.mark.parametrize("golden", described("block-*.json"))
def test_blocks_decode(golden):
    rows, blocks = load_group(golden)
    seed = int(golden["seed"], 16)
    for block, place in zip(blocks, golden["blocks"]):
        assert block.key().hex() == place["key"]
        block.check_place(golden["dims"], golden["codec"], len(golden["rows"]))
        for name in ("slab", "first_dim", "dims", "stride", "rows_per_chunk"):
            assert getattr(block, name) == place[name]
    decoded = codec.decode(golden["codec"], seed, rows)
    for i, expected in enumerate(golden["rows"]):
        stored = np.array(expected["stored"], codec.DTYPES[golden["codec"]])
        assert rows.values[i].tobytes() == stored.tobytes()
        assert float(rows.scales[i]) == expected["scale"]
        assert float(rows.residual_norms[i]) == expected["residual_norm"]
        assert float(rows.squared_norms[i]) == expected["squared_norm"]
        if "decoded" in expected:
            difference = np.abs(decoded[i] - np.array(expected["decoded"])).max()
            assert difference <= DECODED_TOLERANCE
        elif golden["codec"] not in codec.ROTATED:
            assert decoded[i].tobytes() == stored.astype(np.float32).tobytes()


@pytest.mark.parametrize("golden", described("block-*.json"))
def test_least_and_greatest_squared_norm_are_in_slab_0_only(golden):
    _, blocks = load_group(golden)
    norms = [row["squared_norm"] for row in golden["rows"]]
    said = [(block.least_squared_norm, block.greatest_squared_norm) for block in blocks]
    assert said == [(min(norms), max(norms))] + [(0, 0)] * (len(blocks) - 1)


@pytest.mark.parametrize("name", ["block-int8-7-slab-0", "block-f32-7-slab-0",
                                  "block-f32-4097-slab-4", "block-bit-9-slab-0",
                                  "block-int4-7-slab-0"])
def test_every_flipped_bit_of_a_block_is_detected(name):
    whole = read(name + ".bin")
    Block(whole)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            Block(bytes(damaged))


def test_a_flipped_bit_in_each_chunk_of_a_large_block_is_detected():
    whole = read("block-f32-1024-slab-0.bin")
    payload = 128 + 16 * 5
    for at in [*range(payload, payload + 5 * 4096, 997), *range(len(whole) - 16, len(whole))]:
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        with pytest.raises(ValueError, match="chunk"):
            Block(bytes(damaged))


@pytest.mark.parametrize("golden", described("block-int8-7.json"))
def test_a_block_that_is_cut_short_or_has_more_bytes_is_refused(golden):
    whole = read(golden["blocks"][0]["file"])
    for damaged in [whole[:size] for size in range(len(whole))] + [whole + b"\0"]:
        with pytest.raises(ValueError):
            Block(damaged)


@pytest.mark.parametrize("golden", described("row-record-*.json"))
def test_row_records_decode(golden):
    row_id, fields = values.row_record(read(golden["file"]))
    assert same(row_id, golden["value"]["id"])
    assert {str(number) for number in fields} == set(golden["value"]["fields"])
    assert all(same(fields[int(k)], v) for k, v in golden["value"]["fields"].items())


@pytest.mark.parametrize("golden", described("key-*.json"))
def test_keys_decode(golden):
    key = bytes.fromhex(golden["key"])
    table = int.from_bytes(key[:4], "big")
    assert values.id_key(table, golden["value"]["id"]) == key
    assert values.row_numbers(read(golden["file"])) == golden["value"]["rows"]
    with pytest.raises(ValueError):
        values.row_numbers(read(golden["file"]) * 2)


@pytest.mark.parametrize("golden", described("column-*.json"))
def test_columns_decode(golden):
    kind, first_row, column = values.column_block(read(golden["file"]))
    expected = golden["value"]
    assert kind == values.TYPE_NUMBERS[expected["type"]]
    assert first_row == expected["first_row"]
    assert len(column) == len(expected["values"])
    assert all(map(same, column, expected["values"]))


@pytest.mark.parametrize("golden", described("row-map*.json"))
def test_row_maps_decode(golden):
    assert values.row_map(read(golden["file"])) == golden["value"]


@pytest.mark.parametrize("golden", described("deleted-rows-*.json"))
def test_deleted_rows_decode(golden):
    key = bytes.fromhex(golden["key"])
    table, snapshot = int.from_bytes(key[:4], "big"), int.from_bytes(key[-8:], "big")
    assert versions.deleted_rows_key(table, 0, snapshot) == key
    rows = versions.container_rows(read(golden["file"]))
    assert len(rows) == 65536 and np.flatnonzero(rows).tolist() == golden["value"]


@pytest.mark.parametrize("golden", described("catalog-*.json"))
def test_catalog_documents_decode(golden):
    assert json.loads(read(golden["file"])) == golden["value"]


@pytest.mark.parametrize("golden", described("row-record-string-0.json"))
def test_a_row_record_that_is_cut_short_is_refused(golden):
    whole = read(golden["file"])
    # Behind the id and behind each field it could end: alpaca-0, "alpaca", 17, 2.5.
    ends = set(itertools.accumulate([1 + 4 + 8, 4 + 1 + 4 + 6, 4 + 1 + 8, 4 + 1 + 8]))
    for size in set(range(len(whole))) - ends:
        with pytest.raises(ValueError):
            values.row_record(whole[:size])
