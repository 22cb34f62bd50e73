"""kill -9 of backups, restores and prunes at random moments.

After every kill: all backups that were there are whole, what was being made is not there, and the
same command, run again, ends as if nothing had happened.
"""

import random
import shutil
import time

import pytest

from backups import FIELDS, Backups, Rows, answers, history
from gradient_files import Files
from graddb import NOT_FOUND, SCALE, Database, finish, run, start

DIMS, ROWS, PARTS = 512, 1500, 4
KILLS = 6 * SCALE


class Scene:
    """A database, a directory with two of its backups, and how long each command takes."""

    def __init__(self, directory):
        self.directory = directory
        files = Files(directory)
        self.database = Database(directory / "db").init()
        self.database.create("t", [f"grad:{DIMS}:int8"], FIELDS, row_group=64)
        rows = Rows(files, DIMS, 5)
        self.backups = Backups(directory / "backups")
        self.query = files.grad("q.safetensors", rows.random.standard_normal((2, DIMS)))
        for part in range(PARTS):
            rows.ingest(self.database, ROWS if part else 20)
            if part < 2:
                self.backups.create(self.database)
        self.answers = [answers(self.database, self.query, at) for at in (1, 2)]
        self.newest = answers(self.database, self.query)

    def copy(self, name):
        copy = Backups(self.directory / name)
        shutil.rmtree(copy.path, ignore_errors=True)
        shutil.copytree(self.backups.path, copy.path)
        return copy

    def seconds(self, command):
        started = time.monotonic()
        run(*command).expect()
        return time.monotonic() - started

    def verify_first_two(self, backups, chance):
        backups.verify()
        number = chance.choice([1, 2])
        place = self.directory / f"check-{backups.path.name}"
        restored = backups.restore(place, number)
        assert answers(restored, self.query) == self.answers[number - 1]
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("backup-crash"))


def kill_at(command, seconds):
    """Starts a command, kills it, and returns what it had acknowledged."""
    process = start(*command)
    time.sleep(max(0.0, seconds))
    process.kill()
    return finish(process).stdout


def moments(chance, seconds):
    return [seconds * 1.1 * (step + chance.random()) / KILLS for step in range(KILLS)]


def test_killed_while_making_a_backup(scene, seed):
    chance = random.Random(f"{seed} create")

    def command(backups):
        return ["backup", "create", backups.path, "--db", scene.database.path, "--json"]

    seconds = scene.seconds(command(scene.copy("timed")))
    again = scene.copy("again")
    for number, moment in enumerate(moments(chance, seconds)):
        # One directory that is killed again and again, and new ones.
        backups = again if number % 2 else scene.copy("killed")
        before = len(backups.list())
        acknowledged = kill_at(command(backups), moment)
        made = len(backups.list()) - before
        assert made == 1 if acknowledged else made in (0, 1)
        scene.verify_first_two(backups, chance)
        left = len(backups.objects)
        done = backups.create(scene.database)
        # What was finished is not written again.
        assert done["copied_objects"] <= done["objects"]
        assert len(backups.objects) >= left
        assert list((backups.path / "partial").iterdir()) == []
        place = scene.directory / "restored"
        assert answers(backups.restore(place), scene.query) == scene.newest
        shutil.rmtree(place)
        # Nothing that was written for nothing stays for ever.
        backups.prune(1)
        _, summary = backups.verify()
        assert summary["objects"] == len(backups.objects)
        if backups is again:
            shutil.rmtree(again.path)
            again = scene.copy("again")


def test_an_interrupted_backup_is_gone_on_with(scene, seed):
    """What the killed ones have finished is not copied again, so that enough of them end."""
    backups = scene.copy("resumed")
    command = ["backup", "create", backups.path, "--db", scene.database.path, "--json"]
    command += ["--threads", 1]
    fresh = scene.copy("fresh")
    whole = fresh.create(scene.database)["copied_objects"]
    process = start(*command, "--rate", "400k")
    known = len(backups.objects)
    deadline = time.monotonic() + 60
    while len(backups.objects) < known + 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    finish(process)
    finished = len(backups.objects) - known
    assert finished >= 3
    assert backups.create(scene.database)["copied_objects"] == whole - finished
    backups.verify()


def test_killed_while_restoring(scene, seed):
    chance = random.Random(f"{seed} restore")
    place = scene.directory / "target"

    def command():
        return ["backup", "restore", scene.backups.path, "--into", place, "--json"]

    seconds = scene.seconds(command())
    shutil.rmtree(place)
    for moment in moments(chance, seconds):
        acknowledged = kill_at(command(), moment)
        if place.exists():
            # Renamed when it was whole.
            assert answers(Database(place), scene.query) == scene.answers[1]
            shutil.rmtree(place)
        else:
            assert not acknowledged
            Database(place).run("info").expect(NOT_FOUND)
            aside = Database(f"{place}.restoring")
            if aside.path.exists():
                asked = aside.run("info", "t", "--json")
                # Between its last write and its new name it is whole.
                assert asked.status != 0 or asked.line["rows"] == 20 + ROWS, asked
        restored = scene.backups.restore(place)
        assert answers(restored, scene.query) == scene.answers[1]
        assert history(restored).splitlines() == history(scene.database).splitlines()[-2:]
        assert not list(scene.directory.glob("target.*"))
        shutil.rmtree(place)


def test_killed_while_pruning(scene, seed):
    chance = random.Random(f"{seed} prune")
    many = scene.copy("many")
    many.create(scene.database)
    seconds = None
    for number in range(KILLS + 1):
        backups = Backups(scene.directory / "pruned")
        shutil.rmtree(backups.path, ignore_errors=True)
        shutil.copytree(many.path, backups.path)
        # The first object that is removed is not always the same.
        for path in chance.sample(backups.objects, 3):
            stray = path.with_name(path.name.replace("-", "-1"))
            stray.write_bytes(b"left by a killed backup")
        command = ["backup", "prune", backups.path, "--keep-last", 1, "--json"]
        if seconds is None:
            seconds = scene.seconds(command)
            continue
        kill_at(command, seconds * 1.1 * (number - 1 + chance.random()) / KILLS)
        numbers = [line["backup"] for line in backups.list()]
        assert numbers == [3, 2, 1][: len(numbers)] and numbers
        backups.verify()
        backups.prune(1)
        _, summary = backups.verify()
        assert summary["backups"] == 1 and summary["objects"] == len(backups.objects)
        place = scene.directory / "restored"
        assert answers(backups.restore(place), scene.query) == scene.newest
        shutil.rmtree(place)
