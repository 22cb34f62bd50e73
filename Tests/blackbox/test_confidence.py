"""CONFIDENCE: the rows of EXACT, from less. Plans show that estimates were really used."""

import numpy as np
import pytest

from estimated_tables import EstimatedTable, estimates, passes, ranking
from gradient_files import Files, as_type
from graddb import USAGE, Database

# What the estimates of a table are made from, and its layers.
TABLES = {
    "a prefix of int8": ("int8 1/4", {"grad": (16384, "int8")}),
    "bit beside int8": ("bit", {"grad": (8192, "int8+bit")}),
    "bit beside f16": ("bit", {"grad": (4096, "f16+bit")}),
    "bit or int8 beside f32": ("", {"grad": (4096, "f32+int8+bit")}),
    "bit beside int4": ("bit", {"grad": (8192, "int4+bit")}),
    "int4 beside bf16": ("int4", {"grad": (4096, "bf16+int4")}),
    "some of several layers": (
        "coarser codecs", {"a": (4096, "int8+bit"), "b": (1000, "f16"), "c": (2048, "f16+int4+bit")}
    ),
}
QUESTIONS = {
    "top": "cosine TO $one TOP 10",
    "bottom": "cosine TO $one BOTTOM 10",
    "both ends": "cosine TO $one TOP 7 BOTTOM 5",
    "dot": "dot TO $one TOP 7 BOTTOM 5",
    "mean": "cosine TO $q MEAN TOP 8 BOTTOM 2",
    "each": "cosine TO $q EACH TOP 5 BOTTOM 3",
    "a row": "cosine TO ROW 'r98' TOP 10",
    "all by filter": "cosine TO $one WHERE bucket >= 0 TOP 10",
    "half": "dot TO $one WHERE bucket < 50 TOP 10 BOTTOM 3",
    "one in a hundred": "cosine TO $one WHERE bucket = 13 TOP 1",
    "nothing": "cosine TO $one WHERE bucket = 1000 TOP 10",
    "nearly all rows": "cosine TO $one TOP 990",
}


@pytest.fixture(scope="module", params=TABLES)
def table(request, gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("confidence")
    source, layers = TABLES[request.param]
    table = EstimatedTable(Database(directory / "db").init(), Files(directory), layers)
    table.source = source
    table.ask_all([
        f"{question} {accuracy}"
        for question in QUESTIONS.values()
        for accuracy in ("EXACT", "CONFIDENCE 0.999999")
    ])
    return table


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_high_confidence_gives_the_exact_answer(table, question):
    exact = table.ask(f"{question} EXACT")
    confident = f"{question} CONFIDENCE 0.999999"
    assert ranking(table.ask(confident)) == ranking(exact)
    assert ranking(table.ask(confident, *table.estimating(confident))) == ranking(exact)
    if "bucket = 1000" in question:
        assert exact == []


@pytest.mark.parametrize("question", ["top", "both ends", "half"])
def test_candidates_are_found_by_estimates(table, question):
    confident = f"{QUESTIONS[question]} CONFIDENCE 0.999999"
    found = table.passes(confident, *table.estimating(confident))
    assert estimates(found) and table.source in estimates(found)[0], found
    assert any(name.startswith("score the") for name in found)


@pytest.mark.parametrize("question", ["nothing", "nearly all rows"])
def test_what_estimates_cannot_help_is_scored_at_once(table, question):
    assert not estimates(table.passes(f"{QUESTIONS[question]} CONFIDENCE 0.999999"))


@pytest.mark.parametrize("confidence", [0.001, 0.9])
def test_low_confidence_returns_exact_scores_in_order(table, confidence):
    true = {
        (line["query"], line["row"]): line["score"]
        for line in table.ask(f"cosine TO $q TOP {table.count}")
    }
    answer = table.ask(f"cosine TO $q TOP 10 CONFIDENCE {confidence}")
    for query in {line["query"] for line in answer}:
        lines = [line for line in answer if line["query"] == query]
        assert len(lines) == 10 and len({line["row"] for line in lines}) == 10
        assert all(line["score"] == true[query, line["row"]] for line in lines)
        keys = [(-line["score"], line["row"]) for line in lines]
        assert keys == sorted(keys)


def test_threads_change_no_byte(table):
    statement = "SELECT row FROM t SCORE cosine TO $q TOP 9 BOTTOM 4 CONFIDENCE 0.999"
    answers = {
        table.database.query_result(
            statement, "--threads", threads, params=table.params
        ).stdout
        for threads in (1, 2)
    }
    assert len(answers) == 1


def test_one_layer_of_several_is_estimated_alone(gradctl, tmp_path):
    layers = {"a": (16384, "int8"), "b": (64, "f32"), "c": (4096, "int8+bit")}
    table = EstimatedTable(Database(tmp_path / "db").init(), Files(tmp_path), layers, 800)
    for names, source in [("'a'", "int8 1/"), ("'a', 'b'", "1/"), ("'c'", "bit")]:
        question = f"cosine TO $one LAYERS {names} TOP 5"
        assert ranking(table.ask(f"{question} CONFIDENCE 0.999999")) == ranking(table.ask(question))
        confident = f"{question} CONFIDENCE 0.999999"
        (first, *_) = estimates(table.passes(confident, *table.estimating(confident)))
        assert source in first


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_tiny_tables_answer_as_exactly(gradctl, tmp_path, count):
    layers = {"grad": (8192, "int8+bit")}
    table = EstimatedTable(Database(tmp_path / "db").init(), Files(tmp_path), layers, count, 4)
    for tail in ("TOP 1", "BOTTOM 1", "TOP 3 BOTTOM 3", "TOP 50"):
        question = f"dot TO $q {tail}"
        for confidence in (0.5, 0.999999):
            answer = table.ask(f"{question} CONFIDENCE {confidence}")
            exact = table.ask(question)
            assert len(answer) == len(exact)
            if confidence > 0.9:
                assert ranking(answer) == ranking(exact)


def test_old_snapshots_and_sums_across_checkpoints_are_as_exact(gradctl, tmp_path):
    files = Files(tmp_path)
    table = EstimatedTable(
        Database(tmp_path / "db").init(), files, {"grad": (8192, "int8+bit")}, 600)
    fields = [{"id": f"r{row}"} for row in reversed(range(table.count))]
    table.database.ingest(
        "t", files.tensors("more.st", {"grad": table.rows["grad"][::-1] / 2}, "F16"),
        checkpoint="c2", metadata=files.metadata("more.jsonl", fields))
    question = "cosine TO $one TOP 10 BOTTOM 4"
    for version in ("AT 1 ", "AT 2 ", "AT 3 ", ""):
        exact, guess = (
            table.database.query(
                f"SELECT row FROM t {version}SCORE {question} {accuracy}", params=table.params)
            for accuracy in ("EXACT", "CONFIDENCE 0.999999"))
        assert ranking(guess) == ranking(exact)
    across = f"{question} ACROSS 'c1' WEIGHT 2, 'c2' WEIGHT -1"
    assert ranking(table.ask(f"{across} CONFIDENCE 0.5")) == ranking(table.ask(across))
    assert not estimates(table.passes(f"{across} CONFIDENCE 0.5"))
    alone = f"{question} ACROSS 'c1' WEIGHT 3"
    assert ranking(table.ask(f"{alone} CONFIDENCE 0.5")) == ranking(table.ask(alone))


class Rows:
    """A table `t` of one layer, of rows as they are given."""

    def __init__(self, path, codecs, rows, query):
        self.database, files = Database(path / "db").init(), Files(path)
        self.database.create("t", [f"grad:{rows.shape[1]}:{codecs}"])
        self.database.ingest("t", files.grad("rows.st", rows, "F16"), checkpoint="c")
        self.params = {"q": files.grad("query.st", query, "F16")}

    def answers(self, measure):
        question = f"SELECT row FROM t SCORE {measure} TO $q TOP 5"
        self.passes = passes(
            self.database, f"{question} CONFIDENCE 0.999999", self.params)
        return [
            ranking(self.database.query(f"{question} {accuracy}", params=self.params))
            for accuracy in ("EXACT", "CONFIDENCE 0.999999")
        ]


def likely_rows(random, query, count):
    rows = random.standard_normal((count, query.shape[1]), dtype=np.float32)
    return rows + 0.15 * random.standard_normal((count, 1), dtype=np.float32) * query


@pytest.mark.parametrize("codecs", ["int8", "int8+bit"])
def test_scores_that_come_from_the_last_dims_alone_are_found(gradctl, tmp_path, codecs):
    # The two rounds of the rotation meet in the middle: the last dims never reach the first.
    random = np.random.default_rng(3)
    dims, last = 24576, slice(16384, None)
    query = random.standard_normal((1, dims), dtype=np.float32)
    rows = likely_rows(random, query, 700)
    few = np.arange(10) * 60
    rows[few] = random.standard_normal((10, dims), dtype=np.float32)
    rows[few, last] += 2.5 * query[0, last]
    exact, guess = Rows(tmp_path, codecs, rows, query).answers("cosine")
    assert {row for _, _, _, row, _ in exact} <= set(few.tolist())
    assert guess == exact


@pytest.mark.parametrize("codecs", ["int8+bit", "f16+bit", "f16+int4"])
def test_a_row_that_one_element_outweighs_is_found_by_the_others(gradctl, tmp_path, codecs):
    random = np.random.default_rng(4)
    dims = 16384
    query = random.standard_normal((1, dims), dtype=np.float32)
    rows = likely_rows(random, query, 1000) / 64
    few = np.array([61, 318, 487, 744, 921])
    rows[few] = (random.standard_normal((5, dims), dtype=np.float32) + query) / 64
    rows[few, few * 7 + 3] += 20
    table = Rows(tmp_path, codecs, rows, query)
    exact, guess = table.answers("dot")
    assert {row for _, _, _, row, _ in exact} <= set(few.tolist())
    assert guess == exact and estimates(table.passes)


@pytest.mark.parametrize("codecs", ["int8", "int8+bit"])
def test_columns_that_line_up_with_slabs_are_no_trap(gradctl, tmp_path, codecs):
    # A matrix with a few loud columns: what a prefix of slabs sees of them, it sees all at once.
    random = np.random.default_rng(5)
    query = random.standard_normal((1, 16384), dtype=np.float32)
    query.reshape(4, 4096)[:, [5, 9, 100]] *= 20
    rows = random.standard_normal((1000, 16384), dtype=np.float32)
    rows.reshape(1000, 4, 4096)[:, :, [5, 9, 100]] *= 20
    rows += 0.3 * random.standard_normal((1000, 1), dtype=np.float32) * query
    for measure in ("cosine", "dot"):
        exact, guess = Rows(tmp_path / measure, codecs, as_type(rows, "F16"), query).answers(measure)
        assert guess == exact


@pytest.mark.parametrize("codecs", ["int8", "int8+bit"])
def test_few_elements_that_are_not_zero_are_no_trap(gradctl, tmp_path, codecs):
    random = np.random.default_rng(6)
    rows = random.standard_normal((1000, 16384), dtype=np.float32)
    rows *= random.random(rows.shape, dtype=np.float32) < 0.002
    query = random.standard_normal((1, 16384), dtype=np.float32)
    rows += 0.2 * random.random((1000, 1), dtype=np.float32) * query * (rows != 0)
    exact, guess = Rows(tmp_path, codecs, rows, query).answers("dot")
    assert guess == exact


def test_a_table_of_equal_rows_is_ranked_by_row_number(gradctl, tmp_path):
    random = np.random.default_rng(7)
    query = random.standard_normal((1, 8192), dtype=np.float32)
    rows = np.repeat(random.standard_normal((3, 8192), dtype=np.float32) + query, 300, axis=0)
    exact, guess = Rows(tmp_path, "int8+bit", rows, query).answers("cosine")
    assert guess == exact


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.5", "'a'"])
def test_a_confidence_that_is_no_probability_is_refused(gradctl, tmp_path, value):
    database, files = Database(tmp_path / "db").init(), Files(tmp_path)
    database.create("t", ["grad:4:f32"])
    database.ingest("t", files.grad("rows.st", np.ones((2, 4), "f4")), checkpoint="c")
    database.run("query", f"FROM t SCORE dot TO ROW 0 CONFIDENCE {value}").expect(USAGE)
