"""LAYERS chooses what counts, ACROSS adds up checkpoints by weight: both against the oracle."""

import numpy as np
import pytest

from gradient_files import Files
from graddb import Database
from oracle import Truth, assert_ranking

LAYERS = {"layers.0.mlp.up": 64, "layers.1.mlp.up": 300, "layers.0.attn": 33, "head": 16}
# Stored weights; the checkpoints hold the same rows, each in another order.
WEIGHTS = {"early": 0.5, "middle": 2e-5, "late": 3.0}
ROWS = 80


class Trained:
    """A table of three checkpoints, their vectors, and two queries."""

    def __init__(self, directory, codec):
        self.codec = codec
        self.files = Files(directory)
        self.database = Database(directory / "db").init()
        words = [f"{name}:{dims}:{codec}" for name, dims in LAYERS.items()]
        self.database.create("t", words, ["part:int"], row_group=32)
        self.random = np.random.default_rng(70)
        self.truths = {name: self._ingest(name, weight) for name, weight in WEIGHTS.items()}
        self.queries = self._vectors(2)
        self.file = self.files.tensors("q.safetensors", self.queries)

    def _vectors(self, count):
        return {
            name: self.random.standard_normal((count, dims)).astype(np.float32)
            for name, dims in LAYERS.items()
        }

    def _ingest(self, checkpoint, weight):
        vectors = self._vectors(ROWS)
        order = self.random.permutation(ROWS) if checkpoint != "early" else np.arange(ROWS)
        shuffled = {name: rows[order] for name, rows in vectors.items()}
        ids = [{"id": f"r{row}", "part": int(row) % 4} for row in order]
        self.database.ingest(
            "t",
            self.files.tensors(f"{checkpoint}.safetensors", shuffled),
            checkpoint=checkpoint,
            weight=weight,
            metadata=self.files.metadata(f"{checkpoint}.jsonl", ids),
        )
        return Truth(vectors, {name: self.codec for name in LAYERS})

    def expected(self, query, metric, weights, layers=None):
        """The true scores and their bounds: sums over checkpoints by weight."""
        scores, bounds = np.zeros(ROWS), np.zeros(ROWS)
        for checkpoint, weight in weights.items():
            truth = self.truths[checkpoint].restricted_to(layers or LAYERS)
            chosen = {name: self.queries[name][query] for name in truth.layers}
            scores += weight * truth.scores(chosen, metric)
            bounds += abs(weight) * truth.bounds(chosen, metric)
        return scores, bounds * (1 + 1e-9)

    def verify(self, clauses, metric, weights, layers=None):
        statement = f"SELECT row FROM t SCORE {metric} TO $q {clauses} TOP 100 BOTTOM 15"
        lines = self.database.query(statement, params={"q": self.file})
        for query in range(2):
            true, bounds = self.expected(query, metric, weights, layers)
            for end, k in (("top", 100), ("bottom", 15)):
                part = [
                    line
                    for line in lines
                    if line["query"] == f"$q[{query}]" and line["end"] == end
                ]
                rows = [line["row"] for line in part]
                assert [line["id"] for line in part] == [f"r{row}" for row in rows]
                scores = [line["score"] for line in part]
                assert_ranking(rows, scores, true, bounds, range(ROWS), k, end)


@pytest.fixture(scope="module", params=["f32", "f16", "int8"])
def trained(request, gradctl, tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("trained"), request.param)


NEWEST = {"late": 1.0}
CHOICES = [
    ("LAYERS 'head'", ["head"]),
    ("LAYERS 'layers.*.mlp.*', 'head'", ["layers.0.mlp.up", "layers.1.mlp.up", "head"]),
    ("LAYERS 'layers.0.*'", ["layers.0.mlp.up", "layers.0.attn"]),
    ("LAYERS '*'", list(LAYERS)),
    ("LAYERS 'head', 'h*', '*d'", ["head"]),
    ("", list(LAYERS)),
]


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("clause,layers", CHOICES, ids=[clause for clause, _ in CHOICES])
def test_only_the_chosen_layers_count(trained, metric, clause, layers):
    trained.verify(clause, metric, NEWEST, layers)


ACROSS = [
    ("ACROSS 'early'", {"early": 1.0}),
    ("ACROSS 'late'", {"late": 1.0}),
    ("ACROSS 'middle' WEIGHT 7", {"middle": 7.0}),
    ("ACROSS 'early' WEIGHT 2e-5, 'late' WEIGHT 1e-5", {"early": 2e-5, "late": 1e-5}),
    ("ACROSS 'late' WEIGHT -1.5, 'early' WEIGHT 1", {"early": 1.0, "late": -1.5}),
    ("ACROSS 'early', 'late'", {"early": 0.5, "late": 3.0}),
    ("ACROSS 'middle' WEIGHT 1, 'early'", {"middle": 1.0, "early": 0.5}),
    ("ACROSS ALL", WEIGHTS),
]


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("clause,weights", ACROSS, ids=[clause for clause, _ in ACROSS])
def test_checkpoints_add_up_by_weight(trained, metric, clause, weights):
    trained.verify(clause, metric, weights)


def test_layers_and_checkpoints_may_be_chosen_together(trained):
    for metric in ("dot", "cosine"):
        clauses = "ACROSS ALL LAYERS 'layers.*'"
        trained.verify(clauses, metric, WEIGHTS, [n for n in LAYERS if n != "head"])


def test_a_weight_in_a_statement_scales_every_score(trained):
    plain = f"SELECT row FROM t SCORE dot TO $q ACROSS 'early' TOP {ROWS}"
    doubled = plain.replace("'early'", "'early' WEIGHT 2")
    once, twice = (
        trained.database.query(text, params={"q": trained.file}) for text in (plain, doubled)
    )
    assert [line["row"] for line in once] == [line["row"] for line in twice]
    assert [2 * line["score"] for line in once] == [line["score"] for line in twice]


def test_mean_filter_and_sum_together(trained):
    statement = (
        "SELECT row FROM t SCORE cosine TO $q MEAN ACROSS ALL WHERE part = 2 TOP 100 BOTTOM 3"
    )
    lines = trained.database.query(statement, params={"q": trained.file})
    both = [trained.expected(query, "cosine", WEIGHTS) for query in range(2)]
    true, bounds = (np.mean(pair, axis=0) for pair in zip(*both))
    candidates = [row for row in range(ROWS) if row % 4 == 2]
    for end, k in (("top", 100), ("bottom", 3)):
        part = [line for line in lines if line["end"] == end]
        rows = [line["row"] for line in part]
        scores = [line["score"] for line in part]
        assert_ranking(rows, scores, true, bounds, candidates, k, end)


def test_sums_too_are_the_same_on_one_and_two_threads(trained):
    statement = "SELECT row FROM t SCORE cosine TO $q ACROSS ALL TOP 50 BOTTOM 50"
    one, two = (
        trained.database.query_result(
            statement, "--threads", threads, params={"q": trained.file}
        ).stdout
        for threads in (1, 2)
    )
    assert one == two
