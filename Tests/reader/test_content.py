"""The content hash by its definition, worked out by hand; ranges of snapshots; containers of deleted rows."""

import struct

import numpy as np
import pytest

import codec
import content
import versions
from history_model import Model
from xxh3 import xxh3

MODULUS = 1 << 64


def u64(*numbers):
    return b"".join((number % MODULUS).to_bytes(8, "little") for number in numbers)


def test_the_hash_of_two_rows_by_hand():
    """An f32 layer of 1,030 dims, two slabs of 4,096 and 24 bytes, at one checkpoint; a bit layer."""
    rng = np.random.default_rng(1)
    wide = rng.standard_normal((2, 1030)).astype(np.float32)
    bits = rng.standard_normal((2, 9)).astype(np.float32)
    model = Model({"wide": (1030, ["f32"]), "b": (9, ["bit", "f16"])}, {"s": "string", "n": "int"})
    model.ingest("c", ["é", "x"], [{"s": "a", "n": -1}, {"n": 2}], {"wide": wide, "b": bits}, 7, None)
    ids = [b"\x02\x02\0\0\0\xc3\xa9", b"\x02\x01\0\0\0x"]
    records = [ids[0] + b"\0\0\0\0\x04\x01\0\0\0a" + b"\x01\0\0\0\x01" + b"\xff" * 8,
               ids[1] + b"\x01\0\0\0\x01" + b"\x02" + bytes(7)]
    checkpoint = u64(xxh3(b"c")) + b"\x01" + u64(7) + b"\0" + bytes(8)
    assert len(checkpoint) == 26
    encodings = []
    for name, kind, given in (("wide", "f32", wide), ("b", "f16", bits), ("b", "bit", bits)):
        rows, summed = codec.encode_rows(kind, xxh3(name.encode()), given), 0
        for place in range(2):
            data = codec.pack(kind, rows.values)[place].tobytes()
            statistics = struct.pack("<ffd", rows.scales[place], rows.residual_norms[place],
                                     rows.squared_norms[place])
            words = [xxh3(ids[place]), xxh3(b"c"), xxh3(statistics), xxh3(data[:4096])]
            if len(data) > 4096:
                words.append(xxh3(data[4096:]))
            summed += xxh3(u64(*words))
        encodings += [xxh3(name.encode()), {"f32": 1, "f16": 2, "bit": 6}[kind], summed]
    expected = xxh3(u64(sum(map(xxh3, records)), xxh3(checkpoint), *encodings))
    assert model.newest.hash == f"{expected:016x}"


def test_the_empty_table_has_the_hash_of_zero_sums():
    model = Model({"g": (4, ["int8"])}, {})
    assert model.empty.hash == f"{xxh3(u64(0, 0, xxh3(b'g'), 4, 0)):016x}"


def test_checkpoints_tell_nothing_from_zero():
    terms = {content.checkpoint_term("c", step, weight)
             for step in (None, 0, -1) for weight in (None, 0.0, -0.0, 1.0)}
    assert len(terms) == 12


def test_order_and_numbers_do_not_matter_and_all_else_does():
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)

    def made(order, deleted=None, rows=rows, fields=({}, {}, {}), checkpoint="c"):
        model = Model({"g": (4, ["f32"])}, {"n": "int"})
        if deleted:
            model.ingest(checkpoint, ["gone"], [{}], {"g": rows[:1]})
            model.delete(["gone"])
            model.states.clear()
        model.ingest(checkpoint, [f"r{i}" for i in order], [fields[i] for i in order],
                     {"g": rows[order]})
        return model.newest

    first = made([0, 1, 2])
    assert made([2, 0, 1]).hash == first.hash == made([1, 2, 0], deleted=True).hash
    assert made([2, 0, 1]).held == first.held
    others = [made([0, 1]), made([0, 1, 2], rows=rows + 1), made([0, 1, 2], checkpoint="d"),
              made([0, 1, 2], fields=({}, {"n": 0}, {})), made([0, 1, 2], rows=rows[[1, 0, 2]])]
    assert len({first.hash, *(other.hash for other in others)}) == 6


@pytest.mark.parametrize("ranges,has", [([[0]], range(9)), ([[3, 5]], [3, 4]),
                                        ([[1, 2], [4, 6], [8]], [1, 4, 5, 8])])
def test_ranges(ranges, has):
    assert [n for n in range(9) if versions.has({"snapshots": ranges}, n)] == list(has)


@pytest.mark.parametrize("ranges", [[], [[3, 3]], [[4, 2]], [[1, 3], [3, 4]], [[5], [7]], [[4, 6], [1, 2]]])
def test_ranges_out_of_order_are_refused(ranges):
    with pytest.raises(ValueError):
        versions.has({"snapshots": ranges}, 1)
