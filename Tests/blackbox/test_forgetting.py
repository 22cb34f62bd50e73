"""What is deleted, compacted, expired and cleaned up is gone from every file, byte for byte.

Rows of random bytes lie in every codec, as companions and as compacted segments, with preconditioners
and fields. Before the clean-up everything of the deleted rows is found (so the search works), after it
nothing; what is left of the other rows is found and answers as before.
"""

import random
import shutil
import sys
import time

import numpy as np
import pytest

import second_reader
from forgotten_bytes import Sought, sought_of
from gradient_files import Files
from graddb import OK, REPOSITORY, SCALE, Database, finish, ingest_arguments

sys.path.append(str(REPOSITORY / "Tests" / "faults"))

import calls  # noqa: E402

DIMS = 256
LAYERS = ["plain:256:f32", "half:256:f16", "brain:256:bf16", "bytes:256:int8", "nibbles:256:int4+bit",
          "long:2100:f32"]
FIELDS = ["text:string", "loss:float"]
ROWS, CUT = 60, 40
KILLS = 4 * SCALE
ASK = ["SELECT row, * FROM t SCORE dot TO '{query}' ALL",
       "SELECT row FROM t SCORE cosine TO '{query}' MEAN ACROSS 'a' PRECONDITION before ALL",
       "SELECT row, text FROM t SCORE self WHERE length(text) > 10 ALL"]


def random_text(chance, length):
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(chance.choices(letters, k=length))


class Scene:
    """A table of `integer` or string ids, with rows that are deleted: `gone`, and others: `kept`."""

    def __init__(self, directory, chance, integer):
        self.directory, self.files = directory, Files(directory)
        self.rng = np.random.default_rng(chance.randrange(1 << 32))
        self.database = Database(directory / "base").init()
        self.database.create("t", LAYERS, FIELDS, row_group=8)
        make = (lambda: chance.getrandbits(63) - (1 << 62)) if integer else (
            lambda: random_text(chance, 32))
        self.ids = [make() for _ in range(ROWS)]
        self.fields = {i: {"text": random_text(chance, chance.randint(24, 90)),
                           "loss": self.rng.standard_normal()} for i in self.ids}
        self.gone = set(chance.sample(self.ids[:CUT], 9) + chance.sample(self.ids[CUT:], 4))
        self.kept = [i for i in self.ids if i not in self.gone]
        self._fill()
        self.sought = sought_of(self.database.path, "t", self.gone)
        self.others = sought_of(self.database.path, "t", self.kept)

    def _ingest(self, ids, checkpoint):
        vectors = {name: self.rng.standard_normal((len(ids), int(dims))).astype(np.float32)
                   for name, dims, _ in (layer.split(":") for layer in LAYERS)}
        self.database.ingest(
            "t", self.files.tensors("in.safetensors", vectors), checkpoint=checkpoint,
            metadata=self.files.metadata("in.jsonl", [{"id": i} | self.fields[i] for i in ids]))

    def _fill(self):
        """Two checkpoints, companions, encodings that are gone again, preconditioners at two times."""
        self._ingest(self.ids[:CUT], "a")
        self._ingest(self.ids[:CUT:2], "b")
        self.precondition("before")
        self.database.recode("t", "bit", layer="bytes", beside=True)
        self.database.recode("t", "int4", layer="half")
        self._ingest(self.ids[CUT:], "a")
        self._ingest(self.ids[CUT:], "b")
        self.query = self.files.tensors("q.safetensors", {
            name: self.rng.standard_normal((2, int(dims))).astype(np.float32)
            for name, dims, _ in (layer.split(":") for layer in LAYERS)})

    def precondition(self, name):
        self.database.json("precondition", "t", "--name", name, "--kind", "diagonal", "--checkpoint",
                           "a", "b")

    def delete(self, database):
        lines = "".join(f"{row_id}\n" for row_id in self.gone).encode()
        database.json("delete", "t", "--ids", "-", stdin=lines)

    def up_to_clean_up(self, database):
        self.delete(database)
        database.json("compact", "t")
        database.json("expire", "t", "--keep-last", 1)

    def answers(self, database):
        return [database.query_result(ask.format(query=self.query)).stdout for ask in ASK]

    def copy(self, name):
        path = self.directory / name
        shutil.copytree(self.database.path, path)
        return Database(path)

    def assert_all_there(self, database, sought=None):
        sought = sought or self.sought
        assert set(sought.found(database.path)) == set(sought.pieces.values())

    def calls_of_clean_up(self, faults):
        """How many of the file system's calls a clean-up makes that nobody kills."""
        if not hasattr(self, "_calls"):
            database, log = self.copy("counted"), self.directory / "calls"
            self.up_to_clean_up(database)
            database.run("gc", env=faults.environment(database.path, log=log)).expect(OK)
            self._calls = len(calls.numbered(calls.read(log)))
            shutil.rmtree(database.path)
        return self._calls

    def assert_forgotten(self, database, about=""):
        found = self.sought.found(database.path)
        assert not found, f"{about}after the clean-up there is still: {found}"
        self.assert_all_there(database, self.others_left)
        with second_reader.Database(str(database.path)) as opened:
            assert second_reader.garbage.left(opened) == []
        assert second_reader.problems(database.path) == []
        database.check()

    @property
    def others_left(self):
        """What the newest snapshot has of the kept rows; older encodings of theirs go, too."""
        if not hasattr(self, "_others_left"):
            database = self.copy("others")
            self.up_to_clean_up(database)
            self._others_left = sought_of(database.path, "t", self.kept)
            shutil.rmtree(database.path)
        return self._others_left


@pytest.fixture(scope="module", params=["string", "integer"])
def scene(gradctl, tmp_path_factory, seed, request):
    chance = random.Random(f"{seed} forgetting {request.param}")
    return Scene(tmp_path_factory.mktemp("forgetting"), chance, request.param == "integer")


@pytest.fixture
def database(scene, request):
    copy = scene.copy("".join(c if c.isalnum() else "-" for c in request.node.name))
    yield copy
    shutil.rmtree(copy.path)


def test_every_byte_of_deleted_rows_is_there_until_the_clean_up_and_then_none(scene, database):
    scene.assert_all_there(database)
    scene.delete(database)
    scene.assert_all_there(database)
    before = scene.answers(database)
    database.json("gc")
    scene.assert_all_there(database)  # Older snapshots have them.
    database.json("compact", "t")
    assert scene.answers(database) == before
    database.json("gc")
    scene.assert_all_there(database)
    database.json("expire", "t", "--keep-last", 1)
    scene.assert_all_there(database)
    dry = database.json("gc", "--dry-run").line
    scene.assert_all_there(database)
    done = database.json("gc").line
    assert done["rows"] == dry["rows"] == len(scene.gone)
    assert done["segments"] == dry["segments"] > 0 and done["file_bytes"] > 0
    scene.assert_forgotten(database)
    assert scene.answers(database) == before


def test_a_tagged_snapshot_keeps_its_rows(scene, database):
    database.json("tag", "t", "kept")
    old = database.query_result(f"SELECT row, * FROM t AT 'kept' SCORE dot TO '{scene.query}' ALL").stdout
    scene.up_to_clean_up(database)
    database.json("gc")
    names = set(scene.sought.found(database.path))
    assert {"id", "field text", "plain in f32", "bytes in int8", "bytes in bit"} <= names
    assert database.query_result(
        f"SELECT row, * FROM t AT 'kept' SCORE dot TO '{scene.query}' ALL").stdout == old
    database.json("tag", "t", "kept", "--delete")
    database.json("expire", "t", "--keep-last", 1)
    database.json("gc")
    scene.assert_forgotten(database)


def test_a_restore_and_what_came_after_it_is_forgotten_too(scene, database):
    """Rows that came after the snapshot that is restored, then expire with everything else."""
    number = database.info("t")["snapshot"]
    vectors = {name: scene.rng.standard_normal((5, int(dims))).astype(np.float32)
               for name, dims, _ in (layer.split(":") for layer in LAYERS)}
    chance = random.Random(7)
    ids = ([chance.getrandbits(62) for _ in range(5)] if isinstance(scene.ids[0], int)
           else [random_text(chance, 32) for _ in range(5)])
    rows = [{"id": i, "text": random_text(chance, 40)} for i in ids]
    database.ingest("t", scene.files.tensors("later.safetensors", vectors), checkpoint="later",
                    metadata=scene.files.metadata("later.jsonl", rows))
    sought = sought_of(database.path, "t", ids)
    database.json("restore", "t", "--to", number)
    before = scene.answers(database)
    database.json("gc")
    assert set(sought.found(database.path)) == set(sought.pieces.values())
    database.json("expire", "t", "--keep-last", 1)
    done = database.json("gc").line
    assert (done["rows"], done["checkpoints"], done["segments"]) == (5, 1, 1)
    assert sought.found(database.path) == {}
    assert scene.answers(database) == before
    assert second_reader.problems(database.path) == []


@pytest.fixture(scope="module")
def faults(gradctl, tmp_path_factory):
    library = calls.build(tmp_path_factory.mktemp("faults"))
    if library is None:
        pytest.skip("there is no C compiler to build Tests/faults/faultfs.c with")
    return calls.Faults(library)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_clean_up_that_is_killed_is_finished_by_the_next(scene, database, faults, seed, number):
    """Killed at calls of the file system, spread over the clean-up from its first to its last. Once all rows
    are forgotten there is nothing left to remove, but their bytes lie in table files that are not
    rewritten yet: the next clean-up has to do that all the same."""
    chance = random.Random(f"{seed} forgetting kill {number}")
    scene.up_to_clean_up(database)
    before = scene.answers(database)
    # Every other one in the last third, where rows are forgotten and files written anew.
    share = (number + chance.random()) / KILLS
    at = 1 + int(scene.calls_of_clean_up(faults) * (0.65 + 0.35 * share if number % 2 else share))
    killed = database.start("gc", "--json", env=faults.environment(
        database.path, at=at, action=chance.choice(["kill-before", "kill-after"])))
    finish(killed)
    assert scene.answers(database) == before
    database.check()
    if chance.random() < 0.3:
        # Another writer in between is none the worse for it.
        database.json("tag", "t", "between")
    database.json("gc")
    scene.assert_forgotten(database, f"killed at call {at}, gc again: ")
    assert scene.answers(database) == before


@pytest.mark.parametrize("number", range(KILLS // 2))
def test_kills_before_the_clean_up_leave_nothing_behind_it(scene, database, seed, number):
    """A delete, compaction or expiry that is killed and done again."""
    chance = random.Random(f"{seed} forgetting early kill {number}")
    lines = "".join(f"{row_id}\n" for row_id in scene.gone).encode()
    steps = [(["delete", "t", "--ids", "-", "--ignore-missing"], lines), (["compact", "t"], b""),
             (["expire", "t", "--keep-last", "1"], b"")]
    for arguments, text in steps:
        process = database.start(*arguments, "--json")
        process.stdin.write(text)
        process.stdin.close()
        time.sleep(chance.random() * 0.3)
        process.kill()
        finish(process)
        database.check()
        database.run(*arguments, "--json", stdin=text).expect(OK)
    # A delete that was acknowledged to nobody may have been done: the compaction came after both.
    database.json("gc")
    scene.assert_forgotten(database)


@pytest.mark.parametrize("number", range(KILLS // 2))
def test_what_a_killed_ingest_left_goes_as_well(scene, database, faults, seed, number):
    """Its files, and what it had written of rows that never were."""
    chance = random.Random(f"{seed} forgetting killed ingest {number}")
    vectors = {name: scene.rng.standard_normal((7, int(dims))).astype(np.float32)
               for name, dims, _ in (layer.split(":") for layer in LAYERS)}
    rows = [{"id": chance.getrandbits(62) if isinstance(scene.ids[0], int) else random_text(chance, 32),
             "text": random_text(chance, 40)} for _ in range(7)]
    sought = Sought()
    for place, row in enumerate(rows):
        sought.add("text", row["text"].encode())
        sought.add("vector", vectors["plain"][place].tobytes())
        if isinstance(row["id"], str):
            sought.add("id", row["id"].encode())
    arguments = ingest_arguments(
        "t", scene.files.tensors("killed.safetensors", vectors), checkpoint="a",
        metadata=scene.files.metadata("killed.jsonl", rows))
    log, copy = scene.directory / "calls-of-ingest", scene.copy("counted")
    copy.run(*arguments, env=faults.environment(copy.path, log=log)).expect(OK)
    total = len(calls.numbered(calls.read(log)))
    log.unlink()
    shutil.rmtree(copy.path)
    before = scene.answers(database)
    finish(database.start(*arguments, env=faults.environment(
        database.path, at=1 + int(total * (number + chance.random()) / (KILLS // 2)),
        action=chance.choice(["kill-before", "kill-after"]))))
    database.json("gc")
    if database.info("t")["rows"] == ROWS:
        assert sought.found(database.path) == {}
        assert scene.answers(database) == before
    else:
        assert set(sought.found(database.path)) == set(sought.pieces.values())
    database.check()
