"""kill -9 at random moments of an ingest, 50 times, and polite signals.

The moments are spread over the run time of an ingest that nobody kills, more densely near its
end, where it publishes. After every kill: the database opens, the snapshot that was acknowledged
before answers byte for byte as before, every stored byte is sound, and the ingest, run again,
ends where the unkilled one did. An ingest that had printed its acknowledgement must be there.
"""

import json
import random
import shutil
import signal
import time

import numpy as np
import pytest

from gradient_files import Files, frame
from graddb import INTERRUPTED, SCALE, Database, finish, ingest_arguments, wait_for_exit

DIMS = 4096
FILES, ROWS_PER_FILE, BASE_ROWS = 24, 128, 40
KILLS_OF_FILES, KILLS_OF_STREAMS, KILLS_OF_ONE_DATABASE = 25 * SCALE, 15 * SCALE, 10 * SCALE

ASK = "SELECT row, part FROM t {at} SCORE cosine TO ROW 'x1' TOP 400 BOTTOM 400"


class Scene:
    """A database with one acknowledged snapshot, an ingest to kill, and how that should end."""

    def __init__(self, directory):
        self.directory = directory
        self.files = Files(directory)
        database = Database(directory / "base").init()
        database.create("t", [f"grad:{DIMS}:int8"], ["part:int"], row_group=32)
        # The same few files serve several times: what differs is the rows' ids.
        self.sources = [self._write_part(part) for part in range(8)] * (FILES // 8)
        source = self.files.grad("base.safetensors", self._vectors(99, BASE_ROWS), "F16")
        self.base = database.ingest(
            "t", source, checkpoint="c", metadata=self._ids("base.jsonl", 0, BASE_ROWS)
        )
        self.before = self.answer(database, self.base["snapshot"])
        self.ids = self._ids("new.jsonl", BASE_ROWS, BASE_ROWS + FILES * ROWS_PER_FILE)
        self.seconds = sorted(self._seconds_to_acknowledge() for _ in range(5))[2]
        finished = self.copy("finished")
        finished.ingest("t", *self.sources, checkpoint="c", metadata=self.ids)
        self.after = self.answer(finished)
        self.totals = self.totals_of(finished)
        assert self.after != self.before
        shutil.rmtree(finished.path)

    def _seconds_to_acknowledge(self):
        """From the start of an unkilled ingest to its acknowledgement, not to its last breath."""
        database = self.copy("timed")
        started = time.monotonic()
        process = database.start(*self.arguments(*self.sources), "--json")
        assert process.stdout.readline()
        seconds = time.monotonic() - started
        finish(process).expect()
        shutil.rmtree(database.path)
        return seconds

    def _vectors(self, seed, count):
        return np.random.default_rng(seed).standard_normal((count, DIMS)).astype(np.float32)

    def _write_part(self, part):
        vectors = self._vectors(part, ROWS_PER_FILE)
        return self.files.grad(f"part-{part}.safetensors", vectors, "F16")

    def _ids(self, name, first, end):
        rows = [{"id": f"x{i}", "part": i // ROWS_PER_FILE} for i in range(first, end)]
        return self.files.metadata(name, rows)

    def copy(self, name):
        path = self.directory / name
        shutil.copytree(self.directory / "base", path)
        return Database(path)

    def arguments(self, *inputs):
        return ingest_arguments("t", *inputs, checkpoint="c", metadata=self.ids)

    def messages(self):
        return [frame(source.read_bytes()) for source in self.sources]

    def answer(self, database, snapshot=None):
        at = "" if snapshot is None else f"AT {snapshot}"
        return database.query_result(ASK.format(at=at)).stdout

    def totals_of(self, database):
        info = database.info("t")
        return {key: info[key] for key in ("rows", "segments", "bytes", "checkpoints")}

    def verify_killed(self, database, acknowledgement):
        """Returns whether the killed ingest's commit is there: all of it, or nothing."""
        assert self.answer(database, self.base["snapshot"]) == self.before
        newest = self.answer(database)
        landed = newest == self.after
        assert landed or newest == self.before
        assert database.info("t")["rows"] == (self.totals["rows"] if landed else BASE_ROWS)
        if acknowledgement:
            done = json.loads(acknowledgement)
            assert landed and database.info("t")["snapshot"] == done["snapshot"]
        database.check()
        return landed

    def verify_run_again(self, database, landed, resume):
        """The ingest can be run again: with --resume always, without it if nothing landed."""
        resume = resume or landed
        again = database.ingest(
            "t", *self.sources, checkpoint="c", metadata=self.ids, resume=resume
        )
        assert again["rows"] == (0 if landed else FILES * ROWS_PER_FILE)
        assert self.answer(database) == self.after
        assert self.answer(database, self.base["snapshot"]) == self.before
        assert self.totals_of(database) == self.totals
        database.check()


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("crash"))


@pytest.fixture
def victim(scene, request):
    database = scene.copy("victim-" + "".join(c if c.isalnum() else "-" for c in request.node.name))
    yield database
    shutil.rmtree(database.path)


def moments(count):
    """Fractions of an ingest's run time: three fifths spread evenly, the rest near the end."""
    spread = count * 3 // 5
    return [(step, spread, 0.0, 1.0) for step in range(spread)] + [
        (step, count - spread, 0.7, 1.4) for step in range(count - spread)
    ]


def random_moment(random_source, moment):
    step, steps, low, high = moment
    return low + (high - low) * (step + random_source.random()) / steps


def wait_out(seconds):
    # Sleeping is the point here: the moment of the kill is what varies.
    time.sleep(max(0.0, seconds))


def kill(process):
    """Kills without warning, and returns what had been acknowledged by then."""
    process.kill()
    result = finish(process)
    return result.stdout if result.stdout.endswith(b"\n") else b""


@pytest.mark.parametrize("number", range(KILLS_OF_FILES))
def test_killed_while_reading_files(scene, victim, seed, number):
    chance = random.Random(f"{seed} files {number}")
    process = victim.start(*scene.arguments(*scene.sources), "--json")
    wait_out(scene.seconds * random_moment(chance, moments(KILLS_OF_FILES)[number]))
    landed = scene.verify_killed(victim, kill(process))
    scene.verify_run_again(victim, landed, resume=number % 2 == 1)


@pytest.mark.parametrize("number", range(KILLS_OF_STREAMS))
def test_killed_while_reading_a_stream(scene, victim, seed, number):
    chance = random.Random(f"{seed} stream {number}")
    stream = b"".join(scene.messages())
    process = victim.start(*scene.arguments("-"), "--json")
    fed = len(stream) if number % 3 == 0 else chance.randrange(len(stream))
    process.stdin.write(stream[:fed])
    process.stdin.flush()
    if fed == len(stream):
        process.stdin.close()
    wait_out(chance.random() * scene.seconds / 2)
    landed = scene.verify_killed(victim, kill(process))
    assert fed == len(stream) or not landed
    scene.verify_run_again(victim, landed, resume=number % 2 == 1)


def test_one_database_killed_again_and_again(scene, victim, seed):
    chance = random.Random(f"{seed} again")
    landed = False
    for number in range(KILLS_OF_ONE_DATABASE):
        process = victim.start(*scene.arguments(*scene.sources), "--resume", "--json")
        wait_out(scene.seconds * chance.random())
        still_there = scene.verify_killed(victim, kill(process))
        assert still_there or not landed
        landed = still_there
    scene.verify_run_again(victim, landed, resume=True)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("messages", [1, 5])
def test_a_polite_signal_interrupts_and_leaves_no_trace(scene, victim, name, messages):
    """The stream stays open, so the ingest cannot have finished when the signal comes. A message
    is larger than a pipe holds: once it is written, the ingest is reading."""
    state = victim.state("t", ASK.format(at=""))
    process = victim.start(*scene.arguments("-"), "--json")
    for message in scene.messages()[:messages]:
        process.stdin.write(message)
        process.stdin.flush()
    process.send_signal(getattr(signal, name))
    wait_for_exit(process)
    result = finish(process).expect(INTERRUPTED)
    assert result.stdout == b""
    assert result.error["kind"] == "interrupted"
    assert victim.state("t", ASK.format(at="")) == state
    assert not scene.verify_killed(victim, b"")
    scene.verify_run_again(victim, landed=False, resume=False)
