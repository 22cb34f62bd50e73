"""Every kind of file of a database, flipped bit by bit, cut short, and torn: right or an error.

What makes gradctl's tests of damage (test_corruption.py) slow is starting gradctl; here processes with
the library ask thousands of damaged databases each. About a minute; nightly 100,000 flips, and all
files cut and torn at each 512 bytes.
"""

import random
import shutil
import time

import numpy as np
import pytest

from damage import LIBRARY, wrong_after
from gradient_files import Files
from graddb import CORRUPT, OK, SCALE, Database, finish, ingest_arguments

NIGHTLY = SCALE >= 10
FLIPS = 100_000 if NIGHTLY else 1_500
CUTS = 600
DIMS = 1024
# Kinds of files by how they are named; table files are asked for what is in them.
KINDS = ["*.sst", "MANIFEST-*", "CURRENT", "*.log", "OPTIONS-*", "IDENTITY", "staged/*"]


@pytest.fixture(scope="module")
def sound(gradctl, tmp_path_factory):
    """A database with two snapshots of vectors, a companion, preconditioners, deleted rows, a staged
    ingest, and a last commit that only the log has, where a kill comes at the right moment."""
    if not LIBRARY.exists():
        pytest.skip(f"no library at {LIBRARY}: build it, or set GRADDB_LIBRARY")
    directory = tmp_path_factory.mktemp("sound")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create(
        "t", ["a:300:f32", f"b:{DIMS}:int8"], ["source:string", "tokens:int"], row_group=16
    )
    values = np.random.default_rng(41)

    def arguments(first, count, *more, tag=None):
        vectors = {
            name: values.standard_normal((count, dims)).astype(np.float32)
            for name, dims in (("a", 300), ("b", DIMS))
        }
        rows = [
            {"id": f"x{i}", "source": "ab"[i % 2], "tokens": i * i if i % 5 else None}
            for i in range(first, first + count)
        ]
        return ingest_arguments(
            "t",
            files.tensors(f"{first}.safetensors", vectors, "F16"),
            checkpoint="c",
            metadata=files.metadata(f"{first}.jsonl", rows),
            tag=tag,
        ) + list(more)

    database.json(*arguments(0, 64, tag="first"))
    database.json(*arguments(64, 40))
    database.json("delete", "t", "--where", "tokens BETWEEN 30 AND 50")
    database.recode("t", "bit", layer="b", beside=True)
    database.json("precondition", "t", "--name", "p", "--kind", "diagonal")
    staged = arguments(200, 20, "--rank", "0/2")
    staged[staged.index("--checkpoint") + 1] = "later"
    database.json(*staged)
    kept = directory / "before"
    shutil.copytree(database.path, kept)
    for attempt in range(20):
        shutil.rmtree(database.path)
        shutil.copytree(kept, database.path)
        if only_in_log(database, arguments(104, 20)):
            break
    return database


def only_in_log(database, arguments):
    """Kills an ingest when it has written to the log what it publishes."""
    process = database.start(*arguments, "--json")
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        if sum(path.stat().st_size for path in database.path.glob("*.log")) > 1500:
            process.kill()
            break
    finish(process)
    log = sum(path.stat().st_size for path in database.path.glob("*.log"))
    return log > 1500 and database.info("t")["rows"] > 110


def damage_free(damage, answers, sound):
    """What must hold after any damage."""
    if isinstance(answers, str):
        return False
    if len(answers) == 1:
        return answers[0] in ("corrupt", "io") or damage["file"] == "CURRENT"
    allowed = {"corrupt", "io"}
    return all(answer == right or answer in allowed for answer, right in zip(answers, sound))


def is_right(damage, answers, sound):
    if damage_free(damage, answers, sound):
        return True
    # RocksDB takes its log up to the first record that does not check out (commit.md): a commit that
    # is nowhere else may be lost with the end of it, but never a part of one.
    return damage["file"].endswith(".log") and answers == damage["older"]


def files_of(database, kind):
    paths = sorted(path for path in database.path.glob(kind) if path.is_file())
    if kind == "staged/*":
        paths = sorted(path for path in database.path.glob("staged/**/*") if path.is_file())
    return [(str(path.relative_to(database.path)), path.stat().st_size) for path in paths]


@pytest.fixture(scope="module")
def older(sound, tmp_path_factory):
    """What is answered without the log."""
    directory = tmp_path_factory.mktemp("older")
    shutil.copytree(sound.path, directory / "db")
    for path in (directory / "db").glob("*.log"):
        path.write_bytes(b"")
    found = []
    wrong_after(
        Database(directory / "db"),
        [{"file": "LOCK", "what": "cut", "at": 0}],
        directory,
        lambda damage, answers, sound: found.append(answers) or True,
    )
    return found[0]


def verify(sound, tmp_path, damages, older, seed):
    for damage in damages:
        if damage["file"].endswith(".log"):
            damage["older"] = older
    noticed = set()

    def judge(damage, answers, right):
        if answers != right:
            noticed.add(damage["file"])
        return is_right(damage, answers, right)

    wrong = wrong_after(sound, damages, tmp_path, judge)
    assert not wrong, f"seed {seed}: {wrong[0]}; {len(wrong)} in all"
    # Else nothing was damaged that anybody reads.
    tables = {name for name, _ in files_of(sound, "*.sst")}
    assert len(noticed & tables) > len(tables) // 2 and noticed - tables, noticed


def is_mark_of_properties(sound, damage):
    """Whether it is the one bit of a table file that RocksDB believes before it has verified it."""
    before = (sound.path / damage["file"]).read_bytes()[: damage["at"] + 1]
    return before.endswith(b"\0\0\0\0\1\0\0\0") and b"value.size" in before[-60:]


def test_the_mark_of_a_hash_index_in_the_properties_of_a_table_file(sound, tmp_path):
    """RocksDB reads the properties of a table file without their checksum when it opens the file, takes
    the highest bit of their last number for a hash index, which is not there, and aborts."""
    damages = [
        {"file": name, "what": "flip", "at": at, "bit": 7}
        for name, size in files_of(sound, "*.sst")
        for at in range(size)
        if is_mark_of_properties(sound, {"file": name, "at": at})
    ]
    assert damages
    wrong = wrong_after(sound, damages, tmp_path, lambda _, answers, right: answers == ["corrupt"])
    assert not wrong
    broken = Database(tmp_path / "marked")
    shutil.copytree(sound.path, broken.path)
    path = broken.path / damages[0]["file"]
    content = bytearray(path.read_bytes())
    content[damages[0]["at"]] ^= 0x80
    path.write_bytes(content)
    for command in (["info"], ["check"], ["expire", "t", "--keep-last", "1"], ["repair"]):
        assert str(path) in broken.run(*command).expect(CORRUPT).stderr.decode(), command


def test_a_flipped_bit_is_never_a_wrong_answer(sound, older, tmp_path, seed):
    chance = random.Random(f"{seed} flips")
    kinds = [files for files in (files_of(sound, kind) for kind in KINDS) if files]
    damages = []
    while len(damages) < FLIPS:
        files = chance.choice(kinds[:1] * 4 + kinds)
        name, size = chance.choice(files)
        if size:
            # Both ends of a file say what is in it.
            at = chance.choice([chance.randrange(size), max(0, size - 1 - chance.randrange(900))])
            damage = {"file": name, "what": "flip", "at": at, "bit": chance.randrange(8)}
            damages.append(damage)
    verify(sound, tmp_path, damages, older, seed)


def test_a_file_that_is_cut_short_or_torn_is_never_a_wrong_answer(sound, older, tmp_path, seed):
    chance = random.Random(f"{seed} cuts")
    damages = []
    for kind in KINDS:
        for name, size in files_of(sound, kind):
            damages.append({"file": name, "what": "gone", "at": 0})
            for at in range(0, size, 512):
                for what in ("cut", "zero tail", "zero part"):
                    damages.append({"file": name, "what": what, "at": at})
                damages.append(
                    {"file": name, "what": "other part", "at": at, "from": chance.randrange(size)}
                )
    if not NIGHTLY:
        gone = [damage for damage in damages if damage["what"] == "gone"]
        damages = gone + chance.sample(damages, min(CUTS, len(damages)))
    verify(sound, tmp_path, damages, older, seed)


def test_a_writer_on_a_damaged_database_makes_nothing_worse(sound, older, tmp_path, seed):
    """It refuses, or commits; what it answers afterwards is right, or an error."""
    chance = random.Random(f"{seed} writers")
    files = Files(tmp_path)
    vectors = {name: np.ones((3, dims), np.float32) for name, dims in (("a", 300), ("b", DIMS))}
    rows = [{"id": f"new{i}", "source": "c", "tokens": 1_000_000} for i in range(3)]
    arguments = ingest_arguments(
        "t", files.tensors("new.safetensors", vectors), checkpoint="other",
        metadata=files.metadata("new.jsonl", rows),
    )  # fmt: skip
    ask = "SELECT row, source FROM t AT 'first' SCORE dot TO ROW 'x7' ACROSS 'c' WEIGHT 1 TOP 99"
    right = sound.query_result(ask).stdout
    everything = [file for kind in KINDS[:-1] for file in files_of(sound, kind) if file[1]]
    for _ in range(8 * SCALE):
        name, size = chance.choice(everything)
        shutil.copytree(sound.path, tmp_path / "copy")
        copy = Database(tmp_path / "copy")
        victim = copy.path / name
        content = bytearray(victim.read_bytes())
        at = chance.randrange(size)
        content[at] ^= 1 << chance.randrange(8)
        victim.write_bytes(content)
        written = copy.run(*arguments, "--json")
        damage = f"seed {seed}: byte {at} of {name}\n{written}"
        assert written.status in (OK, 12, 74), damage
        answer = copy.run("query", ask, "--format", "jsonl")
        assert answer.status in (OK, 12, 74), f"{damage}\n{answer}"
        if answer.status == OK:
            assert answer.stdout == right, f"{damage}\n{answer}"
        shutil.rmtree(copy.path)
