"""Makes format-spec/vectors/values/: raw values of every kind, with what they decode to.

What the JSON says comes from the inputs below and from this reader's own encoder. The values that
gradctl wrote are then decoded and must agree, or nothing is made.
"""

import os

import numpy as np

import codec
import golden_json
import gradctl
import values
import versions
from block import Block
from database import Database

CHECKPOINT = "step-1"
FIELDS = ["source:string", "tokens:int", "loss:float", "flagged:bool", "note:string"]
IDS = ["alpaca-0", "é", "the third", "0"]
ROWS = [
    {"source": "alpaca", "tokens": 17, "loss": 2.5, "flagged": True},
    {"source": "dölly", "tokens": -(2**63), "loss": -0.0},
    {},
    {"source": "alpaca", "tokens": 2**63 - 1, "loss": 1e300, "flagged": False},
]
INTEGER_IDS = [-5, 0, 2**63 - 1, -(2**63), 41]
SHUFFLED = [3, 1, 4]
# Longer rows than this have no `decoded` in the JSON.
MOST_DECODED_DIMS = 5000


def small_layers(rng):
    """Four rows of 7 (bit: 9) and 64 dims in each codec, with the values where roundings
    differ."""
    third, tiny = np.float32(1) / np.float32(3), np.float32(2.0**-149)
    seven = {
        "f32": [[third, -0.0, tiny, 3.4028234663852886e38, -1, 0.5, 1e-3],
                [0] * 7, [1, 2, 3, 4, 5, 6, 7], [-1e-38, 1e20, 0, 0, 0, 0, third]],
        "f16": [[third, -0.0, 6e-8, 65519, -2e-8, 1 + 2.0**-11, 1 + 3 * 2.0**-11],
                [0] * 7, [1, 2, 3, 4, 5, 6, 7], [6.1e-5, 5.9e-5, -65504, 1e-3, 0, 0, 0]],
        "bf16": [[third, -0.0, tiny, 3.38e38, -1e-40, 1 + 2.0**-8, 1 + 3 * 2.0**-8],
                 [0] * 7, [1, 2, 3, 4, 5, 6, 7], [-1e-38, 1e20, 0, 0, 0, 0, third]],
        "int4": [[third, -0.0, 1e-3, 0.25, -1, 0.5, 0.75],
                 [0] * 7, [1, 2, 3, 4, 5, 6, 7], [0, 0, 1e-30, 0, 0, 0, 0]],
        "bit": [[third, -0.0, 1e-3, 0.25, -1, 0.5, 0.75, 2, -2],
                [0] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 0, 1e-30, 0, 0, 0, 0, 0, 0]],
        "int8": [[third, -0.0, 1e-3, 0.25, -1, 0.5, 0.75],
                 [0] * 7, [1, 2, 3, 4, 5, 6, 7], [0, 0, 1e-30, 0, 0, 0, 0]],
    }
    layers = {}
    for name, rows in seven.items():
        layers[f"{name}-{len(rows[0])}"] = np.array(rows, np.float32)
        wide = rng.integers(-64, 64, (4, 64)).astype(np.float32) / 16
        wide[1] = 0
        layers[f"{name}-64"] = wide
    return layers


def large_layers(rng):
    """Two rows of 4,097 dims: several slabs, the last of one dim, in all codecs but int4 and
    bit."""
    rows = rng.integers(-3, 4, (2, 4097)).astype(np.float32)
    rows[1] = 0
    return {f"{name}-4097": rows for name in ("f32", "f16", "bf16", "int8")}


def long_layers(rng):
    """A row of int4 and one of bit, in two slabs, the second of one dim."""
    return {f"{name}-{dims}": rng.integers(-3, 4, (1, dims)).astype(np.float32)
            for name, dims in (("int4", 8193), ("bit", 32769))}


def chunked_layer(rng):
    """Five rows of 1,024 dims: a stride of 4,096 bytes, so a second chunk with one row."""
    rows = rng.integers(1, 9, (5, 1024)) * (rng.random((5, 1024)) < 0.1)
    return {"f32-1024": rows.astype(np.float32)}


def make(folder, scratch):
    db = os.path.join(scratch, "values-db")
    rng = np.random.default_rng(20260131)
    tables = {"small": small_layers(rng), "large": large_layers(rng), "long": long_layers(rng),
              "chunked": chunked_layer(rng)}
    gradctl.run(db, "init")
    for table, layers in tables.items():
        specs = [f"{name}:{rows.shape[1]}:{name.split('-')[0]}" for name, rows in layers.items()]
        fields = FIELDS if table == "small" else []
        gradctl.run(db, "create", table, *_options("--layer", specs), *_options("--field", fields))
    gradctl.ingest(db, "small", scratch, tables["small"], CHECKPOINT, IDS, ROWS,
                   ["--step", 300, "--weight", 2e-5, "--tag", "final", "--message", "hé"])
    gradctl.ingest(db, "large", scratch, tables["large"], CHECKPOINT)
    gradctl.ingest(db, "long", scratch, tables["long"], CHECKPOINT)
    gradctl.ingest(db, "chunked", scratch, tables["chunked"], CHECKPOINT, INTEGER_IDS)
    shuffled = {name: rows[:3] for name, rows in tables["chunked"].items()}
    gradctl.ingest(db, "chunked", scratch, shuffled, "step-2", [INTEGER_IDS[i] for i in SHUFFLED])
    write_deleted(db, scratch)
    with Database(db) as database:
        for table, layers in tables.items():
            for name, rows in layers.items():
                make_blocks(folder, database.table(table), name, rows)
        make_rows(folder, database)
        make_deleted(folder, database.table("again"))
        make_columns(folder, database.table("small"))
        make_catalog(folder, database)


def make_blocks(folder, table, name, given):
    """All slabs of a layer's one row group, and the rows that they hold together."""
    layer, segment = table.layer(name), table.segments[0]
    seed = int(layer["seed"], 16)
    expected = codec.encode_rows(layer["codec"], seed, given)
    decoded = codec.decode(layer["codec"], seed, expected)
    numbers, actual = table.encoded(CHECKPOINT, layer)
    assert numbers == list(range(len(given)))
    assert actual.values.tobytes() == expected.values.tobytes()
    assert actual.scales.tobytes() == expected.scales.tobytes()
    assert actual.squared_norms.tobytes() == expected.squared_norms.tobytes()
    assert actual.residual_norms.tobytes() == expected.residual_norms.tobytes()

    slabs, slab = [], 0
    while (raw := table.store.get("blocks", _block_key(table, segment, layer, slab))) is not None:
        block, file = Block(raw), f"block-{name}-slab-{slab}.bin"
        _write(folder, file, raw)
        slabs.append({"file": file, "key": _block_key(table, segment, layer, slab).hex(),
                      "slab": slab, "first_dim": block.first_dim, "dims": block.dims,
                      "stride": block.stride, "rows_per_chunk": block.rows_per_chunk})
        slab += 1
    described = [
        {"scale": golden_json.number(expected.scales[i].astype(np.float64)),
         "residual_norm": golden_json.number(expected.residual_norms[i].astype(np.float64)),
         "squared_norm": golden_json.number(expected.squared_norms[i]),
         "stored": golden_json.row(expected.values[i])}
        for i in range(len(given))
    ]
    if layer["codec"] in codec.ROTATED and layer["dims"] <= MOST_DECODED_DIMS:
        for i, row in enumerate(described):
            row["decoded"] = golden_json.row(decoded[i], decimals=7)
    golden_json.write(os.path.join(folder, f"block-{name}.json"), {
        "what": "the blocks of one row group in one layer", "codec": layer["codec"],
        "dims": layer["dims"], "seed": layer["seed"], "blocks": slabs, "rows": described,
    })


def make_rows(folder, database):
    """Row records, keys and row maps: of string ids with fields, and of integer ids."""
    small, chunked = database.table("small"), database.table("chunked")
    names = [field.split(":")[0] for field in FIELDS]
    for stem, table, ids, fields in [("string", small, IDS, ROWS),
                                     ("integer", chunked, INTEGER_IDS, None)]:
        for row in (0, 1, 2):
            key = values.row_key(table.number, row)
            found = {str(names.index(name)): value
                     for name, value in (fields[row] if fields else {}).items()}
            raw = table.store.get("rows", key)
            assert values.row_record(raw) == (ids[row], {int(k): v for k, v in found.items()})
            _golden(folder, f"row-record-{stem}-{row}", raw, key, "a row record",
                    {"id": ids[row], "fields": found})
        key = values.id_key(table.number, ids[1])
        raw = table.store.get("keys", key)
        assert values.row_numbers(raw) == [1]
        _golden(folder, f"key-{stem}", raw, key, "a key's row numbers", {"id": ids[1], "rows": [1]})
    for segment, expected in zip(chunked.segments, [[0, 1, 2, 3, 4], SHUFFLED]):
        key = values.row_map_key(chunked.number, segment["segment"], 0)
        raw = chunked.store.get("fields", key)
        assert values.row_map(raw) == expected
        _golden(folder, f"row-map-{len(expected)}", raw, key, "a row map", expected)


def write_deleted(db, scratch):
    """Rows 1 and 2 of four deleted; the id of row 1 comes again as row 4, is deleted, and comes again."""
    gradctl.run(db, "create", "again", "--layer", "grad:1:f32")
    vectors = {"grad": np.ones((4, 1), np.float32)}
    gradctl.ingest(db, "again", scratch, vectors, CHECKPOINT, IDS)
    for deleted in (IDS[1:3], IDS[1:2]):
        gradctl.run(db, "delete", "again", "--ids", "-", script="\n".join(deleted))
        gradctl.ingest(db, "again", scratch, {"grad": vectors["grad"][:1]}, CHECKPOINT, IDS[1:2])


def make_deleted(folder, table):
    """An id with three row numbers, and a container as each of its snapshots has it."""
    key = values.id_key(table.number, IDS[1])
    raw = table.store.get("keys", key)
    assert values.row_numbers(raw) == [1, 4, 5]
    _golden(folder, "key-again", raw, key, "a key's row numbers", {"id": IDS[1], "rows": [1, 4, 5]})
    for snapshot, rows in ((2, [1, 2]), (4, [1, 2, 4])):
        key = versions.deleted_rows_key(table.number, 0, snapshot)
        raw = table.store.get("fields", key)
        assert np.flatnonzero(versions.container_rows(raw)).tolist() == rows
        _golden(folder, f"deleted-rows-{len(rows)}", raw, key, "a container of deleted rows", rows)


def make_columns(folder, table):
    columns = [(i, *field.split(":")) for i, field in enumerate(FIELDS)]
    for number, name, kind in [*columns, (values.ID_COLUMN, "id", "string")]:
        expected = IDS if name == "id" else [row.get(name) for row in ROWS]
        key = values.column_key(table.number, number, 0)
        raw = table.store.get("fields", key)
        assert values.column_block(raw) == (values.TYPE_NUMBERS[kind], 0, expected)
        _golden(folder, f"column-{name}", raw, key, "a column block",
                {"type": kind, "first_row": 0, "values": expected})


def make_catalog(folder, database):
    """The documents as they are; what they must say is checked here and in the tests."""
    number = f"{database.table('small').number:08x}"
    for key, document in database.catalog.items():
        if key in ("database", "counters", "table/small") or f"/{number}" in key:
            stem = "catalog-" + key.split("/")[0]
            _golden(folder, stem, database.store.get("catalog", key.encode()), key.encode(),
                    "a catalog document", document)
    assert database.table("small").tags == {"final": 1}


def _golden(folder, stem, raw, key, what, value):
    _write(folder, stem + ".bin", raw)
    golden_json.write(os.path.join(folder, stem + ".json"),
                      {"what": what, "file": stem + ".bin", "key": key.hex(), "value": value})


def _write(folder, name, raw):
    with open(os.path.join(folder, name), "wb") as out:
        out.write(raw)


def _block_key(table, segment, layer, slab):
    return values.block_key(table.number, segment["segment"], 0, layer["encoding"], slab)


def _options(option, specs):
    return [part for spec in specs for part in (option, spec)]
