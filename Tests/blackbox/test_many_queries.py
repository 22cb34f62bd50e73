"""Thousands of queries: right, and in memory that does not grow with their number."""

import json
import os
import struct
import subprocess

import numpy as np
import pytest

from graddb import GRADCTL, Database, environment
from gradient_files import Files

ROWS, DIMS, MANY = 40, 24, 5_000
WIDE, WIDE_ROWS, WIDE_QUERIES = 65_536, 48, 4_096
LIMIT_BYTES = 640 << 20


@pytest.fixture(scope="module")
def small(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("many")
    files, database = Files(directory), Database(directory / "db").init()
    database.create("t", [f"grad:{DIMS}:f32"], row_group=16)
    random = np.random.default_rng(3)
    vectors = random.standard_normal((2, ROWS, DIMS)).astype(np.float32)
    queries = random.standard_normal((MANY, DIMS)).astype(np.float32)
    for checkpoint, rows in zip("ab", vectors):
        database.ingest("t", files.grad(f"{checkpoint}.safetensors", rows), checkpoint=checkpoint,
                        metadata=files.metadata("m.jsonl", [{"id": n} for n in range(ROWS)]))
    file = files.grad("q.safetensors", queries)
    scores = np.stack([queries.astype(np.float64) @ rows.T.astype(np.float64) for rows in vectors])
    return database, file, scores


def test_each_of_thousands_has_its_own_answer(small):
    database, file, scores = small
    for clause, wanted in [("", scores[1]),
                           ("ACROSS 'a' WEIGHT 2, 'b' WEIGHT -3", 2 * scores[0] - 3 * scores[1])]:
        found = database.query(f"FROM t SCORE dot TO '{file}' {clause} TOP 2 BOTTOM 1")
        assert [line["query"] for line in found[::3]] == [f"{file}[{n}]" for n in range(MANY)]
        ids = np.array([line["id"] for line in found]).reshape(MANY, 3)
        order = np.argsort(-wanted, axis=1, kind="stable")
        assert (ids == order[:, [0, 1, -1]]).all()
        answers = np.array([line["score"] for line in found]).reshape(MANY, 3)
        assert np.allclose(answers, np.take_along_axis(wanted, ids, axis=1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reduction,reduce", [("MEAN", np.mean), ("SUM", np.sum), ("MAX", np.max)])
@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_thousands_run_into_one_answer(small, reduction, reduce, measure):
    database, file, scores = small
    if measure == "cosine":
        scores = [cosines(database, file, checkpoint) for checkpoint in "ab"]
    for clause, wanted in [("ACROSS 'b'", scores[1]),
                           ("ACROSS 'a' WEIGHT 2, 'b' WEIGHT -3", 2 * scores[0] - 3 * scores[1])]:
        found = database.query(f"FROM t SCORE {measure} TO '{file}' {reduction} {clause} ALL")
        expected = reduce(wanted, axis=0)
        assert len(found) == ROWS
        for line in found:
            assert line["score"] == pytest.approx(expected[line["id"]], rel=1e-9, abs=1e-9)


def cosines(database, file, checkpoint):
    """Cosines of all queries, by their dot products and norms."""
    data = {}
    for name in (file, file.parent / f"{checkpoint}.safetensors"):
        raw = name.read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        data[name] = np.frombuffer(raw[8 + size:], "<f4").reshape(-1, DIMS).astype(np.float64)
    queries, rows = data.values()
    return queries @ rows.T / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(rows, axis=1))


def sparse(path, rows, head=()):
    """f32 rows of zeros that take no room on the disk, behind some that are not."""
    size = rows * WIDE * 4
    text = json.dumps(
        {"grad": {"dtype": "F32", "shape": [rows, WIDE], "data_offsets": [0, size]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for row in head:
            file.write(np.asarray(row, "<f4").tobytes())
        file.truncate(8 + len(text) + size)


@pytest.mark.parametrize("codec", ["int8", "f32", "bit"])
def test_memory_does_not_grow_with_the_number_of_queries(gradctl, tmp_path, codec):
    """A GiB of queries, most of them zero: what counts is how many are in memory at a time."""
    random = np.random.default_rng(1)
    database = Database(tmp_path / "db").init()
    database.create("t", [f"grad:{WIDE}:{codec}"], row_group=16)
    rows = random.standard_normal((WIDE_ROWS, WIDE)).astype(np.float32)
    database.ingest("t", Files(tmp_path).grad("rows.safetensors", rows), checkpoint="c")
    queries = tmp_path / "queries.safetensors"
    sparse(queries, WIDE_QUERIES, head=rows[:3])
    for reduction in ["EACH", "MEAN", "SUM", "MAX", "EACH ACROSS 'c' WEIGHT 2"]:
        with open(tmp_path / "out", "wb") as out:
            process = subprocess.Popen(
                [GRADCTL, "query", f"FROM t SCORE dot TO '{queries}' {reduction} TOP 1",
                 "--db", database.path, "--format", "jsonl"], env=environment(), stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peak = usage.ru_maxrss * 1024
        assert peak < LIMIT_BYTES, f"{reduction}: {peak >> 20} MiB"
        lines = [json.loads(line) for line in open(tmp_path / "out")]
        if "EACH" in reduction:
            assert len(lines) == WIDE_QUERIES
            assert [line["id"] for line in lines[:4]] == [0, 1, 2, 0]
            assert [line["score"] for line in lines[3:]] == [0] * (WIDE_QUERIES - 3)
        else:
            assert lines[0]["id"] < 3
