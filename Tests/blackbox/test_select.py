"""`gradctl select` against greedy selection in float64, and against statements."""

import json
import signal
import time

import numpy as np
import pytest

from graddb import BAD_INPUT, INTERRUPTED, IO, NOT_FOUND, OK, USAGE, finish
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
        ["--coreset", "--fraction", "101%"], ["--coreset", "--fraction", 1.5], ["--coreset", "--fraction", "x"],
        ["--coreset", "--count", 3, "--fraction", "5%"], ["--coreset", "--query", query, "--count", 3],
        ["--coreset", "--count", 3, "--checkpoint", "x"], ["--coreset", "--count", 3, "--layers", "x"],
        ["--coreset", "--count", 3, "--where", "x = 1"], ["--coreset", "--count", 3, "--at", "x"],
        ["--coreset", "--count", 3, "--checkpoint", "c", "d"], ["--coreset", "--count", 3, "--reduce", "max"],
    ):  # fmt: skip
        database.run("select", "t", "--out", out, *arguments, "--json").expect(USAGE)
        assert not out.exists()
    database.run("select", "u", "--coreset", "--count", 3, "--out", out).expect(NOT_FOUND)
    for bad in (tmp_path, tmp_path / "none" / "x", "/proc/x"):
        database.run("select", "t", "--coreset", "--count", 3, "--out", bad).expect(IO)
    assert list(tmp_path.glob("*unfinished*")) == []


def test_on_a_terminal(database, files, out):
    database.create("t", ["grad:256:f32"], row_group=256)
    database.ingest("t", files.grad("v.safetensors", clustered(3000, 256, 1)), checkpoint="c")
    arguments = ["select", "t", "--db", database.path, "--coreset", "--count", 1500, "--out", out]
    screen = run_on_terminal(*arguments, stream="stderr")
    assert screen.status == OK and "choosing" in screen.terminal
    assert "1,500 of 3,000 rows" in screen.pipe.decode()
    assert run_on_terminal(*arguments, "--quiet", stream="stderr").terminal == ""
