"""kill -9 and polite signals in the middle of a recode: the old state whole, or the new one.

The moments of the kills are spread over the run time of a recode that nobody kills, and lie more
densely near its end, where it publishes. After every kill the database opens, old snapshots answer
byte for byte as before, every stored byte is sound, nothing is left over, and the recode, run
again, ends where the unkilled one did.
"""

import random
import shutil
import signal
import time

import numpy as np
import pytest

from gradient_files import Files
from graddb import (
    INTERRUPTED,
    SCALE,
    USAGE,
    Database,
    finish,
    recode_arguments,
    wait_for_exit,
)

ROWS, KILLS = 3000, 12 * SCALE
ASK = "SELECT row FROM t {at} SCORE cosine TO ROW 1 TOP 400 BOTTOM 400"


class Scene:
    """A table of several segments, and a recode to kill: from what to what it leads."""

    def __init__(self, directory):
        self.directory, files = directory, Files(directory)
        base = Database(directory / "base").init()
        base.create("t", ["grad:8192:f32"], row_group=64)
        vectors = np.random.default_rng(3).standard_normal((ROWS // 5, 8192)).astype(np.float32)
        source = files.grad("v.safetensors", vectors)
        for checkpoint in "abcde":
            base.ingest("t", source, checkpoint=checkpoint)
        self.before, self.state = self.answer(base), base.state("t")
        finished = self.copy("finished")
        started = time.monotonic()
        finished.recode("t", "int8")
        self.seconds = time.monotonic() - started
        self.after, self.bytes = self.answer(finished), finished.info("t")["bytes"]
        assert self.before != self.after
        shutil.rmtree(finished.path)

    def copy(self, name):
        return Database(shutil.copytree(self.directory / "base", self.directory / name))

    def answer(self, database, at=""):
        return database.query_result(ASK.format(at=at)).stdout

    def verify(self, database, acknowledged):
        """The old state whole, or the new one; then the recode can be done again."""
        landed = database.info("t")["snapshot"] == 6
        assert landed or not acknowledged
        assert self.answer(database) == (self.after if landed else self.before)
        assert self.answer(database, "AT 5") == self.before
        if not landed:
            assert database.state("t") == self.state
        database.check()
        if landed:
            database.run(*recode_arguments("t", "int8")).expect(USAGE)
        else:
            assert database.recode("t", "int8")["rows"] == ROWS
        assert self.answer(database) == self.after
        assert self.answer(database, "AT 5") == self.before
        assert database.info("t")["bytes"] == self.bytes
        assert not list(database.path.glob("staging/*"))
        database.check()


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("recode"))


@pytest.fixture
def victim(scene):
    database = scene.copy("victim")
    yield database
    shutil.rmtree(database.path)


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_while_recoding(scene, victim, seed, number):
    chance = random.Random(f"{seed} recode {number}")
    process = victim.start(*recode_arguments("t", "int8"), "--json")
    # Spread over the run, more densely near its end, where it publishes.
    share = (number + chance.random()) / KILLS
    time.sleep(scene.seconds * (share if number % 2 else 0.7 + 0.5 * share))
    process.kill()
    scene.verify(victim, acknowledged=finish(process).stdout.endswith(b"\n"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_polite_signal_takes_everything_back(scene, victim, name):
    process = victim.start(*recode_arguments("t", "int8"), "--json")
    # Once there is a table file, work is under way; most of it is still to be done.
    deadline = time.monotonic() + 30
    while not list(victim.path.glob("staging/*/*.sst")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(getattr(signal, name))
    wait_for_exit(process)
    result = finish(process).expect(INTERRUPTED)
    assert result.stdout == b"" and result.error["kind"] == "interrupted"
    assert victim.state("t") == scene.state
    scene.verify(victim, acknowledged=False)
