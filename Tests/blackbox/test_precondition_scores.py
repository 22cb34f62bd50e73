"""PRECONDITION in statements: scores with H⁻¹ against numpy's dense solutions in float64.

f32 stores the gradients as they are given, so that only the rounding of H⁻¹q to single precision is
left; other codecs are held to their errors.
"""

import numpy as np
import pytest
from graddb import BAD_INPUT, USAGE
from preconditioning import arguments, inverse, matrix, squared_norms

DIMS = {"a": 120, "b": 33}
ROWS, QUERIES = 60, 3
WEIGHTS = {"c": 0.75, "d": -0.5}
# Of |H⁻¹q| |g|: half an ulp of a float32, with room.
SLACK = 2e-7


def vectors(rng, rows):
    return {name: (rng.standard_normal((rows, dims)) * 2 / np.sqrt(np.arange(1, dims + 1))).astype(np.float32)
            for name, dims in DIMS.items()}


class Scene:
    """The table t: two checkpoints of the same ids, and queries that differ from one to the other."""

    def __init__(self, database, files):
        rng = np.random.default_rng(11)
        self.database, self.directory = database, files.directory
        database.create("t", [f"{name}:{dims}:f32" for name, dims in DIMS.items()], ["kind:string"],
                        row_group=16)
        kinds = [{"id": i, "kind": "xy"[i % 2]} for i in range(ROWS)]
        metadata = files.metadata("m.jsonl", kinds)
        self.rows, self.queries = {}, {}
        for checkpoint in "cd":
            self.rows[checkpoint] = vectors(rng, ROWS)
            database.ingest("t", files.tensors("v.safetensors", self.rows[checkpoint]),
                            checkpoint=checkpoint, metadata=metadata, weight=WEIGHTS[checkpoint])
            self.queries[checkpoint] = vectors(rng, QUERIES)
            files.tensors(f"q-{checkpoint}.safetensors", self.queries[checkpoint])

    def build(self, name="p", **options):
        return self.database.json(*arguments(name, **options)).line

    def scores(self, statement):
        """{query: {id: score}} of a statement that asks for all rows."""
        found = {}
        for row in self.database.query(statement, cwd=self.directory):
            found.setdefault(row["query"], {})[row["id"]] = row["score"]
        return list(found.values())

    def wanted(self, measure, checkpoint, kind="dense", damping=None, layers=DIMS, queries=None, rows=None):
        """([queries, rows], how far they may be off)."""
        rows = rows or self.rows[checkpoint]
        queries = queries or self.queries[checkpoint]
        dots = sizes = query_norms = row_norms = 0
        for name in layers:
            h, _ = matrix(self.rows[checkpoint][name], kind, damping)
            applied = inverse(h, queries[name])
            dots = dots + applied @ rows[name].astype(np.float64).T
            sizes = sizes + np.outer(np.linalg.norm(applied, axis=1), np.linalg.norm(rows[name], axis=1))
            query_norms = query_norms + squared_norms(h, queries[name])
            row_norms = row_norms + squared_norms(h, rows[name])
        divisors = np.sqrt(np.outer(query_norms, row_norms)) if measure == "cosine" else 1
        return dots / divisors, SLACK * sizes / divisors


@pytest.fixture
def scene(database, files):
    return Scene(database, files)


def close(found, wanted, slack):
    """Scores by id, as `scores` has them, against an array in the order of ids."""
    assert len(found) == len(wanted)
    for scores, row, room in zip(found, wanted, np.broadcast_to(slack, wanted.shape)):
        assert sorted(scores) == list(range(len(row)))
        answers = np.array([scores[i] for i in range(len(row))])
        assert (np.abs(answers - row) <= room).all(), np.abs(answers - row).max()
        # 1e-5 of the largest, too.
        assert np.abs(answers - row).max() <= 1e-5 * np.abs(row).max()


@pytest.mark.parametrize("measure", ["dot", "cosine"])
@pytest.mark.parametrize("kind", ["dense", "diagonal", "woodbury"])
@pytest.mark.parametrize("layers", [["a"], ["a", "b"]])
def test_scores_are_those_of_the_solution(scene, measure, kind, layers):
    """Woodbury with as many directions as gradients is the dense matrix."""
    scene.build(kind=kind, checkpoint="c", damping=0.01)
    chosen = ", ".join(f"'{name}'" for name in layers)
    found = scene.scores(f"SELECT id, score FROM t SCORE {measure} TO 'q-c.safetensors' LAYERS {chosen} "
                         "ACROSS 'c' PRECONDITION p ALL")
    close(found, *scene.wanted(measure, "c", kind, 0.01, layers))


@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_top_rows_are_those_of_all(scene, measure):
    """The few best come by another way than all of them: MEAN, one and many queries."""
    scene.build(checkpoint="c")
    wanted, slack = scene.wanted(measure, "c")
    for reduction in ("EACH", "MEAN", "MAX", "SUM"):
        answers = {"EACH": wanted, "MEAN": wanted.mean(0)[None], "MAX": wanted.max(0)[None],
                   "SUM": wanted.sum(0)[None]}[reduction]
        found = scene.scores(f"FROM t SCORE {measure} TO 'q-c.safetensors' {reduction} ACROSS 'c' "
                             "PRECONDITION p TOP 2 BOTTOM 1")
        for scores, row in zip(found, answers, strict=True):
            best = np.argsort(-row)
            assert list(scores) == [*best[:2], best[-1]]
            assert list(scores.values()) == pytest.approx(list(row[list(scores)]), abs=3 * slack.max())


def test_across_checkpoints(scene):
    """Each checkpoint has its own matrix, and its own queries where the path says so."""
    scene.build(checkpoint=["c", "d"])
    parts = [scene.wanted("dot", checkpoint) for checkpoint in "cd"]
    found = scene.scores("FROM t SCORE dot TO 'q-{checkpoint}.safetensors' ACROSS ALL PRECONDITION p ALL")
    close(found, sum(WEIGHTS[c] * scores for c, (scores, _) in zip("cd", parts)), sum(s for _, s in parts))
    # One file for both: other queries at each, since the matrices differ.
    parts = [scene.wanted("cosine", checkpoint, queries=scene.queries["c"]) for checkpoint in "cd"]
    found = scene.scores("FROM t SCORE cosine TO 'q-c.safetensors' ACROSS 'd' WEIGHT 2, 'c' WEIGHT 3 "
                         "PRECONDITION p ALL")
    close(found, 3 * parts[0][0] + 2 * parts[1][0], 5 * sum(s for _, s in parts))


def test_rows_as_queries(scene):
    scene.build()
    wanted, slack = scene.wanted("cosine", "d", queries=scene.rows["d"])
    close(scene.scores("FROM t SCORE cosine TO ROW 7 PRECONDITION p ALL"), wanted[7:8], slack[7:8])
    found = scene.scores("FROM t SCORE cosine TO ROWS WHERE row < 5 PRECONDITION p ALL")
    close(found, wanted[:5], slack[:5])
    assert found[3][3] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", ["dense", "diagonal", "woodbury"])
def test_self(scene, kind):
    scene.build(checkpoint=["c", "d"], kind=kind)
    norms = {c: {name: squared_norms(matrix(rows, kind)[0], rows) for name, rows in scene.rows[c].items()}
             for c in "cd"}
    close(scene.scores("FROM t SCORE self PRECONDITION p ALL"),
          (norms["d"]["a"] + norms["d"]["b"])[None], 1e-8)
    close(scene.scores("FROM t SCORE self LAYERS 'b' ACROSS 'c' WEIGHT 2, 'd' WEIGHT -1 PRECONDITION p ALL"),
          (2 * norms["c"]["b"] - norms["d"]["b"])[None], 1e-8)
    rows = scene.database.query("SELECT layer, score PER LAYER FROM t SCORE self PRECONDITION p TOP 1")
    best = int(np.argmax(norms["d"]["a"] + norms["d"]["b"]))
    assert [(row["layer"], row["id"]) for row in rows] == [("a", best), ("b", best)]
    assert [row["score"] for row in rows] == pytest.approx([norms["d"]["a"][best], norms["d"]["b"][best]])


def test_layers_and_groups(scene):
    scene.build()
    total, slack = scene.wanted("cosine", "d")
    best = int(np.argmax(total[0]))
    rows = scene.database.query("SELECT layer, score PER LAYER FROM t SCORE cosine TO 'q-d.safetensors' "
                                "PRECONDITION p TOP 1", cwd=scene.directory)[:2]
    for row, name in zip(rows, DIMS):
        wanted, _ = scene.wanted("cosine", "d", layers=[name])
        assert (row["layer"], row["id"]) == (name, best)
        assert row["score"] == pytest.approx(wanted[0][best], abs=10 * slack.max())
    rows = scene.database.query("FROM t SCORE cosine TO 'q-d.safetensors' MEAN GROUP BY kind WITH mean "
                                "PRECONDITION p", cwd=scene.directory)
    assert {row["id"]: row["score"] for row in rows} == {
        "xy"[i]: pytest.approx(total.mean(0)[i::2].mean(), abs=slack.max()) for i in range(2)}


def test_later_rows_and_older_snapshots(scene, files):
    """Rows that came after the preconditioner are scored by it, norms and all; older snapshots too."""
    scene.build(checkpoint="d")
    before = scene.scores("FROM t SCORE cosine TO 'q-d.safetensors' PRECONDITION p ALL")
    more = vectors(np.random.default_rng(12), 20)
    scene.database.ingest("t", files.tensors("w.safetensors", more), checkpoint="d", metadata=files.metadata(
        "n.jsonl", [{"id": ROWS + i, "kind": "z"} for i in range(20)]))
    every = {name: np.concatenate([scene.rows["d"][name], more[name]]) for name in DIMS}
    for statement in ("FROM t SCORE cosine TO 'q-d.safetensors' PRECONDITION p ALL",
                      "FROM t SCORE cosine TO 'q-d.safetensors' WHERE row >= 0 PRECONDITION p ALL"):
        close(scene.scores(statement), *scene.wanted("cosine", "d", rows=every))
    h = {name: matrix(scene.rows["d"][name])[0] for name in DIMS}
    close(scene.scores("FROM t SCORE self PRECONDITION p ALL"),
          sum(squared_norms(h[name], every[name]) for name in DIMS)[None], 1e-8)
    assert scene.scores("FROM t AT 3 SCORE cosine TO 'q-d.safetensors' PRECONDITION p ALL") == before
    scene.database.run("precondition", "t", "--name", "p", "--remove").expect()
    assert scene.scores("FROM t AT 4 SCORE cosine TO 'q-d.safetensors' PRECONDITION p ALL") != before
    assert scene.scores("FROM t AT 3 SCORE cosine TO 'q-d.safetensors' PRECONDITION p ALL") == before
    for at in ("", "AT 2"):
        scene.database.run("query", f"FROM t {at} SCORE self PRECONDITION p").expect(USAGE)


REFUSALS = [
    ("FROM t SCORE self PRECONDITION fishes", "fishes", "did you mean fisher?"),
    ("FROM t SCORE self ACROSS 'c', 'd' PRECONDITION fisher", "'c'", "'c'"),
    ("FROM t SCORE self ACROSS ALL PRECONDITION fisher", "fisher", "'c'"),
    ("FROM t SCORE self LAYERS 'a', 'b*' PRECONDITION fisher", "'b*'", "layer 'b'"),
    ("FROM t SCORE self PRECONDITION fisher", "fisher", "layer 'b'"),
    ("FROM t AT 2 SCORE self PRECONDITION fisher", "fisher", "no PRECONDITION"),
]


@pytest.mark.parametrize("statement, place, word", REFUSALS)
def test_refusals_point_at_the_word(scene, statement, place, word):
    scene.build("fisher", layers="a")
    error = scene.database.run("query", statement, "--json").expect(USAGE).error["error"]
    assert word in error
    line, text, carets = error.splitlines()[:3]
    assert text[carets.index("^"):carets.rindex("^") + 1] == place


def test_queries_that_become_too_large(scene, files):
    scene.build(damping=1e-6, layers="a", kind="woodbury", rank=ROWS)
    for size, fits in ((1e25, True), (3e38, False)):
        files.tensors("big.safetensors", {"a": np.full((1, 120), size, np.float32)})
        ask = "FROM t SCORE dot TO 'big.safetensors' LAYERS 'a' PRECONDITION p"
        result = scene.database.run("query", ask, "--json", cwd=scene.directory)
        if not fits:
            assert "too large" in result.expect(BAD_INPUT).error["error"]
        else:
            result.expect()
    files.tensors("zero.safetensors", {"a": np.zeros((1, 120), np.float32)})
    statement = "FROM t SCORE {} TO 'zero.safetensors' LAYERS 'a' PRECONDITION p"
    error = scene.database.run("query", statement.format("cosine"), "--json", cwd=scene.directory)
    assert "zero vector" in error.expect(BAD_INPUT).error["error"]
    assert {row["score"] for row in scene.database.query(statement.format("dot"), cwd=scene.directory)} == {0}


def test_explain_names_it(scene):
    scene.build("fisher", kind="diagonal")
    plan = scene.database.json("explain", "--analyze", "FROM t SCORE self PRECONDITION fisher").text
    assert "fisher (diagonal)" in plan


WIDE = 2048
# Errors of a score, of |H⁻¹q| |g|: six standard deviations (codecs.md), and float32's rounding.
ERRORS = {"f16": 1e-3, "bf16": 8e-3, "int8": 6 * 0.02 / WIDE**0.5, "int4": 6 * 0.12 / WIDE**0.5,
          "bit": 6 * 1.0 / WIDE**0.5}


@pytest.fixture
def wide(database, files):
    """Tables of one layer and many rows, in a codec."""
    rng = np.random.default_rng(21)
    rows = (rng.standard_normal((400, WIDE)) + rng.standard_normal(WIDE)).astype(np.float32)
    queries = rng.standard_normal((5, WIDE)).astype(np.float32) + rows[:5]
    source, _ = files.grad("v.safetensors", rows), files.grad("q.safetensors", queries)

    def make(codec):
        database.create("t", [f"grad:{WIDE}:{codec}"], row_group=64)
        database.ingest("t", source, checkpoint="c")
        return rows, queries

    return make


@pytest.mark.parametrize("codec", ERRORS)
def test_other_codecs_are_within_their_errors(database, files, wide, codec):
    """The matrix is of what rows decode to, which the second reader shows; so are their norms."""
    import sys

    from graddb import REPOSITORY

    sys.path.insert(0, str(REPOSITORY / "tools" / "reader"))
    from database import Database as Reader

    _, queries = wide(codec)
    database.json(*arguments("p", kind="woodbury", rank=400, damping=0.1))
    with Reader(database.path) as reader:
        _, decoded = reader.table("t").vectors("c", reader.table("t").layer("grad"))
    h, _ = matrix(decoded, damping=0.1)
    applied = inverse(h, queries)
    wanted = applied @ decoded.astype(np.float64).T
    room = ERRORS[codec] * np.outer(np.linalg.norm(applied, axis=1), np.linalg.norm(decoded, axis=1))
    norms = np.sqrt(np.outer(squared_norms(h, queries), squared_norms(h, decoded)))
    for measure, divisor in (("dot", np.ones_like(norms)), ("cosine", norms)):
        rows = database.query(f"FROM t SCORE {measure} TO 'q.safetensors' PRECONDITION p ALL",
                              cwd=files.directory)
        found = np.zeros_like(wanted)
        for row in rows:
            found[int(row["query"][-2]), row["id"]] = row["score"]
        assert (np.abs(found - wanted / divisor) <= room / divisor).all()


@pytest.mark.parametrize("codec", ["f32", "f16", "int8+bit", "bit"])
@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_confidence_and_budget_answer_alike(database, files, wide, codec, measure):
    """What is exact in the end is exactly what is exact at once; intervals hold the true scores."""
    wide(codec)
    database.json(*arguments("p", kind="diagonal"))
    ask = f"FROM t SCORE {measure} TO 'q.safetensors' PRECONDITION p"
    every = {(row["query"], row["id"]): row["score"]
             for row in database.query(f"{ask} ALL", cwd=files.directory)}
    exact = database.query(f"{ask} TOP 5 BOTTOM 5", cwd=files.directory)
    assert all(row["score"] == every[row["query"], row["id"]] for row in exact)
    sure = database.query(f"{ask} TOP 5 BOTTOM 5 CONFIDENCE 0.999999999", cwd=files.directory)
    assert sure == exact
    for budget in ("1us", "20s"):
        rows = database.query(f"{ask} TOP 5 BUDGET {budget}", cwd=files.directory)
        held = [row["score_low"] - 1e-12 <= every[row["query"], row["id"]] <= row["score_high"] + 1e-12
                for row in rows]
        assert len(rows) == 25 and sum(held) >= 24
