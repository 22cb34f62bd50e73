"""BUDGET: the answer that there is time for, and what is said of it.

No test asks how long it takes: a budget of a microsecond and one of an hour are the two ends.
"""

import csv
import io
import json

import numpy as np
import pytest

from estimated_tables import EstimatedTable, estimates, passes, ranking, scan_node
from gradient_files import Files
from graddb import OK, USAGE, Database

TABLES = {
    "int8": {"grad": (8192, "int8")},
    "int8+bit": {"grad": (8192, "int8+bit")},
    "f16+int4": {"grad": (4096, "f16+int4")},
    "f32": {"grad": (300, "f32")},
    "layers": {"a": (4096, "int8+bit"), "b": (1000, "f16"), "c": (2048, "f16+int4+bit")},
}
QUESTIONS = [
    "cosine TO $one TOP 10",
    "dot TO $one TOP 7 BOTTOM 5",
    "cosine TO $q MEAN TOP 8 BOTTOM 2",
    "cosine TO $q EACH TOP 5 BOTTOM 3",
    "cosine TO ROW 'r98' BOTTOM 3",
    "dot TO $one WHERE bucket < 50 TOP 10",
    "cosine TO $one WHERE bucket = 13 TOP 100",
    "cosine TO $one WHERE bucket = 1000 TOP 10",
    "dot TO $one TOP 390",
]
# Intervals hold with a probability of 0.999; of so many rows, more misses than these are no chance.
ALLOWED_MISSES = 4
ROWS = 400


@pytest.fixture(scope="module", params=TABLES)
def table(request, gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("budget")
    layers = TABLES[request.param]
    table = EstimatedTable(Database(directory / "db").init(), Files(directory), layers, ROWS)
    table.ask_all(
        [f"{question}{budget}" for question in QUESTIONS for budget in ("", " BUDGET 1h")]
        + sorted({f"{of_all_rows(question)} TOP {ROWS}" for question in QUESTIONS})
    )
    return table


def of_all_rows(question):
    return question.split(" TOP")[0].split(" BOTTOM")[0]


def check_shape(answer):
    for line in answer:
        keys = list(line)
        first = keys.index("score")
        assert keys[first + 1:first + 4] == ["score_low", "score_high", "expected_recall"]
        assert line["score_low"] <= line["score"] <= line["score_high"]
        assert 0 <= line["expected_recall"] <= 1
        assert line["id"] == f"r{line['row']}"
    for key in {(line["query"], line["end"]) for line in answer}:
        lines = [line for line in answer if (line["query"], line["end"]) == key]
        assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))
        assert len({line["row"] for line in lines}) == len(lines)
        assert len({line["expected_recall"] for line in lines}) == 1
        sign = -1 if key[1] == "top" else 1
        order = [(sign * line["score"], line["row"]) for line in lines]
        assert order == sorted(order)


@pytest.mark.parametrize("question", QUESTIONS)
def test_time_enough_gives_the_exact_answer(table, question):
    answer = table.ask(f"{question} BUDGET 1h")
    check_shape(answer)
    assert ranking(answer) == ranking(table.ask(question))
    assert all(line["score_low"] == line["score"] == line["score_high"] for line in answer)
    assert all(line["expected_recall"] == 1 for line in answer)


@pytest.mark.parametrize("question", QUESTIONS)
def test_little_time_gives_honest_rows(table, question):
    answer = table.ask(f"{question} BUDGET 1us")
    check_shape(answer)
    true = {
        (line["query"], line["row"]): line["score"]
        for line in table.ask(f"{of_all_rows(question)} TOP {ROWS}")
    }
    misses = 0
    for line in answer:
        # A row that WHERE excludes would have no exact score here.
        score = true[line["query"], line["row"]]
        misses += not line["score_low"] <= score <= line["score_high"]
        if line["score_low"] == line["score_high"]:
            assert line["score"] == score
    assert misses <= 1
    if "bucket = 1000" not in question:
        assert answer


def test_only_a_budget_shows_intervals(table):
    for accuracy in ("", "EXACT", "CONFIDENCE 0.9"):
        for line in table.ask(f"cosine TO $one TOP 3 {accuracy}"):
            assert not {"score_low", "score_high", "expected_recall"} & set(line)


@pytest.mark.parametrize("budget", ["1us", "1h"])
def test_all_formats_have_the_columns(table, budget):
    statement = f"SELECT row FROM t SCORE cosine TO $one TOP 4 BUDGET {budget}"

    def said(format):
        return table.database.query_result(statement, format=format, params=table.params).text

    lines = [json.loads(line) for line in said("jsonl").splitlines()]
    columns = ["query", "rank", "end", "id", "score", "score_low", "score_high", "expected_recall"]
    assert [list(line) for line in lines] == [columns + ["row"]] * len(lines)
    # Which row groups a budget leaves may differ from run to run: shapes are compared.
    assert [list(line) for line in json.loads(said("json"))] == [columns + ["row"]] * len(lines)
    header, *cells = csv.reader(io.StringIO(said("csv")))
    assert header == columns + ["row"] and len(cells) == len(lines)
    for line in cells:
        low, score, high = float(line[5]), float(line[4]), float(line[6])
        assert low <= score <= high and 0 <= float(line[7]) <= 1
    for column in ("rank", "id", *columns[4:]):
        assert column in said("table").splitlines()[0]


def test_sums_across_checkpoints_are_exact_at_any_budget(table):
    question = "cosine TO $one ACROSS 'c1' WEIGHT 2 TOP 5 BOTTOM 2"
    answer = table.ask(f"{question} BUDGET 1us")
    check_shape(answer)
    assert ranking(answer) == ranking(table.ask(question))
    assert {line["expected_recall"] for line in answer} == {1}


@pytest.fixture(scope="module")
def noise(gradctl, tmp_path_factory):
    """Rows and 60 queries that have nothing to do with each other: the best estimates are lucky."""
    directory = tmp_path_factory.mktemp("noise")
    database, files = Database(directory / "db").init(), Files(directory)
    random = np.random.default_rng(9)
    rows = random.standard_normal((1500, 8192), dtype=np.float32)
    queries = random.standard_normal((60, 8192), dtype=np.float32)
    for table, codecs in (("bits", "int8+bit"), ("prefix", "int8")):
        database.create(table, [f"grad:8192:{codecs}"], row_group=2000)
        database.ingest(table, files.grad("rows.st", rows, "F16"), checkpoint="c")
    return database, {"q": files.grad("queries.st", queries, "F16")}


@pytest.mark.parametrize("table", ["bits", "prefix"])
@pytest.mark.parametrize("ends", ["TOP 10", "BOTTOM 10"])
def test_intervals_hold_for_rows_that_are_chosen_by_estimates(noise, table, ends):
    database, params = noise
    question = f"SELECT row FROM {table} SCORE cosine TO $q"
    answer = database.query(f"{question} {ends} BUDGET 1us", params=params)
    check = [line for line in answer if line["score_low"] < line["score_high"]]
    assert len(check) >= 500, "scores were not estimated"
    true, best = {}, set()
    for line in database.query(f"{question} {ends.split()[0]} 1500", params=params):
        true[line["query"], line["row"]] = line["score"]
        if line["rank"] <= 10:
            best.add((line["query"], line["row"]))
    misses = [
        line for line in check
        if not line["score_low"] <= true[line["query"], line["row"]] <= line["score_high"]
    ]
    assert len(misses) <= ALLOWED_MISSES
    recall = np.mean([(line["query"], line["row"]) in best for line in answer])
    expected = np.mean([line["expected_recall"] for line in answer])
    assert abs(recall - expected) <= 0.15


def test_a_part_of_the_table_is_said_to_be_one(gradctl, tmp_path):
    # A scan by one thread takes one row group at least, whatever the time.
    table = EstimatedTable(
        Database(tmp_path / "db").init(), Files(tmp_path), {"grad": (64, "f32")}, 1000, 100)
    answer = table.ask("cosine TO $one TOP 100 BUDGET 0.000001us", "--threads", "1")
    assert len(answer) == 100
    assert {line["expected_recall"] for line in answer} == {0.1}
    true = {line["row"]: line["score"] for line in table.ask("cosine TO $one TOP 1000")}
    assert all(line["score"] == true[line["row"]] for line in answer)


def test_rows_that_norms_exclude_count_as_known(gradctl, tmp_path):
    database, files = Database(tmp_path / "db").init(), Files(tmp_path)
    rows = np.random.default_rng(1).standard_normal((1000, 64)).astype(np.float32)
    rows[:50] *= 100
    database.create("t", ["grad:64:f32"], row_group=50)
    database.ingest("t", files.grad("rows.st", rows), checkpoint="c")
    params = {"q": files.grad("query.st", rows[500:501])}
    statement = "SELECT row FROM t SCORE dot TO $q TOP 5 BUDGET 1h"
    assert scan_node(database, statement, params, "--threads", "1")["actual"]["rows"] < 1000
    answer = database.query(statement, "--threads", "1", params=params)
    assert {line["expected_recall"] for line in answer} == {1}


@pytest.fixture
def two_checkpoints(gradctl, tmp_path):
    """Many equal rows; a later checkpoint has the first half of them, in the opposite order."""
    database, files = Database(tmp_path / "db").init(), Files(tmp_path)
    random = np.random.default_rng(8)
    query = random.standard_normal((1, 8192), dtype=np.float32)
    rows = random.standard_normal((600, 8192), dtype=np.float32)
    rows += 0.3 * random.standard_normal((600, 1), dtype=np.float32) * query
    rows[100:140] = rows[100] + query
    fields = [{"id": f"r{row}", "bucket": row % 2} for row in range(600)]
    database.create("t", ["grad:8192:int8+bit"], ["bucket:int"], row_group=128)
    for checkpoint, order in (("c1", slice(None)), ("c2", slice(299, None, -1))):
        database.ingest(
            "t", files.grad("rows.st", rows[order], "F16"), checkpoint=checkpoint,
            metadata=files.metadata("rows.jsonl", fields[order]))
    # The newest checkpoint is the second one.
    return database, {"q": files.grad("query.st", query, "F16")}


@pytest.mark.parametrize("tail", ["TOP 20", "TOP 3 BOTTOM 3", "WHERE bucket = 1 TOP 12"])
def test_equal_scores_are_in_the_order_of_row_numbers(two_checkpoints, tail):
    database, params = two_checkpoints
    answers = [
        database.query(f"SELECT row FROM t SCORE cosine TO $q {tail} {accuracy}", params=params)
        for accuracy in ("EXACT", "BUDGET 1h", "CONFIDENCE 0.999999")
    ]
    assert answers[0] and len({str(ranking(answer)) for answer in answers}) == 1


def test_rows_that_a_checkpoint_lacks_are_not_missed(two_checkpoints):
    database, params = two_checkpoints
    for tail in ("WHERE bucket >= 0 TOP 5", "WHERE bucket = 0 TOP 5", "TOP 5"):
        answer = database.query(
            f"SELECT row FROM t SCORE cosine TO $q {tail} BUDGET 1h", params=params)
        assert {line["expected_recall"] for line in answer} == {1}


def test_equal_estimates_are_in_the_order_of_row_numbers(two_checkpoints):
    database, params = two_checkpoints
    answer = database.query(
        "SELECT row FROM t SCORE cosine TO $q TOP 20 BUDGET 1us", params=params)
    check_shape(answer)


@pytest.mark.parametrize("budget", ["0s", "0.0ms", "-1s", "5", "1d", "'1s'"])
def test_a_budget_that_is_no_duration_is_refused(two_checkpoints, budget):
    database, _ = two_checkpoints
    database.run("query", f"FROM t SCORE cosine TO ROW 'r7' BUDGET {budget}").expect(USAGE)


@pytest.mark.parametrize("budget", ["100000000000000000h", "0.000001us", "1e300h", "1e-300us"])
def test_durations_have_no_limits(two_checkpoints, budget):
    database, _ = two_checkpoints
    statement = f"FROM t SCORE cosine TO ROW 'r307' TOP 2 BUDGET {budget}"
    lines = database.run("query", statement, "--json").expect(OK, USAGE).lines
    assert len(lines) in (0, 2)


def test_passes_of_a_budget_are_shown(noise):
    database, params = noise
    statement = "SELECT row FROM bits SCORE cosine TO $q TOP 10 BUDGET 1us"
    assert estimates(passes(database, statement, params)) == ["estimate by bit"]
