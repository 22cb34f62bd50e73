"""`gradctl duplicates` against all pairs of cosines in float64."""

import json
import os
import signal
import time

import numpy as np
import pytest

from graddb import INTERRUPTED, IO, NOT_FOUND, OK, USAGE, finish, start
from terminal import run_on_terminal


def near(generator, base, angle):
    """A vector at this angle to `base`, of another length."""
    other = generator.standard_normal(base.shape)
    other -= base * (other @ base) / (base @ base)
    unit, side = base / np.linalg.norm(base), other / np.linalg.norm(other)
    return (np.cos(angle) * unit + np.sin(angle) * side) * generator.uniform(0.1, 10)


def planted(generator, rows, dims, groups, angle):
    """Rows with a common direction, and groups of near copies somewhere among them."""
    vectors = generator.standard_normal((rows, dims)) + 0.7
    order = generator.permutation(rows)
    for group in range(groups):
        members = order[3 * group : 3 * group + generator.integers(2, 4)]
        for member in members[1:]:
            vectors[member] = near(generator, vectors[members[0]], angle)
    return vectors.astype(np.float32)


def cosines(layers):
    """All pairs, over the layers together."""
    rows = np.concatenate([np.asarray(layer, dtype=np.float64) for layer in layers], axis=1)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    products = norms * norms.T
    return np.divide(rows @ rows.T, products, where=products > 0, out=np.zeros_like(products))


def components(pairs):
    """Sets of rows that pairs connect."""
    sets = {}
    for a, b in pairs:
        joined = sets.get(a, {a}) | sets.get(b, {b})
        for row in joined:
            sets[row] = joined
    return {frozenset(s) for s in sets.values()}


def true_pairs(cosine, above):
    first, second = np.nonzero(np.triu(cosine, 1) >= above)
    return list(zip(first.tolist(), second.tolist()))


def duplicates(database, *arguments):
    lines = database.json("duplicates", "t", *arguments).lines
    groups, summary = lines[:-1], lines[-1]
    assert [g["group"] for g in groups] == list(range(1, len(groups) + 1))
    sizes = [g["rows"] for g in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert all(g["rows"] == len(g["ids"]) == len(set(g["ids"])) >= 2 for g in groups)
    assert summary["groups"] == len(groups)
    assert summary["duplicates"] == sum(sizes) - len(groups)
    return groups, summary


def load(database, files, layers, codecs, row_group=None, **options):
    specifications = [
        f"{name}:{v.shape[1]}:{codec}" for (name, v), codec in zip(layers.items(), codecs)
    ]
    database.create("t", specifications, options.pop("fields", ()), row_group=row_group)
    database.ingest("t", files.tensors("v.safetensors", layers), checkpoint="c", **options)


# (rows, dims): the first is compared pair by pair, the others by bands.
@pytest.mark.parametrize("rows, dims", [(60, 24), (3000, 400), (1500, 5000)])
@pytest.mark.parametrize("codec", ["f32", "int8", "f16", "int4", "bit"])
def test_groups_are_those_of_all_pairs(database, files, rows, dims, codec):
    if codec == "bit" and dims < 100:
        pytest.skip("so few signs say little of an angle")
    generator = np.random.default_rng(rows + dims)
    vectors = planted(generator, rows, dims, groups=rows // 30, angle=0.06)
    load(database, files, {"grad": vectors}, [codec], row_group=100)
    # The planted pairs are at 0.998 and their neighbours far below: no codec moves one across.
    cosine = cosines([vectors])
    pairs = true_pairs(cosine, 0.99)
    assert len(pairs) >= rows // 30
    groups, summary = duplicates(database)
    assert {frozenset(g["ids"]) for g in groups} == components(pairs)
    assert (summary["pairs"], summary["rows"]) == (len(pairs), rows)
    if codec == "bit":  # whose cosines are the arcs of sines
        return
    slack = 1e-6 if codec == "f32" else 2e-2
    for group in groups:
        ids = group["ids"]
        inside = [cosine[a, b] for a, b in pairs if a in ids]
        assert group["lowest"] == pytest.approx(min(inside), abs=slack)
        assert group["highest"] == pytest.approx(max(inside), abs=slack)


def test_each_pair_is_found_with_the_recall_that_was_asked_for(database, files):
    """Hundreds of pairs just above the limit, where hashing finds fewest."""
    generator = np.random.default_rng(7)
    base = generator.standard_normal((700, 600))
    twins = np.array([near(generator, row, np.arccos(0.905)) for row in base])
    vectors = np.concatenate([base, twins]).astype(np.float32)
    load(database, files, {"grad": vectors}, ["f32"])
    for recall in (0.5, 0.9, 0.999):
        _, summary = duplicates(database, "--above", 0.9, "--recall", recall)
        # Five standard deviations below what is promised.
        least = 700 * recall - 5 * np.sqrt(700 * recall * (1 - recall))
        assert least <= summary["pairs"] <= 700
    _, summary = duplicates(database, "--above", 0.9, "--recall", 1)
    assert summary["pairs"] == 700
    # At the lowest recall hashing is not so careful: the search does take shortcuts.
    _, careless = duplicates(database, "--above", 0.9, "--recall", 0.001)
    assert careless["pairs"] < 700


def test_layers_count_together_or_alone(database, files):
    generator = np.random.default_rng(3)
    a = generator.standard_normal((800, 300)).astype(np.float32)
    b = (generator.standard_normal((800, 90)) * 5).astype(np.float32)
    b[17], a[17] = b[400], a[400] + 0.01 * a[17]
    a[99] = a[500]
    load(database, files, {"a": a, "b": b}, ["f32", "bf16"], row_group=64)
    groups, _ = duplicates(database, "--above", 0.95)
    assert [set(g["ids"]) for g in groups] == [{17, 400}]
    groups, _ = duplicates(database, "--above", 0.95, "--layers", "a")
    assert {frozenset(g["ids"]) for g in groups} == {frozenset((17, 400)), frozenset((99, 500))}
    groups, _ = duplicates(database, "--above", 0.95, "--layers", "b")
    assert [set(g["ids"]) for g in groups] == [{17, 400}]


@pytest.mark.parametrize("codec", ["int4", "bit"])
def test_cosines_are_those_of_queries_by_row(database, files, codec):
    """Where a codec distorts angles, a pair is what the query language says it is."""
    generator = np.random.default_rng(11)
    vectors = planted(generator, 600, 900, groups=20, angle=0.2)
    vectors[:3] = [np.eye(900)[0], 3 * np.eye(900)[0] + 1e-3, 5 * np.eye(900)[7]]
    load(database, files, {"grad": vectors}, [codec])
    script = "".join(f"SELECT id FROM t SCORE cosine TO ROW {i} TOP 600;" for i in range(600))
    cosine = np.zeros((600, 600))
    for line in database.query_result("-", stdin=script.encode()).lines:
        cosine[int(line["query"].split()[1]), line["id"]] = line["score"]
    assert (cosine == cosine.T).all()
    pairs = true_pairs(cosine, 0.9)
    assert pairs
    groups, summary = duplicates(database, "--above", 0.9, "--recall", 1 - 1e-6)
    assert summary["pairs"] == len(pairs)
    assert {frozenset(g["ids"]) for g in groups} == components(pairs)
    lowest = {frozenset(s): min(cosine[a, b] for a, b in pairs if a in s) for s in components(pairs)}
    assert {frozenset(g["ids"]): g["lowest"] for g in groups} == lowest


def test_rows_that_are_stored_alike_count_every_pair(database, files):
    """Thousands of equal rows are millions of pairs, and take no longer than one."""
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((5000, 128)).astype(np.float32)
    vectors[1000:4000] = vectors[0]
    vectors[4500] = vectors[0] + 0.001 * vectors[1]
    load(database, files, {"grad": vectors}, ["f32"], row_group=512)
    groups, summary = duplicates(database, "--above", 1)
    assert [set(g["ids"]) for g in groups] == [{0, *range(1000, 4000)}]
    assert summary["pairs"] == 3001 * 3000 // 2
    groups, summary = duplicates(database)
    assert [set(g["ids"]) for g in groups] == [{0, *range(1000, 4000), 4500}]
    assert summary["pairs"] == 3002 * 3001 // 2


def test_zero_rows_are_duplicates_of_none(database, files):
    vectors = np.random.default_rng(1).standard_normal((40, 16)).astype(np.float32)
    vectors[[3, 9, 20]] = 0
    vectors[30] = vectors[31]
    load(database, files, {"grad": vectors}, ["int8"])
    result = database.json("duplicates", "t")
    assert [line.get("ids") for line in result.lines] == [[30, 31], None]
    assert result.lines[-1]["rows"] == 40
    assert b"3 rows are zero" in result.stderr


def test_conditions_checkpoints_and_snapshots(database, files):
    generator = np.random.default_rng(2)
    first = generator.standard_normal((30, 32)).astype(np.float32)
    second = generator.standard_normal((30, 32)).astype(np.float32)
    first[5], second[8], second[9] = first[6], second[7], second[7]
    rows = [{"id": f"r{i}", "n": i} for i in range(30)]
    metadata = files.metadata("m.jsonl", rows)
    load(database, files, {"grad": first}, ["f32"], fields=["n:int"], metadata=metadata, tag="old")
    database.ingest("t", files.grad("w.safetensors", second), checkpoint="d", metadata=metadata)
    assert [g["ids"] for g in duplicates(database)[0]] == [["r7", "r8", "r9"]]
    for arguments in (["--checkpoint", "c"], ["--at", "old"], ["--at", "1"]):
        assert [g["ids"] for g in duplicates(database, *arguments)[0]] == [["r5", "r6"]]
    groups, summary = duplicates(database, "--where", "n != 8 AND n < 20")
    assert [g["ids"] for g in groups] == [["r7", "r9"]]
    assert summary["rows"] == 19


def test_what_is_asked_wrongly_is_refused(database, files, tmp_path):
    vectors = np.eye(8, dtype=np.float32)
    load(database, files, {"grad": vectors}, ["f32"])
    for arguments in (
        ["--above", 0.4], ["--above", 1.1], ["--recall", 0], ["--recall", 2], ["--checkpoint", "x"],
        ["--layers", "x*"], ["--at", "x"], ["--at", 7], ["--where", "n = 1"], ["--where", "TRUE TOP 5"],
    ):  # fmt: skip
        result = database.run("duplicates", "t", *arguments, "--json").expect(USAGE)
        assert result.stdout == b""
    database.run("duplicates", "u").expect(NOT_FOUND)
    database.run("duplicates", "t", "--out", tmp_path / "none" / "x").expect(IO)
    database.run("duplicates", "t", "--out", tmp_path).expect(IO)
    assert list(tmp_path.glob("*.partial")) == []


def test_groups_go_to_a_file_whole(database, files, tmp_path):
    vectors = np.random.default_rng(1).standard_normal((40, 16)).astype(np.float32)
    vectors[30] = vectors[31]
    load(database, files, {"grad": vectors}, ["f32"])
    out = tmp_path / "groups.jsonl"
    out.write_text("before")
    line = database.json("duplicates", "t", "--out", out).line
    assert line["groups"] == 1
    (group,) = map(json.loads, out.read_text().splitlines())
    assert group["ids"] == [30, 31]
    again = database.run("duplicates", "t", "--out", out).expect(OK)
    assert "1 groups" in again.text and "groups.jsonl" not in again.stderr.decode()


def test_on_a_terminal_and_interrupted(database, files):
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((20000, 512)).astype(np.float32)
    vectors[30] = vectors[31]
    load(database, files, {"grad": vectors}, ["int8"])
    screen = run_on_terminal("duplicates", "t", "--db", database.path, stream="stderr")
    assert screen.status == OK and "reading" in screen.terminal
    assert screen.pipe.decode().startswith("1.0000 to 1.0000  30  31\n")
    process = database.start("duplicates", "t", "--recall", "1", "--json")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.status == INTERRUPTED and result.stdout == b"", result


def test_a_reader_that_went_away_harms_nothing(database, files):
    vectors = np.repeat(np.random.default_rng(1).standard_normal((9000, 4)), 2, axis=0)
    load(database, files, {"grad": vectors.astype(np.float32)}, ["f32"])
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = finish(start("duplicates", "t", "--db", database.path, "--json", stdout=write_end))
    os.close(write_end)
    assert result.status in (IO, -13) and b"Fatal error" not in result.stderr, result
