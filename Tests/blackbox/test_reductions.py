"""MEAN, SUM, MAX, self, ACROSS, percentages, ALL and PER LAYER against float64 sums."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from graddb import BAD_INPUT, USAGE
from scored_tables import LAYERS, QUERIES, ROWS, ScoredTable, WEIGHTS, across, close, ranked


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    return ScoredTable(tmp_path_factory.mktemp("reductions"))


CHECKPOINTS = {
    "": None,
    "ACROSS 'middle'": {"middle": 1.0},
    "ACROSS 'middle' WEIGHT -0.25": {"middle": -0.25},
    "ACROSS ALL": WEIGHTS,
    across({"late": 2.0, "early": 0.125}): {"late": 2.0, "early": 0.125},
}
REDUCTIONS = ["EACH", "MEAN", "SUM", "MAX"]


def verify(found, scores, end="top", wanted=None):
    """Rows of one answer and end against the scores of all rows (NaN: none)."""
    items = [(score, row) for row, score in enumerate(scores) if not math.isnan(score)]
    expected = ranked(items, end)[:wanted]
    assert len(found) == len(expected)
    assert [line["rank"] for line in found] == list(range(1, len(found) + 1))
    for line, (score, _) in zip(found, expected):
        assert close(line["score"], score), (line, score)
        # Where scores are nearly equal rounding decides; the row's own score must be right in any case.
        assert close(line["score"], scores[int(line["id"][1:])])
    assert len({line["id"] for line in found}) == len(found)
    for line, following in zip(found, found[1:]):
        if line["score"] == following["score"]:
            assert int(line["id"][1:]) < int(following["id"][1:])


@pytest.mark.parametrize("clause", CHECKPOINTS, ids=lambda clause: clause or "newest")
@pytest.mark.parametrize("measure,reduction",
                         [*itertools.product(["dot", "cosine"], REDUCTIONS), ("self", "")])
def test_every_reduction_at_every_sum_of_checkpoints(table, measure, reduction, clause):
    source = f"TO '{table.file}' {reduction}" if reduction else ""
    scores = table.scores(measure, reduction, CHECKPOINTS[clause])
    for limits, ends in [("TOP 12 BOTTOM 3", {"top": 12, "bottom": 3}), ("ALL", {"top": None})]:
        found = table.database.query(f"FROM t SCORE {measure} {source} {clause} {limits}")
        names = ["self"] if not reduction else [str(table.file)]
        if reduction == "EACH":
            names = [f"{table.file}[{query}]" for query in range(QUERIES)]
        assert list(dict.fromkeys(line["query"] for line in found)) == names
        for answer, name in enumerate(names):
            for end, wanted in ends.items():
                lines = [x for x in found if x["query"] == name and x["end"] == end]
                verify(lines, scores[answer], end, wanted)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_each_checkpoint_has_queries_of_its_own(table, reduction):
    scores = table.scores("dot", reduction, WEIGHTS, queries=table.queries)
    found = table.database.query(
        f"FROM t SCORE dot TO '{table.file_of_each}' {reduction} ACROSS ALL ALL")
    count = QUERIES if reduction == "EACH" else 1
    size = len(found) // count
    for answer in range(count):
        verify(found[answer * size:(answer + 1) * size], scores[answer])
    assert found[0]["query"] == f"{table.file_of_each}" + ("[0]" if count > 1 else "")
    bound = table.database.query(
        f"FROM t SCORE dot TO $q {reduction} ACROSS ALL ALL", params={"q": table.file_of_each})
    assert [line["score"] for line in bound] == [line["score"] for line in found]


def test_files_of_checkpoints_must_hold_as_many_queries(table, tmp_path):
    for name, count in [("early", 2), ("middle", 2), ("late", 3)]:
        table.files.tensors(f"n-{name}.safetensors",
                            {layer: np.ones((count, dims)) for layer, dims in LAYERS.items()})
    path = table.directory / "n-{checkpoint}.safetensors"
    refused = table.database.run("query", f"FROM t SCORE dot TO '{path}' ACROSS ALL")
    assert "n-late.safetensors holds 3" in refused.expect(BAD_INPUT).stderr.decode()
    table.database.run("query", f"FROM t SCORE dot TO '{path}' ACROSS 'early'").expect()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("clause", ["", "ACROSS ALL"], ids=["newest", "all"])
def test_rows_of_the_table_as_queries(table, reduction, clause):
    weights = WEIGHTS if clause else {"late": 1.0}
    condition = "length = 2 AND NOT flagged"
    rows = [row for row in range(ROWS)
            if table.value(row, "length") == 2 and table.value(row, "flagged") is False
            and all(table.has[name][row] for name in weights)]
    assert len(rows) > 3
    queries = {name: {layer: vectors[layer][rows] for layer in LAYERS}
               for name, vectors in table.vectors.items()}
    scores = table.scores("cosine", reduction, weights, queries=queries)
    found = table.database.query(
        f"FROM t SCORE cosine TO ROWS /* some */WHERE\n\t{condition.replace(' ', '  ')} {reduction} "
        f"{clause} TOP 9")
    names = [f"ROW 'r{row}'" for row in rows] if reduction == "EACH" else [f"ROWS WHERE {condition}"]
    assert list(dict.fromkeys(line["query"] for line in found)) == names
    for answer, name in enumerate(names):
        verify([line for line in found if line["query"] == name], scores[answer], "top", 9)


def test_rows_as_queries_must_be_there_and_have_a_direction(table):
    for condition in ["length = 99", "length = NULL", "FALSE"]:
        refused = table.database.run("query", f"FROM t SCORE dot TO ROWS WHERE {condition}")
        assert "column 21" in refused.expect(USAGE).stderr.decode()
    refused = table.database.run("query", "FROM t SCORE cosine TO ROWS WHERE id = 'r3' ACROSS 'early'")
    assert "ROW 'r3' is a zero vector" in refused.expect(BAD_INPUT).stderr.decode()
    table.database.run("query", "FROM t SCORE dot TO ROWS WHERE id = 'r3' ACROSS 'early'").expect()
    one = table.database.query("FROM t SCORE dot TO ROWS WHERE id = 'r5' ACROSS 'early'")
    assert one == table.database.query("FROM t SCORE dot TO ROW 'r5' ACROSS 'early'")


@pytest.mark.parametrize("percent", ["0.01", "1", "3.7", "7", "33.4", "50", "99.9", "100"])
@pytest.mark.parametrize("clause", ["", "ACROSS ALL"], ids=["newest", "all"])
def test_percentages_are_of_the_rows_that_have_a_score(table, percent, clause):
    where = "WHERE length != 1"
    scores = table.scores("dot", "MEAN", WEIGHTS if clause else None)[0]
    for row in range(ROWS):
        if table.value(row, "length") in (1, None):
            scores[row] = np.nan
    count = math.ceil(Fraction(percent) * int((~np.isnan(scores)).sum()) / 100)
    found = table.database.query(
        f"FROM t SCORE dot TO '{table.file}' MEAN {clause} {where} TOP {percent}% BOTTOM {percent}%")
    for end in ("top", "bottom"):
        verify([line for line in found if line["end"] == end], scores, end, count)


@pytest.mark.parametrize("measure,reduction", [("dot", "EACH"), ("cosine", "EACH"), ("cosine", "MEAN"),
                                               ("dot", "SUM"), ("cosine", "MAX"), ("self", "")])
@pytest.mark.parametrize("clause", ["", "ACROSS ALL"], ids=["newest", "all"])
@pytest.mark.parametrize("limits", ["TOP 3 BOTTOM 2", "ALL"])
def test_per_layer_scores_the_rows_of_the_whole(table, measure, reduction, clause, limits):
    weights = WEIGHTS if clause else None
    chosen = ["first", "third", "second"]
    source = f"TO '{table.file}' {reduction}" if reduction else ""
    rest = f"FROM t SCORE {measure} {source} LAYERS 'first', 'third', 'second' {clause} {limits}"
    whole = table.database.query(f"SELECT length {rest}")
    found = table.database.query(f"SELECT length, layer PER LAYER {rest}")
    assert len(found) == 3 * len(whole)
    # The table's order of layers, whatever that of LAYERS.
    assert [line["layer"] for line in found] == list(LAYERS) * len(whole)
    assert list(found[0])[:6] == ["query", "rank", "end", "id", "score", "layer"]
    by_layer = {layer: table.scores(measure, reduction, weights, layers=[layer]) for layer in chosen}
    names = list(dict.fromkeys(line["query"] for line in whole))
    for number, line in enumerate(found):
        row = whole[number // 3]
        assert all(line[key] == row[key] for key in ("query", "rank", "end", "id", "length"))
        expected = by_layer[line["layer"]][names.index(line["query"]), int(line["id"][1:])]
        assert close(line["score"], expected), line


def test_accuracy_leaves_exact_statements_exact(table):
    """CONFIDENCE and BUDGET change nothing where the language says so."""
    for statement in [f"FROM t SCORE dot TO '{table.file}' SUM", f"FROM t SCORE dot TO '{table.file}' MAX",
                      "FROM t SCORE self", f"FROM t SCORE dot TO '{table.file}' ACROSS ALL",
                      f"FROM t SCORE cosine TO '{table.file}' MEAN GROUP BY source WITH mean"]:
        for limits in ["TOP 4 BOTTOM 2", "ALL"]:
            exact = table.database.query(f"{statement} {limits}")
            sure = table.database.query(f"{statement} {limits} CONFIDENCE 0.9")
            assert sure == exact
            timed = table.database.query(f"{statement} {limits} BUDGET 1us")
            for line, known in zip(timed, exact, strict=True):
                assert (line["score_low"], line["score_high"]) == (line["score"], line["score"])
                assert line["expected_recall"] == 1
                assert {key: line[key] for key in known} == known
