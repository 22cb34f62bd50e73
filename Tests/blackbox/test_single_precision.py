"""Float codecs are first scored in single precision, and answers are exact all the same.

What single precision cannot tell apart, or cannot hold, decides these rankings.
"""

import numpy as np
import pytest

from estimated_tables import passes, plan_names, ranking
from gradient_files import Files, as_type
from graddb import Database
from oracle import order, row_sums

# However small a table is.
SINGLE = ["--plan", "single precision"]
TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


class FloatTable:
    """A table `t` of one float codec; its rows are exactly those that are stored."""

    def __init__(self, path, codec, rows, queries):
        self.database, self.files = Database(path / "db").init(), Files(path)
        self.rows = as_type(rows, TYPES[codec])
        self.queries = np.asarray(queries, dtype=np.float32)
        self.database.create("t", [f"grad:{rows.shape[1]}:{codec}"], row_group=150)
        self.database.ingest("t", self.files.grad("rows.st", self.rows), checkpoint="c")
        self.params = {"q": self.files.grad("queries.st", self.queries)}

    def ask(self, question, *flags, query=None):
        params = self.params
        if query is not None:
            params = {"q": self.files.grad("one.st", self.queries[query:query + 1])}
        return self.database.query(f"SELECT row FROM t SCORE {question}", *flags, params=params)

    def require_single_precision(self, question):
        found = passes(self.database, f"SELECT row FROM t SCORE {question}", self.params, *SINGLE)
        assert found == ["single precision", "exact"], found

    def true_scores(self, query):
        rows = self.rows.astype(np.float64)
        return row_sums(rows, self.queries[query].astype(np.float64))

    def check(self, question, k):
        """The best k are those of a ranking of all rows, which no estimate has touched."""
        self.require_single_precision(f"{question} TOP {k}")
        for end in ("TOP", "BOTTOM"):
            everything = ranking(self.ask(f"{question} {end} {len(self.rows)}"))
            best = [line for line in everything if line[2] <= k]
            assert ranking(self.ask(f"{question} {end} {k}", *SINGLE)) == best

    def check_oracle(self, k):
        for end in ("top", "bottom"):
            answer = self.ask(f"dot TO $q {end} {k}", *SINGLE)
            for index in range(len(self.queries)):
                name = "$q" if len(self.queries) == 1 else f"$q[{index}]"
                found = [line["row"] for line in answer if line["query"] == name]
                true = self.true_scores(index)
                assert found == order(true, range(len(true)), end)[:k].tolist()


def cases(random, dims, count):
    """Names and rows, with queries that make them difficult."""
    rows = random.standard_normal((count, dims)).astype(np.float32)
    queries = random.standard_normal((4, dims)).astype(np.float32)
    yield "ordinary", rows, queries
    ties = rows.copy()
    ties[5::7] = ties[3]
    ties[3] += queries[0]
    ties[6::9] = ties[3]
    yield "ties", ties, queries
    near = np.repeat(rows[:1] + queries[:1], count, axis=0)
    near[np.arange(count), random.integers(0, dims, count)] += np.float32(2.0**-6)
    yield "near ties", near, queries
    cancelling = rows.copy()
    half = dims // 2
    cancelling[:, half:2 * half] = -cancelling[:, :half]
    cancelling[:, 0] += 2.0**-5 * random.integers(-4, 5, count)
    same = queries.copy()
    same[:, half:2 * half] = same[:, :half]
    same *= 2.0**10
    yield "cancelling", cancelling, same
    yield "subnormal", rows * np.float32(2.0**-20), queries * np.float32(2.0**-126)
    sizes = np.exp(random.uniform(-6, 6, (count, 1))).astype(np.float32)
    yield "of all sizes", rows * sizes, queries


CASES = ["ordinary", "ties", "near ties", "cancelling", "subnormal", "of all sizes"]


def case(name, dims, count=600):
    found = {n: (r, q) for n, r, q in cases(np.random.default_rng(dims), dims, count)}
    return found[name]


@pytest.mark.parametrize("codec,queries", [("f16", 1), ("f16", 4), ("bf16", 1), ("f32", 4)])
@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_a_full_ranking(gradctl, tmp_path, name, codec, queries):
    rows, all_queries = case(name, 3000 if codec == "f16" else 257)
    table = FloatTable(tmp_path, codec, rows, all_queries[:queries])
    table.check("dot TO $q", 30)
    if name != "subnormal":
        table.check("cosine TO $q", 12)
    if name == "ordinary":
        table.check_oracle(30)
        table.check("dot TO $q MEAN", 30)


@pytest.mark.parametrize("codec", ["f16", "bf16"])
def test_exact_ties_are_in_the_order_of_row_numbers(gradctl, tmp_path, codec):
    # Small integers: every sum is exact, in any precision, and there are ties at every cut.
    random = np.random.default_rng(11)
    table = FloatTable(
        tmp_path, codec, random.integers(-1, 2, (800, 48)).astype(np.float32),
        random.integers(-1, 2, (1, 48)))
    for k in (1, 7, 40):
        table.check_oracle(k)
    table.check("dot TO $q", 40)


@pytest.mark.parametrize("codec,queries", [("f16", 1), ("f16", 4), ("bf16", 1), ("f32", 4)])
@pytest.mark.parametrize("sign", [1, -1])
def test_rows_whose_partial_sums_overflow_are_ranked_all_the_same(
    gradctl, tmp_path, codec, queries, sign
):
    random = np.random.default_rng(12)
    rows = random.standard_normal((400, 1024)).astype(np.float32)
    # Down to minus infinity, then back up to the best score of all; and the other way round.
    large = 60000 if codec == "f16" else 2e38
    rows[7, :400], rows[7, 400:801], rows[7, 801:] = -large, large, 0
    rows[333] = -rows[7]
    asked = np.full((queries, 1024), 1e34 if codec == "f16" else 1, np.float32) * sign
    table = FloatTable(tmp_path, codec, rows, asked)
    table.check("dot TO $q", 3)
    table.check("cosine TO $q", 3)
    table.check_oracle(1)
    best = table.ask("dot TO $q TOP 1")
    assert {line["row"] for line in best} == {7 if sign == 1 else 333}


def test_queries_near_the_end_of_single_precision_are_answered(gradctl, tmp_path):
    random = np.random.default_rng(13)
    rows = random.standard_normal((400, 64)).astype(np.float32)
    queries = (random.choice([-1, 1], (4, 64)) * np.float32(1e38)).astype(np.float32)
    for codec in ("f32", "f16", "bf16"):
        table = FloatTable(tmp_path / codec, codec, rows, queries)
        table.check("dot TO $q", 20)
        table.check("cosine TO $q", 20)
        table.check_oracle(20)


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_a_batch_answers_as_its_queries_do_one_by_one(gradctl, tmp_path, codec, measure):
    random = np.random.default_rng(14)
    rows = random.standard_normal((500, 2500)).astype(np.float32)
    rows[::3] = rows[1]
    table = FloatTable(tmp_path, codec, rows, random.standard_normal((9, 2500)))
    question = f"{measure} TO $q TOP 15 BOTTOM 8"
    table.require_single_precision(question)
    together = ranking(table.ask(question, *SINGLE))
    for index in range(9):
        alone = ranking(table.ask(question, query=index))
        assert [line[1:] for line in alone] == [
            line[1:] for line in together if line[0] == f"$q[{index}]"]


@pytest.mark.parametrize("wanted,found", [(20, True), (21, False)])
def test_answers_that_are_small_beside_the_table_come_from_single_precision(
    gradctl, tmp_path, wanted, found
):
    random = np.random.default_rng(15)
    table = FloatTable(
        tmp_path, "f16", random.standard_normal((400, 40)), random.standard_normal((1, 40)))
    statement = f"FROM t SCORE dot TO $q TOP {wanted}"
    assert ("single precision" in plan_names(table.database, statement, table.params)) == found


def test_float_layers_beside_others_are_ranked_together(gradctl, tmp_path):
    random = np.random.default_rng(16)
    layers = {"a": (100, "f16"), "b": (333, "int8"), "c": (50, "bf16"), "d": (64, "f32")}
    database, files = Database(tmp_path / "db").init(), Files(tmp_path)
    database.create("t", [f"{n}:{d}:{c}" for n, (d, c) in layers.items()], row_group=99)
    values = {n: random.standard_normal((500, d)) for n, (d, _) in layers.items()}
    database.ingest("t", files.tensors("rows.st", values, "BF16"), checkpoint="c")
    queries = {n: random.standard_normal((5, d)) for n, (d, _) in layers.items()}
    params = {"q": files.tensors("queries.st", queries)}
    for measure in ("dot", "cosine"):
        for mode in ("EACH", "MEAN"):
            question = f"SELECT row FROM t SCORE {measure} TO $q {mode}"
            assert passes(database, f"{question} TOP 25", params, *SINGLE)
            everything = ranking(database.query(f"{question} TOP 500", params=params))
            best = [line for line in everything if line[2] <= 25]
            assert ranking(database.query(f"{question} TOP 25", *SINGLE, params=params)) == best
