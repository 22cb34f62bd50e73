"""Tables of tokens: `example` and `token` in SELECT, and what examples come to under GROUP BY example."""

import math

import numpy as np
import pytest

from gradient_files import Files
from graddb import USAGE, Database
from scored_tables import close

DIMS = 16
# What stands behind the last slash is the token, if it is a number.
IDS = ["a/b/0", "a/b/1", "a/b/10", "a/0", "a/1", "a/b", "plain", "plain/2", "x//3", "/4", "a/b/007", "a/b/-1",
       "a/b/1.5", "q/", "a/99999999999999999999", "caf\u00e9/1", "cafe\u0301/1"]
SPLIT = [("a/b", 0), ("a/b", 1), ("a/b", 10), ("a", 0), ("a", 1), ("a", None), ("plain", None), ("plain", 2),
         ("x/", 3), ("", 4), ("a/b", 7), ("a/b", None), ("a/b", None), ("q", None), ("a", None),
         ("caf\u00e9", 1), ("cafe\u0301", 1)]


@pytest.fixture(scope="module")
def tokens(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokens")
    files, database = Files(directory), Database(directory / "db").init()
    random = np.random.default_rng(8)
    vectors = random.standard_normal((len(IDS), DIMS)).astype(np.float32)
    queries = random.standard_normal((4, DIMS)).astype(np.float32)
    metadata = files.metadata("m.jsonl", [{"id": name, "n": n} for n, name in enumerate(IDS)])
    rows = files.grad("rows.safetensors", vectors)
    for table, unit, fields in [("t", "token", ["n:int"]), ("plain", "example", ["n:int"])]:
        database.create(table, [f"grad:{DIMS}:f32"], fields, unit=unit, row_group=4)
        database.ingest(table, rows, checkpoint="c", metadata=metadata)
    database.create("numbers", [f"grad:{DIMS}:f32"], unit="token")
    database.ingest("numbers", rows, checkpoint="c")
    database.create("own", [f"grad:{DIMS}:f32"], ["example:int"], unit="token")
    database.ingest("own", rows, checkpoint="c", metadata=files.metadata(
        "own.jsonl", [{"id": name, "example": n % 3} for n, name in enumerate(IDS)]))
    file = files.grad("q.safetensors", queries)
    return database, file, queries.astype(np.float64) @ vectors.astype(np.float64).T


def split(name):
    head, slash, tail = name.rpartition("/")
    if not slash:
        return name, None
    whole = tail.isascii() and tail.isdigit() and int(tail) < 1 << 63
    return head, int(tail) if whole else None


def test_ids_are_taken_apart(tokens):
    database, file, _ = tokens
    found = database.query(f"SELECT n, example, token AS place FROM t SCORE dot TO '{file}' MEAN ALL")
    assert {line["id"]: (line["example"], line["place"]) for line in found} == dict(zip(IDS, SPLIT))
    assert [split(name) for name in IDS] == SPLIT


@pytest.mark.parametrize("reduction", ["sum", "mean", "max", "min", "count"])
@pytest.mark.parametrize("each", ["EACH", "SUM"])
def test_examples_are_groups_of_tokens(tokens, each, reduction):
    database, file, scores = tokens
    answers = scores if each == "EACH" else scores.sum(axis=0, keepdims=True)
    found = database.query(
        f"SELECT * FROM t SCORE dot TO '{file}' {each} GROUP BY example WITH {reduction} ALL")
    assert list(found[0]) == ["query", "rank", "end", "id", "score", "example", "rows"]
    members = {}
    for number, (example, _) in enumerate(SPLIT):
        members.setdefault(example, []).append(number)
    assert len(found) == len(members) * len(answers)
    reduce = {"sum": math.fsum, "mean": np.mean, "max": max, "min": min, "count": len}[reduction]
    for number, line in enumerate(found):
        rows = members[line["id"]]
        assert line["rows"] == len(rows) and line["example"] == line["id"]
        answer = answers[number // len(members)]
        assert close(line["score"], reduce([answer[row] for row in rows]))


def test_a_condition_on_tokens_comes_before_groups(tokens):
    database, file, scores = tokens
    found = database.query(
        f"FROM t SCORE dot TO '{file}' MEAN WHERE token < 2 AND example LIKE 'a%' "
        "GROUP BY example WITH sum ALL")
    expected = {}
    for number, (example, token) in enumerate(SPLIT):
        if token is not None and token < 2 and example.startswith("a"):
            expected[example] = expected.get(example, 0) + scores[:, number].mean()
    assert {line["id"] for line in found} == set(expected) == {"a/b", "a"}
    assert all(close(line["score"], expected[line["id"]]) for line in found)


def test_integer_ids_are_examples_by_themselves(tokens):
    database, file, _ = tokens
    found = database.query(f"SELECT example, token FROM numbers SCORE dot TO '{file}' MEAN ALL")
    assert all((line["example"], line["token"]) == (str(line["id"]), None) for line in found)


def test_a_field_of_that_name_is_the_field(tokens):
    database, file, _ = tokens
    found = database.query(f"SELECT example, token FROM own SCORE dot TO '{file}' MEAN ALL")
    assert all(line["example"] == IDS.index(line["id"]) % 3 for line in found)
    assert {line["token"] for line in found} == {token for _, token in SPLIT}
    groups = database.query(f"FROM own SCORE dot TO '{file}' MEAN GROUP BY example WITH count ALL")
    assert sorted(line["id"] for line in groups) == [0, 1, 2]


@pytest.mark.parametrize("statement,place", [
    ("SELECT token FROM plain SCORE self", "token"), ("SELECT example FROM plain SCORE self", "example"),
    ("FROM plain SCORE self GROUP BY example WITH sum", "example"),
    ("FROM t SCORE self GROUP BY token WITH sum", "token"),
    ("SELECT token FROM t SCORE self GROUP BY example WITH sum", "token"),
])
def test_what_is_not_there_is_pointed_at(tokens, statement, place):
    error = tokens[0].run("query", statement).expect(USAGE).stderr.decode()
    assert f"column {statement.index(place) + 1}:" in error
