"""Every plan of a statement gives its answer; EXPLAIN names them, and says what they are expected to cost.

And a filter that keeps few rows in one place reads little else.
"""

import json

import numpy as np
import pytest

from estimated_tables import EstimatedTable
from graddb import OK, USAGE

LAYERS = {
    "f32": {"grad": (300, "f32")},
    "f16": {"grad": (200, "f16"), "head": (64, "f16")},
    "mixed": {"grad": (200, "f16"), "head": (100, "int8")},
    "int8": {"grad": (500, "int8")},
    "bit": {"grad": (1000, "bit")},
}
CONDITIONS = ["", "WHERE bucket < 60", "WHERE bucket = 13", "WHERE id LIKE '%7%'", "WHERE row >= 250 AND bucket != 3"]


def explained(database, statement, *flags, params=None):
    arguments = ["explain", statement, "--json", *flags]
    for name, file in (params or {}).items():
        arguments += ["--param", f"{name}={file}"]
    return database.run(*arguments).expect(OK).line


def nodes(plan):
    yield plan
    for node in plan["inputs"]:
        yield from nodes(node)


def plan_names(explanation):
    return [explanation["chosen"], *(plan["plan"] for plan in explanation["rejected"])]


@pytest.mark.parametrize("name", LAYERS)
def test_all_plans_agree(name, database, files):
    table = EstimatedTable(database, files, LAYERS[name], count=1500, seed=5)
    seen = set()
    for condition in CONDITIONS:
        for ends in ("TOP 3", "TOP 2 BOTTOM 2"):
            for question in ("dot TO $q", "cosine TO $one"):
                question = f"{question} {condition} {ends}"
                explanation = explained(database, f"SELECT row FROM t SCORE {question}", params=table.params)
                answers = {plan: table.ask(question, "--plan", plan) for plan in plan_names(explanation)}
                first = answers[explanation["chosen"]]
                assert first and all(answer == first for answer in answers.values()), (question, list(answers))
                seen |= set(answers)
    expected = {"exact", "exact, condition last"}
    if name not in ("int8", "bit"):
        expected |= {"single precision", "single precision, condition last"}
    assert expected <= seen


def test_condition_last_goes_on_until_rows_pass(database, files):
    """The condition keeps the rows that score lowest: the sample does not tell, and the first try finds none."""
    count = 3000
    scores = np.arange(count, dtype=np.float32)
    vectors = np.stack([scores, np.ones(count, dtype=np.float32)], axis=1)
    database.create("t", ["grad:2:f32"], ["even:int", "low:bool"])
    rows = [{"id": row, "even": row % 2, "low": row < 1000} for row in range(count)]
    database.ingest("t", files.grad("rows.st", vectors), checkpoint="c", metadata=files.metadata("m.jsonl", rows))
    params = {"q": files.grad("q.st", np.array([[1, 0]], dtype=np.float32))}
    for question in ("WHERE low TOP 2", "WHERE low TOP 3 BOTTOM 3"):
        statement = f"FROM t SCORE dot TO $q {question}"
        last = database.query(statement, "--plan", "exact, condition last", params=params)
        assert last == database.query(statement, "--plan", "exact", params=params)
        assert [line["id"] for line in last][:2] == [999, 998]


def test_a_plan_that_there_is_not(database, files):
    table = EstimatedTable(database, files, {"grad": (64, "int8")}, count=50)
    for statement in ("FROM t SCORE dot TO $q", "FROM t SCORE self"):
        result = database.run(
            "query", statement, "--plan", "singel precision", *(f"--param={n}={f}" for n, f in table.params.items()),
            "--json")
        assert "'exact'" in result.expect(USAGE).error["error"]


def test_a_filter_in_one_place_reads_little(database, files):
    """1% of the row groups: at most 5% of the bytes."""
    rows, dims = 4000, 4096
    random = np.random.default_rng(3)
    database.create("t", [f"grad:{dims}:int8"], ["place:int"], row_group=40)
    metadata = files.metadata("m.jsonl", [{"id": row, "place": row // 40} for row in range(rows)])
    database.ingest(
        "t", files.grad("rows.st", random.standard_normal((rows, dims), dtype=np.float32)), checkpoint="c",
        metadata=metadata)
    params = {"q": files.grad("q.st", random.standard_normal((1, dims), dtype=np.float32))}

    def read(condition):
        explanation = explained(
            database, f"FROM t SCORE dot TO $q {condition} TOP 5", "--analyze", params=params)
        (scan,) = [node for node in nodes(explanation["plan"]) if node["operator"] == "scan"]
        return scan["actual"]["bytes"]

    everything = read("")
    assert everything == rows * dims
    assert 0 < read("WHERE place = 57") <= 0.05 * everything
    assert read("WHERE place IN (3, 57, 99)") <= 0.05 * everything


def test_explain_says_what_it_expects(database, files):
    table = EstimatedTable(database, files, {"grad": (512, "f16")}, count=800)
    explanation = explained(database, "FROM t SCORE dot TO $one WHERE bucket < 50 TOP 2", params=table.params)
    assert explanation["limits"] in ("measured", "assumed")
    assert explanation["seconds"] > 0
    for plan in explanation["rejected"]:
        assert set(plan) == {"plan", "seconds", "bytes", "reason"}
        assert plan["seconds"] >= explanation["seconds"] * 0.999
    scan = [node for node in nodes(explanation["plan"]) if node["operator"] == "scan"][0]
    assert {"rows", "bytes", "seconds"} <= set(scan["estimate"])
    text = database.run(
        "explain", "FROM t SCORE dot TO $one TOP 2", "--param", f"one={table.params['one']}").expect(OK).text
    assert "rejected" in text and "single precision" in text
    analyzed = explained(database, "FROM t SCORE dot TO $one TOP 2", "--analyze", params=table.params)
    assert analyzed["plan"]["actual"]["total_seconds"] > 0
    json.dumps(analyzed, allow_nan=False)
