"""Layers in other codecs, and in several: what answers, what stays as it was, what is refused.

The oracle knows the vectors as they were given. A recoded row was quantised twice, so its score may
be off by both codecs' errors; what an older snapshot answers, and what the finest codec answers
beside a new one, may not change in a single bit.
"""

import json
import shutil

import numpy as np
import pytest

from gradient_files import Files
from graddb import (
    BAD_INPUT,
    CORRUPT,
    NOT_FOUND,
    OK,
    USAGE,
    Database,
    recode_arguments,
)
from oracle import int8_errors
from terminal import run_on_terminal

CODECS = ["f32", "f16", "bf16", "int8", "int4", "bit"]
PAIRS = [(source, target) for source in CODECS for target in CODECS if source != target]
SIGMAS = 6
DIMS = 4100


def dot_error(codec, dims):
    """How far a dot product may be off, relative to the norms: surely, or by many sigmas."""
    if codec in ("f32", "f16", "bf16"):
        return {"f32": 1e-6, "f16": 2.0**-10, "bf16": 2.0**-7}[codec]
    if codec == "int8":
        return 2 * int8_errors(dims)[0] + int8_errors(dims)[1] + 1e-5
    return SIGMAS * {"int4": 0.12, "bit": 0.76}[codec] / np.sqrt(dims) + 1e-5


class Given:
    """What went into a table: rows by layer and checkpoint, in row order, and one query."""

    def __init__(self, database, files, layers, rows=50, row_group=16, name="t"):
        self.database, self.files, self.name = database, files, name
        self.random = np.random.default_rng([7, rows, len(layers)])
        self.dims = {layer: int(words.split(":")[0]) for layer, words in layers.items()}
        database.create(
            name, [f"{layer}:{words}" for layer, words in layers.items()], row_group=row_group
        )
        self.rows, self.vectors = rows, {}
        query = {n: self.random.standard_normal((1, d)) for n, d in self.dims.items()}
        self.query = {n: q.astype(np.float32) for n, q in query.items()}
        self.query_file = files.tensors(f"{name}-q.safetensors", self.query)

    def ingest(self, checkpoint, rows=None):
        """More rows of a checkpoint, with the ids that follow."""
        rows = rows or self.rows
        likeness = np.linspace(-1, 1, rows)[:, None]
        new = {
            n: (self.random.standard_normal((rows, d)) + likeness * self.query[n]).astype("f4")
            for n, d in self.dims.items()
        }
        known = self.vectors.get(checkpoint, {n: np.zeros((0, d)) for n, d in self.dims.items()})
        self.vectors[checkpoint] = {n: np.concatenate([known[n], new[n]]) for n in new}
        source = self.files.tensors(f"{self.name}-{checkpoint}.safetensors", new)
        return self.database.ingest(self.name, source, checkpoint=checkpoint)

    def answer(self, tail="", at="", metric="dot"):
        """The bytes of the answer with every row in it."""
        statement = f"SELECT row FROM {self.name} {at} SCORE {metric} TO $q {tail} TOP 100000"
        return self.database.query_result(statement, params={"q": self.query_file}).stdout

    def verify(self, codecs, layer="grad", checkpoint="c"):
        """Every score of a layer at a checkpoint is right within the errors of the codecs that
        its rows went through, the last of which coded the query."""
        tail = f"LAYERS '{layer}' ACROSS '{checkpoint}'"
        lines = [json.loads(line) for line in self.answer(tail).splitlines()]
        rows = self.vectors[checkpoint][layer].astype(np.float64)
        query = self.query[layer][0].astype(np.float64)
        assert sorted(line["row"] for line in lines) == list(range(len(rows)))
        scores = np.array([line["score"] for line in sorted(lines, key=lambda line: line["row"])])
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
        # A row that has been bits is longer by a quarter, and so is the error made after that.
        bound = 1.3 * sum(dot_error(codec, self.dims[layer]) for codec in codecs)
        assert np.all(np.abs(scores - rows @ query) <= bound * norms)


def layer_codecs(database, table="t"):
    return {layer["name"]: layer["codecs"] for layer in database.info(table)["layers"]}


@pytest.fixture
def given(database, files):
    return Given(database, files, {"grad": f"{DIMS}:int8"})


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("source,target", PAIRS)
def test_scores_are_right_in_every_codec(database, files, source, target, beside):
    given = Given(database, files, {"grad": f"{DIMS}:{source}"})
    given.ingest("c")
    before = given.answer()
    done = database.recode("t", target, beside=beside)
    finest_first = sorted([source, target], key=CODECS.index) if beside else [target]
    assert done["codecs"] == finest_first == layer_codecs(database)["grad"]
    assert (done["snapshot"], done["layer"], done["codec"]) == (2, "grad", target)
    assert done["rows"] == given.rows
    if finest_first[0] == target:
        given.verify([source, target])
    else:
        assert given.answer() == before
    assert given.answer(at="AT 1") == before
    summary = database.check()
    assert summary["bytes"] == done["bytes"] + database.snapshots("t")[1]["bytes"]


def test_the_snapshot_says_what_happened(given):
    database = given.database
    first = given.ingest("c")
    database.recode("t", "bit", beside=True, tag="both", message="bits too")
    alone = database.recode("t", "bit", message="only bits")
    assert (alone["rows"], alone["bytes"], alone["codecs"]) == (0, 0, ["bit"])
    newest, both, base = database.snapshots("t")
    assert [s["checkpoint"] for s in (newest, both, base)] == [None, None, "c"]
    assert [s["message"] for s in (newest, both, base)] == ["only bits", "bits too", ""]
    assert both["tags"] == ["both"] and both["parent"] == 1
    assert [s["segments"] for s in (newest, both, base)] == [1, 1, 1]
    assert [s["rows"] for s in (newest, both, base)] == [given.rows] * 3
    assert base["bytes"] == first["bytes"]
    assert newest["bytes"] + base["bytes"] == both["bytes"]
    info = database.info("t")
    assert (info["segments"], info["bytes"], info["snapshot"]) == (1, newest["bytes"], 3)
    assert info["checkpoints"][0]["rows"] == given.rows
    assert database.check()["segments"] == 1
    shown = database.run("info", "t").expect(OK).text
    assert f"grad:{DIMS}:bit" in shown


def test_the_finest_answers_and_gives_the_rows_that_are_queries(given):
    given.ingest("c")
    ask = "SELECT row FROM t SCORE cosine TO ROW 7 TOP 100"
    exact, from_row = given.answer(), given.database.query_result(ask).stdout
    for codec in ("bit", "int4"):
        given.database.recode("t", codec, beside=True)
        assert given.answer() == exact
        assert given.database.query_result(ask).stdout == from_row
    assert layer_codecs(given.database) == {"grad": ["int8", "int4", "bit"]}
    # Now one that is finer, which says the same as far as it was known.
    given.database.recode("t", "f32", beside=True)
    assert given.answer() != exact
    given.verify(["int8", "f32"])


def test_recoding_again_and_again(given):
    given.ingest("c")
    answers = [given.answer()]
    for codec in ("int4", "int8", "bit", "f16", "bit"):
        given.database.recode("t", codec)
        answers.append(given.answer())
    for snapshot, answer in enumerate(answers, 1):
        assert given.answer(at=f"AT {snapshot}") == answer
    given.verify(["int8", "int4", "bit", "bit"])
    given.database.check()


def test_equal_rows_stay_equal_and_zeros_zero(database, files):
    vectors = np.random.default_rng(1).standard_normal((9, 300)).astype(np.float32)
    vectors[4], vectors[6] = vectors[2], 0
    database.create("t", ["grad:300:f32"], row_group=2)
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c")
    for codec in CODECS[1:]:
        database.recode("t", codec, beside=True)
    database.recode("t", "bit")
    lines = database.query("SELECT row FROM t SCORE cosine TO ROW 1 TOP 9")
    scores = {line["row"]: line["score"] for line in lines}
    assert scores[4] == scores[2] and scores[6] == 0


def test_ingests_after_a_recode_write_every_codec(given):
    database = given.database
    given.ingest("c")
    database.recode("t", "bit", beside=True)
    given.ingest("c", rows=21)
    given.ingest("d")
    given.verify(["int8"])
    given.verify(["int8"], checkpoint="d")
    exact = given.answer("ACROSS 'c'")
    assert database.info("t")["bytes"] == database.check()["bytes"]
    # Only what was ingested first went through int8 on its way to bits.
    database.recode("t", "bit")
    given.verify(["int8", "bit"])
    given.verify(["bit"], checkpoint="d")
    given.ingest("d", rows=5)
    given.verify(["bit"], checkpoint="d")
    assert given.answer("ACROSS 'c'", at="AT 4") == exact
    # Without int8 in the newest snapshot, the new segment has none.
    assert database.check()["ok"]


def test_an_ingest_into_two_codecs_is_that_into_each(database, files):
    vectors = np.random.default_rng(2).standard_normal((30, DIMS)).astype(np.float32)
    source = files.grad("v.safetensors", vectors)
    query = files.grad("q.safetensors", vectors[:2])
    stored = {}
    for name, codec in [("a", "f16"), ("b", "bit"), ("both", "bit+f16")]:
        database.create(name, [f"grad:{DIMS}:{codec}"])
        stored[name] = database.ingest(name, source, checkpoint="c")["bytes"]
    assert stored["both"] == stored["a"] + stored["b"]

    def answer(name):
        return database.query_result(f"FROM {name} SCORE dot TO $q", params={"q": query}).stdout

    assert layer_codecs(database, "both") == {"grad": ["f16", "bit"]}
    assert answer("both") == answer("a") != answer("b")
    assert database.recode("both", "bit")["bytes"] == 0
    assert answer("both") == answer("b")


def test_layers_checkpoints_and_segments(database, files):
    given = Given(database, files, {"a": "100:f32", "b": "5000:int8", "c": "33:f16"}, rows=20)
    for checkpoint in ("c", "d", "c", "e", "d"):
        given.ingest(checkpoint)
    before = {name: given.answer(f"LAYERS '{name}'") for name in given.dims}
    done = database.recode("t", "int4", layer="b")
    assert done["rows"] == 100
    assert layer_codecs(database) == {"a": ["f32"], "b": ["int4"], "c": ["f16"]}
    database.recode("t", "bit", layer="a", beside=True)
    for checkpoint in ("c", "d", "e"):
        given.verify(["f32"], layer="a", checkpoint=checkpoint)
        given.verify(["int8", "int4"], layer="b", checkpoint=checkpoint)
        given.verify(["f16"], layer="c", checkpoint=checkpoint)
    for name in given.dims:
        assert given.answer(f"LAYERS '{name}'", at="AT 5") == before[name]
    given.ingest("f")
    given.verify(["int4"], layer="b", checkpoint="f")
    info = database.info("t")
    assert (info["segments"], info["snapshot"]) == (6, 8)
    rows = {checkpoint["name"]: checkpoint["rows"] for checkpoint in info["checkpoints"]}
    assert rows == {"c": 40, "d": 40, "e": 20, "f": 20}
    assert database.check()["segments"] == 6


def test_threads_and_the_place_of_segments_change_no_answer(database, files):
    given = Given(database, files, {"grad": "9000:f32"}, rows=70)
    given.ingest("c")
    answers = []
    for threads in (1, 3):
        copy = Database(shutil.copytree(database.path, files.directory / f"threads-{threads}"))
        copy.run(*recode_arguments("t", "bit"), "--threads", threads).expect(OK)
        given.database = copy
        answers.append(given.answer())
    assert answers[0] == answers[1]


def test_an_empty_table_can_be_recoded(given):
    done = given.database.recode("t", "bit")
    assert (done["rows"], done["bytes"], done["snapshot"]) == (0, 0, 1)
    assert given.database.info("t")["bytes"] == 0
    given.ingest("c")
    given.verify(["bit"])
    given.database.check()


def test_going_finer_is_noted(given):
    given.ingest("c")
    for codec, is_noted in [("int4", False), ("f32", True)]:
        done = given.database.json(*recode_arguments("t", codec, beside=True))
        assert (b"brings nothing back" in done.stderr) == is_noted, done
    quiet = given.database.json(*recode_arguments("t", "f16", beside=True), "--quiet")
    assert quiet.stderr == b""


def test_a_terminal_shows_progress(given):
    given.ingest("c")
    arguments = recode_arguments("t", "bit", beside=True)
    screen = run_on_terminal(*arguments, "--db", given.database.path, stream="stderr")
    assert screen.status == OK, screen
    assert "rows" in screen.terminal and "%" in screen.terminal
    assert b"layer grad is int8+bit, 50 rows" in screen.pipe


BAD = {
    "the codec it has": (["--codec", "int8"], USAGE, ["grad", "int8", "already"]),
    "beside itself": (["--codec", "int8", "--beside"], USAGE, ["grad", "already"]),
    "an unknown codec": (["--codec", "int3"], USAGE, ["int3", "int8"]),
    "an unknown layer": (["--codec", "bit", "--layer", "nope"], USAGE, ["nope", "grad"]),
    "no codec": ([], USAGE, ["codec"]),
    "a bad tag": (["--codec", "bit", "--tag", "9 lives"], USAGE, ["9 lives"]),
    "an unknown flag": (["--codec", "bit", "--nope"], USAGE, ["nope"]),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_requests_change_nothing(given, name):
    given.ingest("c")
    arguments, status, words = BAD[name]
    before = given.database.state("t")
    failed = given.database.run("recode", "t", *arguments, "--json").expect(status)
    assert failed.stdout == b""
    assert all(word in failed.error["error"] for word in words), failed
    assert given.database.state("t") == before


def test_an_unknown_table_and_a_database_that_is_not_there(given, tmp_path):
    given.database.run(*recode_arguments("nope", "bit"), "--json").expect(NOT_FOUND)
    Database(tmp_path / "nowhere").run(*recode_arguments("t", "bit")).expect(NOT_FOUND)


def test_which_layer_must_be_said_where_there_are_several(database):
    database.create("t", ["a:8:int8", "b:8:int8"])
    failed = database.run(*recode_arguments("t", "bit"), "--json").expect(USAGE)
    assert "--layer" in failed.error["error"] and "a, b" in failed.error["error"]


@pytest.mark.parametrize("dims,codec", [(1, "int4"), (7, "bit")])
def test_too_few_dims(database, files, dims, codec):
    database.create("t", [f"grad:{dims}:f32"])
    database.ingest("t", files.grad("v.safetensors", np.ones((2, dims))), checkpoint="c")
    before = database.state("t")
    failed = database.run(*recode_arguments("t", codec), "--json").expect(USAGE)
    assert codec in failed.error["error"] and str(dims) in failed.error["error"]
    assert database.state("t") == before


def test_both_codecs_already(database):
    database.create("t", ["grad:8:int8+bit"])
    failed = database.run(*recode_arguments("t", "bit", beside=True), "--json").expect(USAGE)
    assert "already" in failed.error["error"]
    assert database.recode("t", "int8")["codecs"] == ["int8"]


@pytest.mark.parametrize("codec,value", [("f16", 70000.0), ("int8", 3e38), ("bit", 3e38)])
def test_a_row_that_the_codec_cannot_hold_is_named(database, files, codec, value):
    vectors = np.ones((40, 64), np.float32)
    vectors[33] = value
    rows = files.metadata("m.jsonl", [{"id": f"row-{i}"} for i in range(40)])
    database.create("t", ["grad:64:f32"], row_group=8)
    for checkpoint, scale in [("fine", 0), ("big", 1)]:
        source = files.grad("v.safetensors", vectors * scale)
        database.ingest("t", source, checkpoint=checkpoint, metadata=rows)
    before = database.state("t", "FROM t SCORE dot TO ROW 'row-1' TOP 100")
    failed = database.run(*recode_arguments("t", codec), "--json").expect(BAD_INPUT)
    for word in ("grad", "row-33", "big", "use codec f32"):
        assert word in failed.error["error"], failed
    assert database.state("t", "FROM t SCORE dot TO ROW 'row-1' TOP 100") == before
    assert blocks_of(database) == database.info("t")["bytes"]
    database.recode("t", "bf16")


def blocks_of(database):
    """Bytes of all blocks that are reached, after making sure that nothing is left over."""
    assert not list(database.path.glob("staging/*"))
    return database.check()["bytes"]


def test_a_damaged_row_is_not_recoded(given):
    """A flipped bit in the rows to be decoded must not become a well-formed row of bits."""
    given.ingest("c")
    given.database.check()
    largest = max(given.database.path.glob("*.sst"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 16
    largest.write_bytes(content)
    failed = given.database.run(*recode_arguments("t", "bit"), "--json").expect(CORRUPT)
    assert "checksum" in failed.error["error"], failed
    assert given.database.info("t")["snapshot"] == 1
