"""graddb_read.py prints the catalog, a table and scores of the golden database as JSON lines."""

import json
import os
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
READER = os.path.join(HERE, "..", "..", "tools", "reader", "graddb_read.py")


def read(vectors, *arguments):
    command = [sys.executable, "-B", READER, os.path.join(vectors, "database"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def lines(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def golden(vectors):
    with open(os.path.join(vectors, "database.json")) as file:
        return json.load(file)


def test_the_catalog(vectors):
    keys = {line["key"] for line in lines(read(vectors))}
    assert {"database", "counters", "table/examples", "tag/00000001/final"} <= keys


def test_a_table(vectors):
    schema, *rows = lines(read(vectors, "examples"))
    assert schema["checkpoints"] == ["step-100", "step-300"]
    assert [row["id"] for row in rows] == golden(vectors)["tables"]["examples"]["ids"]


def test_scores(vectors, tmp_path):
    question = golden(vectors)["questions"][0]
    np.save(tmp_path / "q.npy", np.array(question["query"]["grad"], np.float32))
    found = lines(read(vectors, "--score", "examples", "--layer", "grad",
                       "--query", str(tmp_path / "q.npy")))
    for query, answer in enumerate(question["answers"]):
        top = [[line["id"], line["score"]] for line in found if line["query"] == query]
        assert top[: len(answer)] == answer


def test_what_does_not_exist_is_said(vectors):
    done = read(vectors, "nothing")
    assert done.returncode == 1 and "there is no table nothing" in done.stderr
