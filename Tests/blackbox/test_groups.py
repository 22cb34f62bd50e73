"""GROUP BY against float64 sums: every reduction, over every kind of column."""

import itertools

import numpy as np
import pytest

from scored_tables import LAYERS, QUERIES, ROWS, ScoredTable, WEIGHTS, close, groups, ranked

COLUMNS = ["source", "length", "loss", "flagged", "rows"]
WITH = ["sum", "mean", "max", "min", "count"]


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    return ScoredTable(tmp_path_factory.mktemp("groups"))


def expected_groups(table, scores, column, reduction):
    values = [table.value(row, column) for row in range(ROWS)]
    return groups(scores, values, reduction)


def verify(found, expected, column, end="top", wanted=None):
    order = ranked([(score, first, value, rows) for value, rows, score, first in expected], end)
    assert len(found) == len(order[:wanted])
    known = {(type(value), value): (rows, score, first) for value, rows, score, first in expected}
    for line, (score, *_) in zip(found, order):
        rows, own, _ = known[type(line["id"]), line["id"]]
        assert close(line["score"], score) and close(line["score"], own), (line, score, own)
        assert line[column] == (rows if column == "rows" and "rows" in line else line["id"])
    for line, following in zip(found, found[1:]):
        if line["score"] == following["score"]:
            first = [known[type(x["id"]), x["id"]][2] for x in (line, following)]
            assert first[0] < first[1]


@pytest.mark.parametrize("reduction", WITH)
@pytest.mark.parametrize("column", COLUMNS[:4])
@pytest.mark.parametrize("measure,each,clause", [
    ("dot", "EACH", ""), ("cosine", "EACH", "ACROSS ALL"), ("cosine", "MEAN", ""),
    ("dot", "SUM", "ACROSS ALL"), ("dot", "MAX", "ACROSS ALL"), ("self", "", ""), ("self", "", "ACROSS ALL")])
def test_groups_of_every_column(table, measure, each, clause, column, reduction):
    source = f"TO '{table.file}' {each}" if each else ""
    scores = table.scores(measure, each, WEIGHTS if clause else None)
    for limits, ends in [("ALL", {"top": None}), ("TOP 2 BOTTOM 1", {"top": 2, "bottom": 1})]:
        found = table.database.query(
            f"FROM t SCORE {measure} {source} {clause} GROUP BY {column} WITH {reduction} {limits}")
        assert list(found[0]) == ["query", "rank", "end", "id", "score", column, "rows"]
        answers = [list(lines) for _, lines in itertools.groupby(found, lambda line: line["query"])]
        assert len(answers) == len(scores)
        for lines, answer in zip(answers, scores):
            expected = expected_groups(table, answer, column, reduction)
            for end, wanted in ends.items():
                part = [line for line in lines if line["end"] == end]
                verify(part, expected, column, end, wanted)
                counts = {(type(value), value): rows for value, rows, *_ in expected}
                assert all(line["rows"] == counts[type(line["id"]), line["id"]] for line in part)


def test_a_column_called_rows_is_the_column(table):
    found = table.database.query(f"FROM t SCORE dot TO '{table.file}' MEAN GROUP BY rows WITH count ALL")
    assert list(found[0]) == ["query", "rank", "end", "id", "score", "rows"]
    assert sorted(line["rows"] for line in found) == [0, 1]
    assert sum(line["score"] for line in found) == table.has["late"].sum()


def test_what_groups_can_be_asked_for(table):
    statement = ("SELECT source AS s, rows AS n, rank, query, checkpoint, score AS x, id FROM t "
                 f"SCORE dot TO '{table.file}' MEAN ACROSS 'late', 'early' GROUP BY source WITH max TOP 3")
    found = table.database.query(statement)
    assert list(found[0]) == ["query", "rank", "end", "id", "score", "s", "n", "checkpoint", "x"]
    for line in found:
        assert (line["s"], line["x"], line["checkpoint"]) == (line["id"], line["score"], "late+early")
    assert sum(line["n"] for line in found) <= ROWS
    csv = table.database.query_result(statement, format="csv").stdout.decode().splitlines()
    assert csv[0] == "query,rank,end,id,score,s,n,checkpoint,x" and len(csv) == 4
    text = table.database.query_result(statement, format="table").stdout.decode()
    assert len(text.splitlines()) == 4


def test_groups_have_only_rows_that_pass_and_have_a_score(table):
    where = "loss > 0 AND flagged"
    scores = table.scores("dot", "MEAN")[0]
    for row in range(ROWS):
        if not (table.value(row, "loss") > 0 and table.value(row, "flagged")):
            scores[row] = np.nan
    found = table.database.query(
        f"FROM t SCORE dot TO '{table.file}' MEAN WHERE {where} GROUP BY length WITH sum ALL")
    verify(found, expected_groups(table, scores, "length", "sum"), "length")
    assert not table.database.query(
        f"FROM t SCORE dot TO '{table.file}' MEAN WHERE loss > 99 GROUP BY length WITH sum ALL")


@pytest.mark.parametrize("percent,count", [("1", 1), ("40", 2), ("41", 3), ("100", 5)])
def test_percentages_are_of_the_groups(table, percent, count):
    found = table.database.query(
        f"FROM t SCORE dot TO '{table.file}' MEAN GROUP BY length WITH sum TOP {percent}%")
    assert len(found) == count
    every = table.database.query(f"FROM t SCORE dot TO '{table.file}' MEAN GROUP BY length WITH sum ALL")
    assert found == every[:count]


@pytest.mark.parametrize("reduction", WITH)
@pytest.mark.parametrize("clause", ["", "ACROSS ALL"], ids=["newest", "all"])
@pytest.mark.parametrize("each", ["EACH", "MEAN", "MAX"])
def test_groups_per_layer(table, each, clause, reduction):
    rest = (f"FROM t SCORE cosine TO '{table.file}' {each} {clause} GROUP BY source WITH {reduction} "
            "TOP 2 BOTTOM 1")
    whole = table.database.query(rest)
    found = table.database.query(f"SELECT * PER LAYER {rest}")
    assert [line["layer"] for line in found] == list(LAYERS) * len(whole)
    weights = WEIGHTS if clause else None
    expected = {}
    for layer in LAYERS:
        for answer, scores in enumerate(table.scores("cosine", each, weights, layers=[layer])):
            for value, rows, score, _ in expected_groups(table, scores, "source", reduction):
                expected[layer, answer, value] = (rows, score)
    names = list(dict.fromkeys(line["query"] for line in whole))
    assert len(names) == (QUERIES if each == "EACH" else 1)
    for number, line in enumerate(found):
        group = whole[number // len(LAYERS)]
        assert all(line[key] == group[key] for key in ("query", "rank", "end", "id", "rows"))
        rows, score = expected[line["layer"], names.index(line["query"]), line["source"]]
        assert line["rows"] == rows and close(line["score"], score)


def test_sums_do_not_depend_on_threads(table):
    statement = f"FROM t SCORE cosine TO '{table.file}' ACROSS ALL GROUP BY flagged WITH mean ALL"
    answers = {table.database.query_result(statement, "--threads", n).stdout for n in (1, 2, 3, 7)}
    assert len(answers) == 1
