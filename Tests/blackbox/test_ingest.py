"""What goes in comes out: every kind of input, ids, metadata and checkpoints.

Most tables here are f32 with 4 dims. Asked by the 4 unit vectors, such a table's dot products are
its stored coordinates, exactly, so the tests read vectors back through queries alone.
"""

import numpy as np
import pytest

from gradient_files import frame, npy, safetensors, stream
from graddb import BAD_INPUT, OK, finish

DIMS = 4
# Small multiples of 1/8: every input type holds them exactly.
VECTORS = np.random.default_rng(3).integers(-64, 64, (12, DIMS)).astype(np.float32) / 8


@pytest.fixture
def table(database):
    database.create("t", [f"grad:{DIMS}:f32"], ["source:string", "tokens:int"])
    return database


def stored(database, files, source="t", across=""):
    """{id: vector} of the newest checkpoint, or of another, read back through unit queries."""
    axes = files.grad("axes.safetensors", np.eye(DIMS, dtype=np.float32))
    statement = f"SELECT row FROM {source} SCORE dot TO $axes {across} TOP 1000000"
    found = {}
    for line in database.query(statement, params={"axes": axes}):
        axis = int(line["query"].removeprefix("$axes[").removesuffix("]"))
        found.setdefault(line["id"], [None] * DIMS)[axis] = line["score"]
    return found


def expected(ids, vectors):
    return {id: vector.tolist() for id, vector in zip(ids, vectors)}


def rows_by_id(database, files, across=""):
    one = files.grad("one.safetensors", np.ones((1, DIMS), np.float32))
    statement = f"SELECT row FROM t SCORE dot TO $one {across} TOP 1000000"
    return {line["id"]: line["row"] for line in database.query(statement, params={"one": one})}


FILE_KINDS = {
    "safetensors f32": ("v.safetensors", lambda v: safetensors({"grad": v}, "F32")),
    "safetensors f16": ("v.safetensors", lambda v: safetensors({"grad": v}, "F16")),
    "safetensors bf16": ("v.safetensors", lambda v: safetensors({"grad": v}, "BF16")),
    "safetensors with metadata": (
        "v.safetensors",
        lambda v: safetensors({"grad": v}, "F32", {"format": "pt", "note": "{\"é\": [}"}),
    ),
    "npy 1.0 f32": ("v.npy", lambda v: npy(v)),
    "npy 1.0 f16": ("v.npy", lambda v: npy(v.astype(np.float16))),
    "npy 2.0 f32": ("v.npy", lambda v: npy(v, (2, 0))),
    "npy 3.0 f16": ("v.npy", lambda v: npy(v.astype(np.float16), (3, 0))),
}


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_every_kind_of_file_stores_the_same_vectors(table, files, kind):
    name, write = FILE_KINDS[kind]
    done = table.ingest("t", files.write(name, write(VECTORS)), checkpoint="c")
    assert (done["rows"], done["new_rows"], done["skipped"]) == (12, 12, 0)
    assert (done["table"], done["checkpoint"]) == ("t", "c")
    assert done["bytes"] >= VECTORS.nbytes and done["input_bytes"] > 0 and done["seconds"] >= 0
    assert stored(table, files) == expected(range(12), VECTORS)


def test_files_are_read_in_the_order_given(table, files):
    paths = [
        files.grad("b.safetensors", VECTORS[:5]),
        files.npy("c.npy", VECTORS[5:6]),
        files.grad("a.safetensors", VECTORS[6:], "F16"),
    ]
    metadata = files.metadata("m.jsonl", [{"id": f"x{i}"} for i in range(12)])
    assert table.ingest("t", *paths, checkpoint="c", metadata=metadata)["rows"] == 12
    assert stored(table, files) == expected([f"x{i}" for i in range(12)], VECTORS)


def test_a_directory_is_read_in_name_order(table, files):
    for name, part in (("shard-10", 1), ("shard-2", 2), ("shard-00", 0)):
        files.grad(f"shards/{name}.safetensors", VECTORS[4 * part : 4 * part + 4])
    assert table.ingest("t", files.directory / "shards", checkpoint="c")["rows"] == 12
    assert stored(table, files) == expected(range(12), VECTORS)


def test_a_stream_is_read_from_standard_input(table, files):
    messages = stream(safetensors({"grad": VECTORS[i : i + 3]}, "F16") for i in range(0, 12, 3))
    assert table.ingest("t", "-", checkpoint="c", stdin=messages)["rows"] == 12
    assert stored(table, files) == expected(range(12), VECTORS)


def test_a_stream_may_arrive_in_pieces_of_any_size(table, files):
    messages = stream(safetensors({"grad": VECTORS[i : i + 1]}) for i in range(12))
    process = table.start("ingest", "t", "-", "--checkpoint", "c")
    random = np.random.default_rng(1)
    while messages:
        size = int(random.integers(1, 60))
        process.stdin.write(messages[:size])
        process.stdin.flush()
        messages = messages[size:]
    finish(process).expect()
    assert stored(table, files) == expected(range(12), VECTORS)


def test_several_layers_come_from_one_file_or_message(database, files):
    database.create("t", ["a:4:f32", "b:3:f32", "mlp.0:5:f16"])
    random = np.random.default_rng(4)
    parts = [
        {n: random.standard_normal((6, d)).astype(np.float32) for n, d in layers}
        for layers in ([("a", 4), ("b", 3), ("mlp.0", 5)], [("mlp.0", 5), ("b", 3), ("a", 4)])
    ]
    database.ingest("t", files.tensors("p.safetensors", parts[0]), checkpoint="c")
    database.ingest("t", "-", checkpoint="c", stdin=frame(safetensors(parts[1])))
    query = {n: v[:1] * 0 for n, v in parts[0].items()}
    query["b"] = np.array([[0, 1, 0]], np.float32)
    file = files.tensors("q.safetensors", query)
    lines = database.query("SELECT row FROM t SCORE dot TO $q TOP 20", params={"q": file})
    both = np.concatenate([part["b"][:, 1] for part in parts]).astype(float)
    assert {line["id"]: line["score"] for line in lines} == dict(enumerate(both.tolist()))


def test_fields_come_back_as_they_were_given(database, files):
    fields = ["s:string", "i:int", "f:float", "b:bool"]
    database.create("t", [f"grad:{DIMS}:f32"], fields)
    rows = [
        {"id": "plain", "s": "alpaca", "i": 7, "f": 0.1, "b": True},
        {"id": "extremes", "s": "", "i": -(2**63), "f": 5e-324, "b": False},
        {"id": "größe 漢 😀", "s": "line\nbreak \"quoted\" \\ tab\t, \u0001", "i": 2**63 - 1},
        {"id": "nulls", "s": None, "i": None, "f": None, "b": None},
        {"id": "nothing"},
        {"id": "x" * 1000, "f": 3, "b": True},
        {"id": "7", "f": -1.5e300},
    ]
    metadata = files.metadata("m.jsonl", rows)
    source = files.grad("v.safetensors", VECTORS[:7])
    database.ingest("t", source, checkpoint="c", metadata=metadata)
    one = files.grad("one.safetensors", np.ones((1, DIMS), np.float32))
    lines = database.query("SELECT s, i, f, b FROM t SCORE dot TO $q TOP 9", params={"q": one})
    got = {line["id"]: {name: line[name] for name in "sifb"} for line in lines}
    assert got == {row["id"]: {name: row.get(name) for name in "sifb"} for row in rows}


def test_equivalent_spellings_are_different_strings(table, files):
    """One scalar or two for the same letter: a careless string type takes them for equal."""
    spellings = ["gr\u00f6\u00dfe", "gro\u0308\u00dfe"]
    rows = [{"id": f"{s}{i}", "source": s} for i in range(2) for s in spellings]
    metadata = files.metadata("m.jsonl", rows)
    table.ingest("t", files.grad("v.safetensors", VECTORS[:4]), checkpoint="c", metadata=metadata)
    one = files.grad("one.safetensors", np.ones((1, DIMS)))
    lines = table.query("SELECT source FROM t SCORE dot TO $q", params={"q": one})
    assert {line["id"]: line["source"] for line in lines} == {r["id"]: r["source"] for r in rows}
    for spelling in spellings:
        where = f"SELECT row FROM t SCORE dot TO $q WHERE source = '{spelling}'"
        kept = table.query(where, params={"q": one})
        assert {line["id"] for line in kept} == {f"{spelling}0", f"{spelling}1"}


def test_integer_ids_are_any_of_64_bits(table, files):
    ids = [12345678901234, -1, 0, 2**63 - 1, -(2**63)]
    metadata = files.metadata("m.jsonl", [{"id": id, "tokens": 1} for id in ids])
    table.ingest("t", files.grad("v.safetensors", VECTORS[:5]), checkpoint="c", metadata=metadata)
    assert stored(table, files) == expected(ids, VECTORS)


def test_a_string_id_is_never_taken_for_the_integer_of_its_digits(table, files):
    """One table may hold both, as two rows, or refuse the second kind; it may not mix them up."""
    metadata = files.metadata("m.jsonl", [{"id": "7"}, {"id": 7}])
    source = files.grad("v.safetensors", VECTORS[:2])
    words = ["ingest", "t", source, "--checkpoint", "c", "--metadata", metadata]
    if table.run(*words).expect(OK, BAD_INPUT).status == OK:
        assert stored(table, files) == expected(["7", 7], VECTORS)


def test_without_metadata_ids_count_the_rows_of_the_checkpoint(table, files):
    named = files.metadata("m.jsonl", [{"id": id} for id in (100, 200)])
    first = table.ingest("t", files.grad("a.safetensors", VECTORS[:3]), checkpoint="c1")
    second = table.ingest(
        "t", files.grad("b.safetensors", VECTORS[3:5]), checkpoint="c1", metadata=named
    )
    third = table.ingest("t", files.grad("c.safetensors", VECTORS[5:9]), checkpoint="c1")
    assert [done["new_rows"] for done in (first, second, third)] == [3, 2, 4]
    ids = [0, 1, 2, 100, 200, 5, 6, 7, 8]
    assert stored(table, files) == expected(ids, VECTORS)
    other = table.ingest("t", files.grad("d.safetensors", VECTORS[:4]), checkpoint="c2")
    # 3 is new: in the first checkpoint the fourth row came as 100.
    assert (other["rows"], other["new_rows"]) == (4, 1)
    assert stored(table, files) == expected(range(4), VECTORS)


def test_a_second_checkpoint_in_another_order_is_the_same_rows(table, files):
    rows = [{"id": f"x{i}", "source": "s", "tokens": i} for i in range(12)]
    table.ingest(
        "t",
        files.grad("1.safetensors", VECTORS),
        checkpoint="c1",
        metadata=files.metadata("1.jsonl", rows),
    )
    numbers = rows_by_id(table, files)
    assert numbers == {f"x{i}": i for i in range(12)}
    shuffled = np.random.default_rng(5).permutation(12)
    later = [{"id": rows[i]["id"]} if i % 2 else rows[i] for i in shuffled]
    done = table.ingest(
        "t",
        files.grad("2.safetensors", -2 * VECTORS[shuffled]),
        checkpoint="c2",
        metadata=files.metadata("2.jsonl", later),
    )
    assert (done["rows"], done["new_rows"]) == (12, 0)
    ids = [f"x{i}" for i in range(12)]
    assert stored(table, files) == expected(ids, -2 * VECTORS)
    assert stored(table, files, across="ACROSS 'c1'") == expected(ids, VECTORS)
    assert rows_by_id(table, files) == rows_by_id(table, files, "ACROSS 'c1'") == numbers
    assert table.info("t")["rows"] == 12


def test_a_row_without_a_vector_in_the_checkpoint_is_not_a_zero_row(table, files):
    names = [{"id": f"x{i}"} for i in range(12)]
    table.ingest(
        "t",
        files.grad("1.safetensors", VECTORS[:8]),
        checkpoint="c1",
        metadata=files.metadata("1.jsonl", names[:8]),
    )
    done = table.ingest(
        "t",
        files.grad("2.safetensors", VECTORS[5:]),
        checkpoint="c2",
        metadata=files.metadata("2.jsonl", names[5:]),
    )
    assert (done["rows"], done["new_rows"]) == (7, 4)
    assert set(stored(table, files)) == {f"x{i}" for i in range(5, 12)}
    assert set(stored(table, files, across="ACROSS 'c1'")) == {f"x{i}" for i in range(8)}
    checkpoints = {c["name"]: c["rows"] for c in table.info("t")["checkpoints"]}
    assert checkpoints == {"c1": 8, "c2": 7} and table.info("t")["rows"] == 12


@pytest.mark.parametrize("named", [True, False], ids=["named ids", "counted ids"])
def test_resume_takes_only_what_is_missing(table, files, named):
    whole = files.grad("whole.safetensors", VECTORS)
    part = files.grad("part.safetensors", VECTORS[:5])
    names = [{"id": f"x{i}"} for i in range(12)]
    all_names = files.metadata("whole.jsonl", names) if named else None
    five_names = files.metadata("part.jsonl", names[:5]) if named else None
    table.ingest("t", part, checkpoint="c", metadata=five_names)
    done = table.ingest("t", whole, checkpoint="c", metadata=all_names, resume=True)
    assert (done["rows"], done["new_rows"], done["skipped"]) == (7, 7, 5)
    again = table.ingest("t", whole, checkpoint="c", metadata=all_names, resume=True)
    assert (again["rows"], again["new_rows"], again["skipped"]) == (0, 0, 12)
    assert again["snapshot"] == done["snapshot"]
    assert len(table.snapshots("t")) == len({s["snapshot"] for s in table.snapshots("t")})
    ids = [f"x{i}" for i in range(12)] if named else range(12)
    assert stored(table, files) == expected(ids, VECTORS)


def test_resume_into_an_empty_checkpoint_takes_everything(table, files):
    done = table.ingest(
        "t", files.grad("v.safetensors", VECTORS), checkpoint="c", resume=True
    )
    assert (done["rows"], done["skipped"]) == (12, 0)
    assert stored(table, files) == expected(range(12), VECTORS)


def test_an_id_may_return_in_another_checkpoint_but_not_in_the_same(table, files):
    name = files.metadata("m.jsonl", [{"id": "x"}])
    source = files.grad("v.safetensors", VECTORS[:1])
    table.ingest("t", source, checkpoint="c1", metadata=name)
    table.ingest("t", source, checkpoint="c2", metadata=name)
    refused = table.run("ingest", "t", source, "--checkpoint", "c1", "--metadata", name)
    refused.expect(BAD_INPUT)
    assert b"x" in refused.stderr
    assert len(table.info("t")["checkpoints"]) == 2


@pytest.mark.parametrize("row_group", [1, 7, 1024])
def test_row_groups_of_any_size_hold_all_rows(database, files, row_group):
    database.create("t", [f"grad:{DIMS}:f32"], [], row_group)
    database.ingest("t", files.grad("1.safetensors", VECTORS[:9]), checkpoint="c")
    database.ingest("t", files.grad("2.safetensors", VECTORS[9:]), checkpoint="c")
    assert stored(database, files) == expected(range(12), VECTORS)
    assert database.info("t")["row_group"] == row_group
    assert database.check()["problems"] == 0
