"""Random tables against the float64 oracle: right rows, right order, scores within the error.

Each table is asked for both metrics, at both ends, under filters that keep everything, 1% and
nothing. Over the original vectors every score is within the codec's stated error; over what f32
and f16 decode to, ids and order are exactly the oracle's.
"""

import numpy as np
import pytest

from gradient_files import Files
from graddb import Database
from oracle import Truth, assert_duplicates, assert_ranking
from random_tables import RandomTable

CODECS = ["f32", "f16", "int8"]
# dims, rows, the type of the input file, rows per row group (None: the default).
SHAPES = [
    (7, 1, "F32", None),
    (7, 5000, "F32", None),
    (64, 3000, "F16", 1024),
    (256, 1500, "BF16", 100),
    (4097, 120, "F16", 7),
    (65536, 24, "F16", None),
]
SEVERAL_LAYERS = [
    {"a": (7, "f32"), "b": (64, "f16"), "c": (256, "f32"), "d": (4097, "f16")},
    {"a": (7, "int8"), "b": (64, "int8"), "c": (256, "int8"), "d": (4097, "int8")},
    {"a": (7, "f16"), "b": (64, "f32"), "c": (256, "int8"), "d": (4097, "int8")},
]
TABLES = [
    ({"grad": (dims, codec)}, rows, dtype, row_group)
    for dims, rows, dtype, row_group in SHAPES
    for codec in CODECS
] + [(layers, 150, "F16", 64) for layers in SEVERAL_LAYERS]

FILTERS = {
    "everything": ("", lambda fields: True),
    "all by filter": ("WHERE bucket >= 0", lambda fields: True),
    "one in a hundred": ("WHERE bucket = 13", lambda fields: fields["bucket"] == 13),
    "nothing": ("WHERE bucket = 1000", lambda fields: False),
}


def name_of(parameters):
    layers, rows, *_ = parameters
    return "+".join(f"{dims}-{codec}" for dims, codec in layers.values()) + f"x{rows}"


@pytest.fixture(scope="module", params=TABLES, ids=name_of)
def table(request, gradctl, tmp_path_factory):
    layers, rows, dtype, row_group = request.param
    directory = tmp_path_factory.mktemp("scores")
    database = Database(directory / "db").init()
    return RandomTable(database, Files(directory), "t", layers, rows, dtype, row_group)


def ask(table, source, tail, metric, mode=""):
    statement = f"SELECT row FROM t SCORE {metric} TO {source} {mode} {tail}"
    params = {"q": table.query_file, "one": table.one_query_file}
    return table.database.query(statement, params=params)


def at(end, answer):
    return [line for line in answer if line["end"] == end]


def verify(table, answer, truths, candidates, k, end):
    """Checks one end of one query against (true, bounds) pairs."""
    part = at(end, answer)
    rows = [line["row"] for line in part]
    scores = [line["score"] for line in part]
    assert [line["rank"] for line in part] == list(range(1, len(part) + 1))
    assert [line["id"] for line in part] == [f"r{row}" for row in rows]
    for true, bounds in truths:
        assert_ranking(rows, scores, true, bounds, candidates, k, end)
    assert_duplicates(rows, scores, table.duplicate_keys, candidates)


def truths_of(table, query, metric, query_is_a_row=False):
    """What is known of the right scores: over the originals, and where possible as decoded."""
    truth = table.truth
    known = [(truth.scores(query, metric), truth.bounds(query, metric, query_is_a_row))]
    if table.decodable:
        if query_is_a_row:
            query = {n: decoded_as_query(q, table.layers[n][1]) for n, q in query.items()}
        known.append((truth.decoded_scores(query, metric), truth.sum_bounds(query, metric)))
    return known


def decoded_as_query(vector, codec):
    return vector.astype(np.float16).astype(np.float32) if codec == "f16" else vector


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("kept", FILTERS)
def test_both_ends_are_right(table, metric, kept):
    where, keep = FILTERS[kept]
    candidates = table.candidates(keep)
    answer = ask(table, "$one", f"{where} TOP 25 BOTTOM 10", metric)
    assert answer == at("top", answer) + at("bottom", answer)
    truths = truths_of(table, table.query(0), metric)
    verify(table, answer, truths, candidates, 25, "top")
    verify(table, answer, truths, candidates, 10, "bottom")


def test_one_end_alone_is_that_end_of_both(table):
    both = ask(table, "$one", "TOP 25 BOTTOM 10", "cosine")
    assert ask(table, "$one", "TOP 25", "cosine") == at("top", both)
    assert ask(table, "$one", "BOTTOM 10", "cosine") == at("bottom", both)


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_more_than_there_is_returns_every_row(table, metric):
    answer = ask(table, "$one", "TOP 100000", metric)
    assert len(answer) == table.count
    truths = truths_of(table, table.query(0), metric)
    verify(table, answer, truths, range(table.count), 100000, "top")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_each_answers_every_query_on_its_own(table, metric):
    # EACH is the default: one metric says it, the other does not.
    answer = ask(table, "$q", "TOP 20 BOTTOM 5", metric, "EACH" if metric == "dot" else "")
    lines = min(20, table.count) + min(5, table.count)
    assert [line["query"] for line in answer] == [
        f"$q[{index}]" for index in range(3) for _ in range(lines)
    ]
    for index in range(3):
        part = [line for line in answer if line["query"] == f"$q[{index}]"]
        truths = truths_of(table, table.query(index), metric)
        verify(table, part, truths, range(table.count), 20, "top")
        verify(table, part, truths, range(table.count), 5, "bottom")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_mean_averages_the_scores_row_by_row(table, metric):
    answer = ask(table, "$q", "TOP 20 BOTTOM 5", metric, "MEAN")
    assert {line["query"] for line in answer} == {"$q"}
    pairs = [truths_of(table, table.query(index), metric) for index in range(3)]
    truths = [
        (np.mean([true for true, _ in known], axis=0), np.mean([b for _, b in known], axis=0))
        for known in zip(*pairs)
    ]
    verify(table, answer, truths, range(table.count), 20, "top")
    verify(table, answer, truths, range(table.count), 5, "bottom")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_a_stored_row_can_be_the_query(table, metric):
    not_zero = np.flatnonzero(table.truth.norms_together())
    row = int(not_zero[len(not_zero) // 2])
    answer = ask(table, f"ROW 'r{row}'", "TOP 20 BOTTOM 5", metric)
    assert {line["query"] for line in answer} == {f"ROW 'r{row}'"}
    truths = truths_of(table, table.row_query(row), metric, query_is_a_row=True)
    verify(table, answer, truths, range(table.count), 20, "top")
    verify(table, answer, truths, range(table.count), 5, "bottom")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_threads_change_no_byte(table, metric):
    statement = f"SELECT row FROM t SCORE {metric} TO $q EACH TOP 40 BOTTOM 40"
    answers = [
        table.database.query_result(
            statement, "--threads", threads, params={"q": table.query_file}
        ).stdout
        for threads in (1, 2)
    ]
    assert answers[0] == answers[1]


def test_npy_and_safetensors_queries_agree(table):
    if list(table.layers) != ["grad"]:
        pytest.skip("an .npy file holds one layer")
    values = table.queries["grad"].astype(np.float32)
    file = table.files.npy("queries.npy", values)
    statement = "SELECT row FROM t SCORE dot TO $q TOP 20"
    answers = [
        table.database.query(statement, params={"q": path}) for path in (table.query_file, file)
    ]
    assert answers[0] == answers[1]


# The standard deviation of a cosine's error times the root of dims (the residual norm of a row
# with Gaussian coordinates); under bit the query adds a three-hundredth of the variance.
RESIDUAL_NORMS = {"int4": 0.108, "bit": 0.756 * np.sqrt(1 + 1 / 300)}
SIGMAS = 5
# bf16 rounds by at most 2^-8 of each number: once in the dot product, once in the row's norm.
BF16_ERROR = 2.02 * 2.0**-8


@pytest.mark.parametrize("dims", [1000, 40000])
@pytest.mark.parametrize("codec", ["bf16", "int4", "bit"])
def test_cosines_of_small_codecs_are_close(gradctl, tmp_path, codec, dims):
    random = np.random.default_rng([7, dims])
    query = random.standard_normal((1, dims)).astype(np.float32)
    likeness = np.linspace(-1, 1, 100)[:, None]
    rows = (random.standard_normal((100, dims)) + likeness * query).astype(np.float32)
    database, files = Database(tmp_path / "db").init(), Files(tmp_path)
    database.create("t", [f"grad:{dims}:{codec}"])
    database.ingest("t", files.tensors("rows.safetensors", {"grad": rows}), checkpoint="c1")
    asked = files.tensors("query.safetensors", {"grad": query})
    answer = database.query("SELECT row FROM t SCORE cosine TO $q TOP 100", params={"q": asked})
    true = Truth({"grad": rows}, {"grad": "f32"}).scores({"grad": query[0]}, "cosine")
    errors = np.array([line["score"] - true[line["row"]] for line in answer])
    bound = BF16_ERROR if codec == "bf16" else SIGMAS * RESIDUAL_NORMS[codec] / np.sqrt(dims)
    assert len(errors) == 100
    assert np.abs(errors).max() <= bound
