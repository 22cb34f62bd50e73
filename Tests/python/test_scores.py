"""Scores against float64 numpy, for each codec: through append, query and read."""

import numpy as np
import pytest

import graddb

DIMS = 1024
ROWS = 700
# How far a stored row may be from the given one, relative to its norm, after the random rotation
# that makes its elements nearly Gaussian: rounding to 127 levels of the largest of 1,024 (at most
# six standard deviations), 16 levels of a Gaussian (Lloyd-Max: 0.107; evenly spaced: 0.108; more
# where one element is large), its signs (sqrt(pi / 2 - 1) = 0.756). f16 and bf16 round once.
RESIDUALS = {"f32": 0, "f16": 2**-11, "bf16": 2**-8, "int8": 0.0137, "int4": 0.16, "bit": 0.86}
LEAST_RESIDUALS = {"int8": 0.003, "int4": 0.08, "bit": 0.65}


def decoded(codec, vectors):
    """What floats are stored as; bf16 rounds to nearest, ties to even."""
    if codec == "f16":
        return vectors.astype(np.float16).astype(np.float32)
    if codec == "bf16":
        bits = vectors.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    return vectors


def scores(rows, query, measure):
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    dots = rows @ query
    if measure == "dot":
        return dots
    return dots / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))


@pytest.fixture(params=list(RESIDUALS))
def stored(request, db, rng):
    codec = request.param
    table = db.create_table("t", layers={"grad": (DIMS, codec)})
    vectors = (rng.standard_normal((ROWS, DIMS)) * rng.gamma(1, 1, (ROWS, 1))).astype(np.float32)
    table.append(vectors, ids=range(ROWS), checkpoint="a")
    query = vectors[3] + rng.standard_normal(DIMS).astype(np.float32)
    return codec, table, vectors, query


@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_scores_are_those_of_float64(stored, measure):
    codec, table, vectors, query = stored
    result = table.query(f"SCORE {measure} TO $q TOP {ROWS}", q=query)
    assert sorted(result.ids) == list(range(ROWS)) and (np.diff(result.scores) <= 0).all()
    true = scores(decoded(codec, vectors), query, measure)[result.ids]
    size = np.linalg.norm(query.astype(np.float64)) if measure == "dot" else 1.0
    size = size * (np.linalg.norm(vectors.astype(np.float64), axis=1)[result.ids]
                   if measure == "dot" else 1.0)
    if codec in ("f32", "f16", "bf16"):
        assert (abs(result.scores - true) <= 1e-11 * size).all()
        return
    # The error of a random rotation's rounding is spread over all dims: six standard deviations of
    # a dot product with it, the query's own rounding to eight bits beside.
    bound = 6 * (RESIDUALS[codec] + RESIDUALS["int8"]) / np.sqrt(DIMS) + 2 * RESIDUALS["int8"] ** 2
    if measure == "cosine":  # and the norm that it is divided by
        bound *= 1.5
    assert (abs(result.scores - true) <= bound * size).all()


def test_read_gives_back_what_is_stored(stored, rng):
    codec, table, vectors, _ = stored
    ids = rng.permutation(ROWS)[:100]
    read = table.read(ids)
    assert read.dtype == np.float32 and read.shape == (100, DIMS)
    if codec in ("f32", "f16", "bf16"):
        assert (read == decoded(codec, vectors)[ids]).all()
        return
    given = vectors[ids].astype(np.float64)
    residuals = np.linalg.norm(read - given, axis=1) / np.linalg.norm(given, axis=1)
    assert residuals.max() <= RESIDUALS[codec]
    assert residuals.min() >= LEAST_RESIDUALS[codec]


def test_layers_checkpoints_and_reductions(db, rng):
    dims = {"a": 64, "b.weight": 33}
    table = db.create_table("t", layers={name: (count, "f32") for name, count in dims.items()})
    ids = [f"row-{row}" for row in range(50)]
    stored = {}
    for checkpoint, weight in (("one", 0.25), ("two", 2.0)):
        stored[checkpoint] = {name: rng.standard_normal((50, count)).astype(np.float32)
                              for name, count in dims.items()}
        table.append(stored[checkpoint], ids=ids, checkpoint=checkpoint, weight=weight)
    query = {name: rng.standard_normal((3, count)).astype(np.float32)
             for name, count in dims.items()}

    def dots(checkpoint, names):
        return sum(stored[checkpoint][name].astype(float) @ query[name].astype(float).T
                   for name in names)

    def check(statement, true, **options):
        result = table.query(statement + " TOP 50", q=query, **options)
        places = [ids.index(row) for row in result.ids]
        assert np.allclose(result.scores, true[places], rtol=0, atol=1e-10)

    check("SCORE dot TO $q MEAN", dots("two", dims).mean(1))
    check("SCORE dot TO $q MEAN LAYERS 'b*'", dots("two", ["b.weight"]).mean(1))
    check("SCORE dot TO $q MEAN ACROSS ALL",
          (0.25 * dots("one", dims) + 2 * dots("two", dims)).mean(1))
    each = table.query("SCORE dot TO $q TOP 2", q=query)
    assert list(each["query"]) == [f"$q[{index}]" for index in range(3) for _ in range(2)]
    assert list(each["rank"]) == [1, 2] * 3
    assert np.allclose(each.scores, -np.sort(-dots("two", dims), axis=0)[:2].T.ravel())
    for checkpoint in stored:
        for name in dims:
            assert (table.read(ids, checkpoint=checkpoint, layer=name)
                    == stored[checkpoint][name]).all()


def test_scores_are_the_same_with_any_number_of_threads(db, rng):
    table = db.create_table("t", layers={"grad": (300, "int4")}, row_group=32)
    vectors = rng.standard_normal((1000, 300)).astype(np.float16)
    table.append(vectors, ids=range(1000), checkpoint="a")
    answers = [table.query("SCORE cosine TO $q TOP 100 BOTTOM 5", q=vectors[:7], threads=threads)
               for threads in (1, 2, 5)]
    for answer in answers[1:]:
        assert (answer.ids == answers[0].ids).all()
        assert (answer.scores == answers[0].scores).all()


def test_budget_gives_intervals(db, rng):
    table = db.create_table("t", layers={"grad": (512, "int8+bit")})
    vectors = rng.standard_normal((500, 512)).astype(np.float32)
    table.append(vectors, ids=range(500), checkpoint="a")
    result = table.query("SCORE dot TO $q TOP 5 BUDGET 10000ms", q=vectors[9])
    assert result.columns[5:8] == ["score_low", "score_high", "expected_recall"]
    assert (result["score_low"] <= result.scores).all()
    assert (result.scores <= result["score_high"]).all()
    assert result.ids[0] == 9
    assert isinstance(table.explain("SCORE dot TO ROW 3", analyze=True), graddb.Plan)


@pytest.mark.parametrize(
    "condition,value,kept",
    [
        ("n < $x", 3, [0, 1, 2]),
        ("n < $x", np.int64(3), [0, 1, 2]),
        ("n < $x", 1.5, [0, 1]),
        ("n < $x", np.float32(1.5), [0, 1]),
        ("text = $x", "t4", [4]),
        ("text = $x", "", []),
        ("even = $x", True, [0, 2, 4]),
        ("even = $x", np.bool_(False), [1, 3]),
        ("length(text) + $x = n", 2, [4]),
    ],
)
def test_parameters_are_values_in_conditions(db, condition, value, kept):
    table = db.create_table("t", layers={"grad": (8, "f32")},
                            fields={"n": int, "text": str, "even": bool})
    table.append(np.ones((5, 8), np.float32), ids=range(5), checkpoint="a",
                 fields={"n": range(5), "text": [f"t{row}" for row in range(5)],
                         "even": [row % 2 == 0 for row in range(5)]})
    query = np.ones(8, np.float32)
    result = table.query(f"SCORE dot TO $q WHERE {condition}", {"x": value}, q=query)
    assert sorted(result.ids) == kept


def test_a_parameter_that_does_not_fit_its_place_is_refused(db):
    table = db.create_table("t", layers={"grad": (8, "f32")}, fields={"n": int})
    table.append(np.ones((1, 8), np.float32), ids=[0], checkpoint="a", fields={"n": [1]})
    for value in ("one", float("inf"), True):
        with pytest.raises(graddb.QueryError, match="a number"):
            table.query("SCORE dot TO ROW 0 WHERE n = $x", {"x": value})
