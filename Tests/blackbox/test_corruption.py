"""Flipped bytes and truncated files: the right answer, or an error; never a wrong answer.

Which files there are is RocksDB's business; the tests take every file that they find, sample
positions in it, and read the database as a user would.
"""

import random
import shutil

import numpy as np
import pytest

from gradient_files import Files
from graddb import CORRUPT, IO, OK, SCALE, Database, finish, ingest_arguments

DIMS = 2048
KINDS = ["*.sst", "MANIFEST-*", "CURRENT", "*.log", "OPTIONS-*", "IDENTITY"]
POSITIONS_PER_FILE = 5 * SCALE
ASK = """
    SELECT row, source, tokens FROM t SCORE cosine TO ROW 'x3' TOP 200;
    SELECT row FROM t SCORE dot TO ROW 'x3' WHERE source = 'a' TOP 20 BOTTOM 20;
    SELECT row FROM t AT 'first' SCORE dot TO ROW 'x7' TOP 200;
"""


@pytest.fixture(scope="module")
def sound(gradctl, tmp_path_factory):
    """A sound database with two snapshots, and what its commands print.

    The last writer is killed just after its acknowledgement, so that what RocksDB's log still
    holds then can be damaged too.
    """
    directory = tmp_path_factory.mktemp("sound")
    files = Files(directory)
    database = Database(directory / "db").init()
    layers = {"a": 300, "b": DIMS}
    database.create("t", ["a:300:f32", f"b:{DIMS}:int8"], ["source:string", "tokens:int"], 16)
    values = np.random.default_rng(40)
    for part, tag in ((0, "first"), (1, "second")):
        vectors = {
            name: values.standard_normal((64, dims)).astype(np.float32)
            for name, dims in layers.items()
        }
        rows = [
            {"id": f"x{i}", "source": "ab"[i % 2], "tokens": i * i}
            for i in range(64 * part, 64 * part + 64)
        ]
        arguments = ingest_arguments(
            "t",
            files.tensors(f"{part}.safetensors", vectors, "F16"),
            checkpoint="c",
            metadata=files.metadata(f"{part}.jsonl", rows),
            tag=tag,
        )
        if part == 0:
            database.json(*arguments)
        else:
            kill_when_acknowledged(database, arguments)
    return database, [answer.expect(OK).stdout for answer in ask_everything(database)]


def kill_when_acknowledged(database, arguments):
    process = database.start(*arguments, "--json")
    assert process.stdout.readline()
    process.kill()
    finish(process)


def ask_everything(database):
    yield database.run("query", "-", "--json", stdin=ASK.encode())
    yield database.run("info", "t", "--json")
    yield database.run("snapshots", "t", "--json")


def verify_never_wrong(database, answers, damage):
    for result, right in zip(ask_everything(database), answers):
        assert result.status in (OK, CORRUPT, IO), f"{damage}\n{result}"
        if result.status == OK:
            assert result.stdout == right, f"a wrong answer after {damage}\n{result}"
        else:
            assert right.startswith(result.stdout), f"{damage}\n{result}"
            assert result.error["exit"] == result.status, f"{damage}\n{result}"


def damaged_copy(database, directory, name):
    shutil.copytree(database.path, directory / "damaged")
    return Database(directory / "damaged"), directory / "damaged" / name


def flip(path, position, bit):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def positions_in(path, chance, count):
    """Both ends, and random positions between them."""
    size = path.stat().st_size
    inner = [chance.randrange(size) for _ in range(count - 2)] if size else []
    return sorted({0, size - 1, *inner}) if size else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_never_a_wrong_answer(sound, tmp_path, seed, kind):
    database, answers = sound
    paths = [path for path in sorted(database.path.rglob(kind)) if path.stat().st_size]
    if not paths:
        pytest.skip(f"the database has no {kind} file with anything in it")
    chance = random.Random(f"{seed} {kind}")
    for path in paths:
        name = path.relative_to(database.path)
        for position in positions_in(path, chance, POSITIONS_PER_FILE):
            bit = chance.randrange(8)
            copy, victim = damaged_copy(database, tmp_path, name)
            flip(victim, position, bit)
            damage = f"bit {bit} of byte {position} in {name}"
            verify_never_wrong(copy, answers, damage)
            checked = copy.run("check", "--deep", "--json").expect(OK, CORRUPT, IO)
            if checked.status == OK:
                verify_sound(copy, answers, damage)
            shutil.rmtree(copy.path)


def verify_sound(database, answers, damage):
    """A database that check --deep calls sound answers everything rightly."""
    for result, right in zip(ask_everything(database), answers):
        assert (result.status, result.stdout) == (OK, right), f"unnoticed: {damage}\n{result}"


def test_check_deep_finds_every_flip_in_vector_data(sound, tmp_path, seed):
    database, answers = sound
    chance = random.Random(f"{seed} vectors")
    largest = sorted(database.path.rglob("*.sst"), key=lambda path: path.stat().st_size)[-2:]
    for path in largest:
        size = path.stat().st_size
        assert size > 16 * DIMS, "the largest files hold the vectors"
        name = path.relative_to(database.path)
        # The last part of an SST file is RocksDB's index and has bytes that carry nothing.
        for step in range(12):
            position = int(size * 0.9 * (step + chance.random()) / 12)
            copy, victim = damaged_copy(database, tmp_path, name)
            flip(victim, position, chance.randrange(8))
            damage = f"byte {position} of {size} in {name}"
            checked = copy.run("check", "--deep", "--json").expect(CORRUPT)
            summary = checked.lines[-1]
            assert summary["ok"] is False and summary["problems"] >= 1, damage
            assert summary["problems"] == len(checked.lines) - 1, damage
            assert all(line["problem"] for line in checked.lines[:-1]), damage
            verify_never_wrong(copy, answers, damage)
            shutil.rmtree(copy.path)


@pytest.mark.parametrize("cut", ["all", "half", "a page", "a byte", "the file"])
def test_a_truncated_file_is_never_a_wrong_answer(sound, tmp_path, cut):
    database, answers = sound
    for path in sorted(database.path.rglob("*.sst")):
        name = path.relative_to(database.path)
        copy, victim = damaged_copy(database, tmp_path, name)
        if cut == "the file":
            victim.unlink()
        else:
            size = victim.stat().st_size
            left = {"all": 0, "half": size // 2, "a page": size - 4096, "a byte": size - 1}[cut]
            with open(victim, "r+b") as file:
                file.truncate(max(0, left))
        verify_never_wrong(copy, answers, f"{name} without {cut}")
        copy.run("check", "--deep", "--json").expect(CORRUPT, IO)
        shutil.rmtree(copy.path)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"not a database\n"])
def test_a_replaced_index_file_is_an_error(sound, tmp_path, name, content):
    database, answers = sound
    for path in database.path.rglob(name):
        copy, victim = damaged_copy(database, tmp_path, path.relative_to(database.path))
        victim.write_bytes(content)
        copy.run("info", "--json").expect(CORRUPT, IO)
        verify_never_wrong(copy, answers, f"{name} with other content")
        shutil.rmtree(copy.path)
