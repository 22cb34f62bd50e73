"""`gradctl select` against greedy selection in float64, and against statements."""

import json
import signal
import time

import numpy as np
import pytest

from gradient_files import Files
from graddb import BAD_INPUT, INTERRUPTED, IO, NOT_FOUND, OK, USAGE, Database, finish
from terminal import run_on_terminal


def greedy(vectors, count, used=None):
    """Farthest-first traversal, row by row: (rows, distances when chosen, radius)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    used = norms > 0 if used is None else used & (norms > 0)
    unit = vectors / np.where(norms > 0, norms, 1)[:, None]
    mean = unit[used].mean(axis=0)
    toward = np.where(used, unit @ mean, -np.inf)
    chosen, scores = [int(np.argmax(toward))], [0.0]
    distance = np.maximum(0, 1 - unit @ unit[chosen[0]])
    free = used.copy()
    while True:
        free[chosen[-1]] = False
        if len(chosen) == count or not free.any():
            return chosen, scores, float(distance[free].max(initial=0))
        best = int(np.argmax(np.where(free, distance, -np.inf)))
        chosen.append(best)
        scores.append(float(distance[best]))
        distance = np.minimum(distance, np.maximum(0, 1 - unit @ unit[best]))


def select(database, out, *arguments, **options):
    summary = database.json("select", "t", "--out", out, *arguments, **options).line
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert summary["rows"] == len(lines) and summary["output"] == str(out)
    assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))
    assert not out.with_name(out.name + ".progress").exists()
    return lines, summary


@pytest.fixture
def out(tmp_path):
    return tmp_path / "chosen.jsonl"


def clustered(rows, dims, seed):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((40, dims)) * 3
    vectors = centres[generator.integers(0, 40, rows)] + generator.standard_normal((rows, dims))
    return (vectors * generator.uniform(0.01, 100, (rows, 1))).astype(np.float32)


@pytest.mark.parametrize(
    "rows, dims, count", [(5, 3, 5), (200, 8, 50), (3000, 24, 700), (1200, 3000, 300)]
)
def test_a_coreset_is_that_of_the_greedy_traversal(database, files, out, rows, dims, count):
    vectors = clustered(rows, dims, seed=rows)
    database.create("t", [f"grad:{dims}:f32"], row_group=100)
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c")
    lines, summary = select(database, out, "--coreset", "--count", count)
    chosen, scores, radius = greedy(vectors, count)
    assert [line["id"] for line in lines] == chosen
    assert [line["score"] for line in lines] == pytest.approx(scores, abs=1e-9)
    assert summary["radius"] == pytest.approx(radius, abs=1e-9)
    assert (summary["of"], summary["resumed"], summary["snapshot"]) == (rows, False, 1)


@pytest.mark.parametrize("codec", ["int8", "int4", "bit", "bf16"])
def test_distances_are_those_of_queries_by_row(database, files, out, codec):
    """The naive traversal over the scores that the query language gives."""
    rows = 300
    vectors = clustered(rows, 64, seed=9)
    database.create("t", [f"a:40:{codec}", "b:24:f16"], row_group=64)
    database.ingest(
        "t", files.tensors("v.safetensors", {"a": vectors[:, :40], "b": vectors[:, 40:]}), checkpoint="c"
    )
    script = "".join(f"SELECT id FROM t SCORE cosine TO ROW {i} TOP {rows};" for i in range(rows))
    cosine = np.zeros((rows, rows))
    for line in database.query_result("-", stdin=script.encode()).lines:
        cosine[int(line["query"].split()[1]), line["id"]] = line["score"]
    distance = np.maximum(0, 1 - cosine)
    lines, summary = select(database, out, "--coreset", "--fraction", "30%")
    assert len(lines) == 90
    nearest = distance[lines[0]["id"]].copy()
    free = np.ones(rows, bool)
    for line in lines[1:]:
        free[lines[line["rank"] - 2]["id"]] = False
        best = int(np.argmax(np.where(free, nearest, -1)))
        assert (line["id"], line["score"]) == (best, nearest[best])
        nearest = np.minimum(nearest, distance[best])
    free[lines[-1]["id"]] = False
    assert summary["radius"] == nearest[free].max()


def test_equal_distances_go_by_row_number_and_zero_rows_stay_out(database, files, out):
    vectors = np.zeros((40, 8), np.float32)
    vectors[np.arange(36), np.arange(36) % 6] = 2.0 ** (np.arange(36) % 5)  # exact in every step
    database.create("t", ["grad:8:f32"], ["n:int"], row_group=7)
    metadata = files.metadata("m.jsonl", [{"id": f"r{i}", "n": i} for i in range(40)])
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c", metadata=metadata)
    result = database.run("select", "t", "--coreset", "--count", 100, "--out", out, "--json").expect(OK)
    assert b"4 rows are zero" in result.stderr
    assert (result.line["rows"], result.line["of"], result.line["radius"]) == (36, 36, 0)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(36))
    assert [line["score"] for line in lines] == [0.0] + [1.0] * 5 + [0.0] * 30
    assert list(lines[0]) == ["rank", "id", "score", "n"]


def test_a_coreset_of_some_rows_layers_and_states(database, files, out):
    first, second = clustered(120, 20, seed=1), clustered(120, 20, seed=2)
    database.create("t", ["a:12:f32", "b:8:f32"], ["n:int"], row_group=16)
    metadata = files.metadata("m.jsonl", [{"id": i, "n": i % 7} for i in range(120)])
    for name, vectors in (("c", first), ("d", second)):
        tensors = {"a": vectors[:, :12], "b": vectors[:, 12:]}
        database.ingest(
            "t", files.tensors("v.safetensors", tensors), checkpoint=name, metadata=metadata
        )
    used = np.arange(120) % 7 > 2
    lines, summary = select(database, out, "--coreset", "--count", 20, "--where", "n > 2")
    chosen, _, radius = greedy(second, 20, used)
    assert [line["id"] for line in lines] == chosen
    assert summary["of"] == used.sum() and summary["radius"] == pytest.approx(radius)
    lines, _ = select(database, out, "--coreset", "--count", 20, "--layers", "b")
    assert [line["id"] for line in lines] == greedy(second[:, 12:], 20)[0]
    for state in (["--checkpoint", "c"], ["--at", 1]):
        lines, _ = select(database, out, "--coreset", "--fraction", 0.1, *state)
        assert [line["id"] for line in lines] == greedy(first, 12)[0]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_coreset_goes_on_after_a_kill(database, files, out, signal_number):
    vectors = clustered(2500, 256, seed=4)
    database.create("t", ["grad:256:f32"], row_group=256)
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c")
    arguments = ["--coreset", "--count", 1200]
    whole, _ = select(database, out, *arguments)
    expected = out.read_bytes()
    out.write_text("before")
    progress = out.with_name(out.name + ".progress")
    process = database.start("select", "t", "--out", out, *arguments)
    wait_for(progress)
    process.send_signal(signal_number)
    result = finish(process)
    assert result.status in (-9, INTERRUPTED), result
    assert out.read_text() == "before" and progress.exists()
    # Another question is refused, and takes nothing away.
    for other in (["--coreset", "--count", 1201], [*arguments, "--where", "row > 3"]):
        database.run("select", "t", "--out", out, *other, "--resume").expect(USAGE)
    _, summary = select(database, out, *arguments, "--resume")
    assert summary["resumed"] and out.read_bytes() == expected
    # Without progress it begins at the beginning; without --resume it always does.
    _, summary = select(database, out, *arguments, "--resume")
    assert not summary["resumed"] and out.read_bytes() == expected


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_damaged_progress_is_refused(database, files, out):
    database.create("t", ["grad:8:f32"])
    database.ingest("t", files.grad("v.safetensors", np.eye(8, dtype=np.float32)), checkpoint="c")
    progress = out.with_name(out.name + ".progress")
    for content in (b"", b"{}\n", b"{}\n" + bytes(16), b"x" * 100):
        progress.write_bytes(content)
        database.run("select", "t", "--coreset", "--count", 3, "--out", out, "--resume").expect(BAD_INPUT)
        assert progress.read_bytes() == content and not out.exists()
    select(database, out, "--coreset", "--count", 3)


def test_what_is_asked_wrongly_is_refused(database, files, out, tmp_path):
    database.create("t", ["grad:8:f32"])
    database.ingest("t", files.grad("v.safetensors", np.eye(8, dtype=np.float32)), checkpoint="c")
    query = files.npy("q.npy", np.ones((2, 8), np.float32))
    for arguments in (
        ["--coreset"], ["--count", 3], ["--coreset", "--count", 0], ["--coreset", "--fraction", "0%"],
        ["--coreset", "--fraction", "101%"], ["--coreset", "--fraction", 1.5],
        ["--coreset", "--fraction", "x"],
        ["--coreset", "--count", 3, "--fraction", "5%"], ["--coreset", "--query", query, "--count", 3],
        ["--coreset", "--count", 3, "--checkpoint", "x"], ["--coreset", "--count", 3, "--layers", "x"],
        ["--coreset", "--count", 3, "--where", "x = 1"], ["--coreset", "--count", 3, "--at", "x"],
        ["--coreset", "--count", 3, "--checkpoint", "c", "d"], ["--coreset", "--count", 3, "--reduce", "max"],
    ):  # fmt: skip
        database.run("select", "t", "--out", out, *arguments, "--json").expect(USAGE)
        assert not out.exists()
    database.run("select", "u", "--coreset", "--count", 3, "--out", out).expect(NOT_FOUND)
    for bad, status in (
        (tmp_path, IO), ("/dev/null", IO), (tmp_path / "none" / "x", IO), ("/proc/x", IO),
    ):  # fmt: skip
        database.run("select", "t", "--coreset", "--count", 3, "--out", bad).expect(status)
    assert list(tmp_path.glob("*.partial")) == []


def test_on_a_terminal(database, files, out):
    database.create("t", ["grad:256:f32"], row_group=256)
    database.ingest("t", files.grad("v.safetensors", clustered(3000, 256, 1)), checkpoint="c")
    arguments = ["select", "t", "--db", database.path, "--coreset", "--count", 1500, "--out", out]
    screen = run_on_terminal(*arguments, stream="stderr")
    assert screen.status == OK and "choosing" in screen.terminal
    assert "1,500 of 3,000 rows" in screen.pipe.decode()
    assert run_on_terminal(*arguments, "--quiet", stream="stderr").terminal == ""


# MARK: LESS


CHECKPOINTS = (("c1", 0.5), ("c2", 2.0), ("c3", 0.25))


@pytest.fixture(scope="module")
def trained(gradctl, tmp_path_factory):
    """Three checkpoints, the second of which lacks some rows, and 150 queries."""
    directory = tmp_path_factory.mktemp("trained")
    database, files = Database(directory / "db").init(), Files(directory)
    generator = np.random.default_rng(17)
    database.create("t", ["a:40:int8", "b:24:f32"], ["n:int", "s:string"], row_group=64)
    layers = {}
    for name, weight in CHECKPOINTS:
        count = 300 if name == "c2" else 400
        layers[name] = generator.standard_normal((count, 64)).astype(np.float32)
        rows = [{"id": f"r{i}", "n": i % 7, "s": f"'x' {i}"} for i in range(count)]
        database.ingest(
            "t",
            files.tensors("v.safetensors", {"a": layers[name][:, :40], "b": layers[name][:, 40:]}),
            checkpoint=name, weight=weight, metadata=files.metadata("m.jsonl", rows),
        )  # fmt: skip
    database.json(
        "precondition", "t", "--name", "fisher", "--kind", "diagonal", "--checkpoint", "c1", "c2", "c3"
    )
    queries = generator.standard_normal((150, 64)).astype(np.float32)
    path = files.tensors("it's q.safetensors", {"a": queries[:, :40], "b": queries[:, 40:]})
    return database, path, layers, queries


# fmt: off
SELECTIONS = [
    ([], "cosine", "MEAN", ""),
    (["--reduce", "max"], "cosine", "MAX", ""),
    (["--reduce", "sum", "--measure", "dot"], "dot", "SUM", ""),
    (["--checkpoint", "c1"], "cosine", "MEAN", "ACROSS 'c1'"),
    (["--checkpoint", "c3", "c1", "c2"], "cosine", "MEAN", "ACROSS 'c3', 'c1', 'c2'"),
    (["--checkpoint", "c1", "c2", "--reduce", "max"], "cosine", "MAX", "ACROSS 'c1', 'c2'"),
    (["--checkpoint", "c1", "--checkpoint", "c2", "--measure", "dot"], "dot", "MEAN", "ACROSS 'c1', 'c2'"),
    (["--where", "n < 3 AND s LIKE '%x%'"], "cosine", "MEAN", "WHERE n < 3 AND s LIKE '%x%'"),
    (["--precondition", "fisher"], "cosine", "MEAN", "PRECONDITION fisher"),
    (["--precondition", "fisher", "--checkpoint", "c3", "c2", "--reduce", "max", "--measure", "dot"],
     "dot", "MAX", "ACROSS 'c3', 'c2' PRECONDITION fisher"),
    (["--layers", "b", "--at", "2"], "cosine", "MEAN", "LAYERS 'b'"),
]
# fmt: on


@pytest.mark.parametrize("arguments, measure, reduction, clauses", SELECTIONS)
@pytest.mark.parametrize("size, limit", [("5%", "5%"), ("0.07", "7%"), ("0.3%", "0.3%"), (33, "33")])
def test_rows_are_those_of_the_statement(trained, out, arguments, measure, reduction, clauses, size, limit):
    database, path, _, _ = trained
    flag = "--count" if isinstance(size, int) else "--fraction"
    lines, summary = select(database, out, "--query", path, flag, size, *arguments)
    version = "AT 2 " if "--at" in arguments else ""
    rows = database.query(
        f"FROM t {version}SCORE {measure} TO $q {reduction} {clauses} TOP {limit}", params={"q": path}
    )
    for row in rows:
        del row["query"], row["end"]
    assert lines == rows and len(rows) > 0
    assert "radius" not in summary


def test_less_is_the_weighted_sum_of_mean_cosines(trained, out):
    database, path, layers, queries = trained
    lines, summary = select(
        database, out, "--query", path, "--fraction", "100%", "--checkpoint", "c1", "c2", "c3"
    )
    expected = np.zeros(400)
    unit = queries.astype(float) / np.linalg.norm(queries, axis=1, keepdims=True)
    for name, weight in CHECKPOINTS:
        rows = layers[name] / np.linalg.norm(layers[name], axis=1, keepdims=True)
        expected[: len(rows)] += weight * (rows @ unit.T).mean(axis=1)
    assert summary["rows"] == summary["of"] == 400
    scores = {line["id"]: line["score"] for line in lines}
    for row, score in enumerate(expected):
        assert scores[f"r{row}"] == pytest.approx(score, abs=3e-3)


@pytest.mark.parametrize(
    "more", [["--checkpoint", "c1", "c2"], ["--checkpoint", "c1", "c2", "--reduce", "max"], []]
)
def test_a_selection_goes_on_after_a_kill(database, files, out, more):
    generator = np.random.default_rng(3)
    database.create("t", ["grad:2000:f32"], row_group=128)
    for name in ("c1", "c2"):
        vectors = generator.standard_normal((3000, 2000)).astype(np.float32)
        database.ingest("t", files.grad("v.safetensors", vectors), checkpoint=name, weight=0.3)
    queries = generator.standard_normal((400, 2000)).astype(np.float32)
    path = files.npy("q.npy", queries)
    arguments = ["--query", path, "--fraction", "3%", *more]
    select(database, out, *arguments)
    expected = out.read_bytes()
    out.unlink()
    progress = out.with_name(out.name + ".progress")
    process = database.start("select", "t", "--out", out, *arguments, "--threads", 1)
    wait_for(progress)
    process.kill()
    assert finish(process).status == -9
    assert progress.exists() and not out.exists()
    _, summary = select(database, out, *arguments, "--resume")
    assert summary["resumed"] and out.read_bytes() == expected
    # Other queries of the same name, or a table that has gone on, are other questions.
    process = database.start("select", "t", "--out", out, *arguments, "--threads", 1)
    wait_for(progress)
    process.kill()
    finish(process)
    kept = progress.read_bytes()
    files.npy("q.npy", queries[::-1])
    result = database.run("select", "t", "--out", out, *arguments, "--resume").expect(USAGE)
    assert b"another selection" in result.stderr
    files.npy("q.npy", queries)
    database.ingest("t", files.grad("w.safetensors", vectors[:5] + 1), checkpoint="c3", weight=1)
    database.run("select", "t", "--out", out, *arguments, "--resume").expect(USAGE)
    assert progress.read_bytes() == kept and out.read_bytes() == expected
    again = [*arguments, "--at", 2] if more else arguments
    select(database, out, *again)
    assert not more or out.read_bytes() == expected


def test_two_at_a_time_write_one_whole_file(trained, out):
    database, path, _, _ = trained
    arguments = ["select", "t", "--query", path, "--count", 400, "--out", out, "--json"]
    processes = [database.start(*arguments) for _ in range(4)]
    for process in processes:
        finish(process).expect(OK)
    assert len(out.read_text().splitlines()) == 400
    assert [p.name for p in out.parent.glob("chosen*")] == ["chosen.jsonl"]


def test_queries_and_statements_that_do_not_fit_are_refused(trained, out, tmp_path):
    database, path, _, _ = trained
    for arguments, status in (
        (["--query", tmp_path / "none.npy"], BAD_INPUT),
        (["--query", path, "--where", "TRUE) TOP 5 --"], USAGE),
        (["--query", path, "--precondition", "none"], USAGE), (["--query", path, "--checkpoint", "x"], USAGE),
        (["--query", path, "--reduce", "least"], USAGE),
    ):  # fmt: skip
        database.run("select", "t", "--count", 3, "--out", out, *arguments).expect(status)
        assert list(tmp_path.glob("chosen*")) == []
