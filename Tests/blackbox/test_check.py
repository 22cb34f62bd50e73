"""`check` finds every broken file and block, and says what depends on it."""

import random
import shutil

import numpy as np
import pytest

from gradient_files import Files
from graddb import CORRUPT, OK, Database
from staged_tables import Parts

DIMS = 2048
ROWS = 48


@pytest.fixture(scope="module")
def sound(gradctl, tmp_path_factory):
    """Three segments of two checkpoints, of which the first snapshot has one and a tag."""
    directory = tmp_path_factory.mktemp("sound")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", ["a:300:f32", f"b:{DIMS}:int8"], ["source:string"], 16)
    values = np.random.default_rng(7)
    for part, checkpoint in enumerate(["first", "second", "first"]):
        vectors = {
            "a": values.standard_normal((ROWS, 300)).astype(np.float32),
            "b": values.standard_normal((ROWS, DIMS)).astype(np.float32),
        }
        first = ROWS * (part == 2)
        rows = [{"id": f"x{first + i}", "source": "ab"[i % 2]} for i in range(ROWS)]
        database.ingest(
            "t",
            files.tensors(f"{part}.safetensors", vectors),
            checkpoint=checkpoint,
            metadata=files.metadata(f"{part}.jsonl", rows),
            tag="begin" if part == 0 else None,
        )
    return database


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "copy")
    return Database(tmp_path / "copy")


def problems(database, deep=True):
    result = database.run("check", *(["--deep"] if deep else []), "--json").expect(CORRUPT)
    summary = result.lines[-1]
    assert summary["ok"] is False and summary["problems"] == len(result.lines) - 1
    for line in result.lines[:-1]:
        assert line["problem"] and line["kind"], line
    return result.lines[:-1]


def block_files(database):
    """Files of blocks, one for each segment, in their order."""
    return sorted(path for path in database.path.glob("*.sst") if path.stat().st_size > ROWS * DIMS)


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 16]))


def test_a_sound_database_has_no_problems(sound):
    for flags in ([], ["--deep"]):
        (line,) = sound.json("check", *flags).lines
        assert line["ok"] is True and line["segments"] == 3 and line["problems"] == 0
        assert line["blocks"] == 3 * 3 * 2 and line["staged"] == 0


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("cut", ["the file", "its end", "all"])
def test_what_depends_on_a_file_of_blocks(copy, cut, deep):
    victim = block_files(copy)[1]
    if cut == "the file":
        victim.unlink()
    else:
        size = victim.stat().st_size
        with open(victim, "r+b") as file:
            file.truncate(size - 100 if cut == "its end" else 0)
    (problem,) = problems(copy, deep)
    assert problem["kind"] == "file" and problem["file"] == victim.name
    assert problem["table"] == "t" and problem["segment"] == 2
    assert problem["checkpoint"] == "second" and problem["blocks"] == 6
    assert problem["rows"] == ROWS and problem["ids"] == ["x0", "x1", "x2"]
    assert problem["snapshots"] == [2, 3] and "tags" not in problem


def test_each_broken_file_and_block_is_found(copy):
    first, second, third = block_files(copy)
    second.unlink()
    # In the payload of the last row group's block of layer b, and of the first one's.
    flip(first, int(first.stat().st_size * 0.9))
    flip(third, third.stat().st_size // 6)
    found = problems(copy)
    assert [(p["kind"], p["segment"], p["file"]) for p in found] == [
        ("block", 1, first.name),
        ("file", 2, second.name),
        ("block", 3, third.name),
    ]
    lost, _, new = found
    assert lost["block"] == {"row_group": 2, "encoding": 1, "slab": 0}
    assert lost["layer"] == "b" and lost["checkpoint"] == "first" and lost["rows"] == 16
    assert lost["ids"] == ["x32", "x33", "x34"]
    assert lost["snapshots"] == [1, 2, 3] and lost["tags"] == ["begin"]
    assert new["block"]["row_group"] == 0 and new["ids"] == ["x48", "x49", "x50"]
    assert new["snapshots"] == [3] and "tags" not in new


def test_a_flip_that_no_checksum_of_a_block_sees(copy):
    """Behind the values, where RocksDB lists where keys begin."""
    (victim, *_) = block_files(copy)
    content = victim.read_bytes()
    # A block of data ends with its one restart, 0, and their number, 1; no compression follows.
    position = content.index(bytes([0, 0, 0, 0, 1, 0, 0, 0, 0]), DIMS)
    flip(victim, position + 1)
    (problem,) = problems(copy)
    assert problem["kind"] == "block" and problem["file"] == victim.name, problem


@pytest.mark.parametrize("deep", [False, True])
def test_files_of_records_that_are_missing(sound, tmp_path, deep):
    kinds = set()
    for path in sorted(sound.path.glob("*.sst")):
        if path.stat().st_size > ROWS * DIMS:
            continue
        shutil.copytree(sound.path, tmp_path / "copy")
        copy = Database(tmp_path / "copy")
        (copy.path / path.name).unlink()
        found = problems(copy, deep)
        assert [p for p in found if p["kind"] == "file" and p.get("file") == path.name], found
        assert all(p.get("file") == path.name or p["kind"] == "catalog" for p in found), found
        kinds |= {p["kind"] for p in found}
        shutil.rmtree(copy.path)
    assert {"file", "row_map", "column", "catalog"} <= kinds
    assert deep == ("record" in kinds)


def test_findings_are_readable(copy):
    block_files(copy)[0].unlink()
    text = copy.run("check").expect(CORRUPT).text
    assert "checkpoint 'first'" in text and "x0, x1, x2, …" in text and "tagged begin" in text


def test_staged_ingests_are_counted_and_their_journals_verified(gradctl, tmp_path, seed):
    parts = Parts(Files(tmp_path), ranks=2, count=100)
    database = parts.create(tmp_path / "db")
    for rank in range(parts.ranks):
        database.run(*parts.arguments(rank)).expect(OK)
    (journal, _) = sorted(database.path.rglob("journal"))
    (pair,) = journal.parent.glob("*.sst")
    (line,) = database.json("check", "--deep").lines
    assert line["ok"] is True and line["staged"] == 1
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b'"rows"', b'"rowz"', 1))
    (problem,) = problems(database, deep=False)
    assert problem["kind"] == "staged" and problem["file"].endswith("journal")
    journal.write_bytes(content)
    chance = random.Random(f"{seed} staged check")
    for path in (pair, pair.with_suffix(".rows")):
        whole = path.read_bytes()
        for _ in range(3):
            flip(path, chance.randrange(len(whole)))
            (problem,) = problems(database)
            assert problem["kind"] == "staged" and problem["file"].endswith(path.name), seed
            path.write_bytes(whole)
    flip(pair, pair.stat().st_size // 2)
    assert database.run("check", "--json").expect(OK).line["ok"] is True
    (problem,) = problems(database)
    assert problem["kind"] == "staged" and problem["file"].endswith(pair.name)
    assert problem["checkpoint"] == "c" and problem["rows"] > 0
    pair.unlink()
    assert "missing" in problems(database, deep=False)[0]["problem"]
