"""Rows whose norms are too small for the answer are passed over, and the answer is the same."""

import numpy as np
import pytest

from estimated_tables import ranking, scan_node
from gradient_files import Files
from graddb import Database

CODECS = ["f32", "f16", "int8", "int4", "bit"]
DIMS = 300
ROWS = 600


def rows_of_all_norms(random, dims=DIMS, count=ROWS):
    """Norms from 1e-3 to 1e3, some rows much like the query, some the same, some zero."""
    query = random.standard_normal((1, dims))
    rows = random.standard_normal((count, dims))
    rows[::5] += 0.5 * random.choice([-1, 1], (len(rows[::5]), 1)) * query
    rows *= np.exp(random.uniform(np.log(1e-3), np.log(1e3), (count, 1))) / np.sqrt(dims)
    rows[[17, 301]] = 700 * query
    rows[[18, 302]] = -700 * query
    rows[50:60] = 0
    return rows.astype(np.float32), query.astype(np.float32)


class NormTable:
    def __init__(self, path, words, layers, queries, row_group=64):
        self.database, files = Database(path / "db").init(), Files(path)
        self.count = len(next(iter(layers.values())))
        self.database.create("t", words, ["bucket:int"], row_group=row_group)
        fields = [{"id": f"r{row}", "bucket": row % 4} for row in range(self.count)]
        self.database.ingest(
            "t", files.tensors("rows.st", layers), checkpoint="c",
            metadata=files.metadata("rows.jsonl", fields))
        self.params = {"q": files.tensors("queries.st", queries)}

    def check(self, source, k, where=""):
        """The best of each end, alone and together, against a ranking of all rows."""
        full = {}
        for end in ("TOP", "BOTTOM"):
            full[end] = ranking(self.ask(f"{source} {where} {end} {self.count}"))
        assert len(full["TOP"]) == len(full["BOTTOM"])
        best = {end: [line for line in lines if line[2] <= k] for end, lines in full.items()}
        for end in ("TOP", "BOTTOM"):
            assert ranking(self.ask(f"{source} {where} {end} {k}")) == best[end]
        both = sorted(best["TOP"] + best["BOTTOM"], key=lambda line: line[0])
        assert ranking(self.ask(f"{source} {where} TOP {k} BOTTOM {k}")) == both

    def ask(self, question, threads=1):
        return self.database.query(
            f"SELECT row FROM t SCORE dot TO {question}", "--threads", threads, params=self.params)

    def scanned(self, question):
        statement = f"FROM t SCORE dot TO {question}"
        return scan_node(self.database, statement, self.params, "--threads", "1")["actual"]


@pytest.mark.parametrize("codec", CODECS)
def test_answers_are_those_of_a_full_ranking(gradctl, tmp_path, codec):
    rows, query = rows_of_all_norms(np.random.default_rng(1))
    table = NormTable(tmp_path, [f"grad:{DIMS}:{codec}"], {"grad": rows}, {"grad": query})
    for k in (1, 20):
        table.check("$q", k)
    table.check("$q", 5, "WHERE bucket = 1")
    # A stored row as the query: under int4 and bit it scores itself above its norms' product.
    table.check("ROW 'r17'", 2)
    table.check("ROW 'r50'", 4)
    one, two = (ranking(table.ask("$q TOP 30 BOTTOM 30", threads)) for threads in (1, 2))
    assert one == two


@pytest.mark.parametrize("codec", ["f32", "int8", "int4", "bit"])
def test_rows_and_row_groups_are_passed_over(gradctl, tmp_path, codec):
    rows, query = rows_of_all_norms(np.random.default_rng(2))
    rows = rows[np.argsort(-np.linalg.norm(rows, axis=1), kind="stable")]
    table = NormTable(tmp_path, [f"grad:{DIMS}:{codec}"], {"grad": rows}, {"grad": query})
    scan = table.scanned("$q TOP 3")
    assert scan["skipped"] > 0 and scan["rows"] < ROWS
    assert table.scanned(f"$q TOP {ROWS}")["rows"] == ROWS
    table.check("$q", 3)


@pytest.mark.parametrize("codec", ["int8", "int4", "bit"])
def test_a_row_that_is_its_own_best_answer_is_not_passed_over(gradctl, tmp_path, codec):
    # Equal norms: the bound of each row is as large as the best score, which meets it exactly.
    random = np.random.default_rng(3)
    rows = random.standard_normal((400, 256))
    rows = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    rows[200:] = rows[:200]
    table = NormTable(
        tmp_path, [f"grad:256:{codec}"], {"grad": rows}, {"grad": rows[:1]}, row_group=20)
    for row in (0, 399):
        table.check(f"ROW 'r{row}'", 3)


def test_several_layers_and_queries_count_together(gradctl, tmp_path):
    random = np.random.default_rng(4)
    layers, queries = {}, {}
    for name in "abc":
        rows, query = rows_of_all_norms(random, 128, 400)
        layers[name] = rows[random.permutation(400)]
        queries[name] = np.concatenate([query, 1e-3 * random.standard_normal((2, 128))])
    words = ["a:128:int8", "b:128:f32", "c:128:bit"]
    table = NormTable(tmp_path, words, layers, queries, row_group=32)
    for source in ("$q", "$q MEAN"):
        table.check(source, 4)
    table.check("$q LAYERS 'b'", 4)


def test_scores_of_the_other_sign_are_enough_to_fill_an_answer(gradctl, tmp_path):
    # All scores are negative: no norm is too small for the top.
    random = np.random.default_rng(5)
    query = np.abs(random.standard_normal((1, 64))).astype(np.float32)
    rows = -np.abs(random.standard_normal((300, 64))).astype(np.float32)
    rows *= np.exp(random.uniform(-5, 5, (300, 1))).astype(np.float32)
    table = NormTable(tmp_path, ["grad:64:f32"], {"grad": rows}, {"grad": query}, row_group=10)
    table.check("$q", 7)
