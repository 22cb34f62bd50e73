"""A damaged database is repaired: what can be read answers as before, what is lost is named.

Damage is done to table files by their column family, which RocksDB writes into each of them.
"""

import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from gradient_files import Files
from graddb import CORRUPT, LOCKED, OK, Database, ingest_arguments

DIMS, ROWS = 2048, 96
ASK = "SELECT id, row, source, tokens FROM t {at} SCORE dot TO ROW 'x3' ACROSS '{checkpoint}' {rest}"


@pytest.fixture(scope="module")
def sound(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sound")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", ["a:300:f32", f"b:{DIMS}:int8+bit"], ["source:string", "tokens:int"], 16)
    values = np.random.default_rng(41)
    for part, checkpoint in enumerate(["c", "c", "d"]):
        vectors = {
            name: values.standard_normal((ROWS, dims)).astype(np.float32)
            for name, dims in (("a", 300), ("b", DIMS))
        }
        first = ROWS if part == 1 else 0
        rows = [
            {"id": f"x{i}", "source": f"s{i % 7}-{i}", "tokens": i * i}
            for i in range(first, first + ROWS)
        ]
        database.json(
            *ingest_arguments(
                "t",
                files.tensors(f"{part}.safetensors", vectors, "F16"),
                checkpoint=checkpoint,
                metadata=files.metadata(f"{part}.jsonl", rows),
            )
        )
    database.json("delete", "t", "--where", "tokens BETWEEN 100 AND 400")
    database.json("precondition", "t", "--name", "p", "--kind", "diagonal", "--layers", "a")
    return database


def answers(database, checkpoint="c", at="", rest="ALL"):
    statement = ASK.format(at=at, checkpoint=checkpoint, rest=rest)
    return {row["id"]: row for row in database.query(statement)}


def scores(rows):
    return {row_id: (row["score"], row["source"], row["tokens"]) for row_id, row in rows.items()}


def table_files(database, family):
    """Those of a column family, the largest first. RocksDB writes its name into each file but those
    that were attached, which are of blocks."""
    mark = b"external_sst_file" if family == "blocks" else b"name" + family.encode()
    found = [path for path in database.path.glob("*.sst") if mark in path.read_bytes()]
    assert found
    return sorted(found, key=lambda path: -path.stat().st_size)


@pytest.fixture
def damaged(sound, tmp_path):
    copy = tmp_path / "db"
    shutil.copytree(sound.path, copy)
    return Database(copy)


def flip(path, positions):
    data = bytearray(path.read_bytes())
    for position in positions:
        data[position] ^= 0x10
    path.write_bytes(data)


def repaired(database, **expected):
    before = database.run("repair", "--dry-run", "--json").expect(OK)
    lines = database.run("repair", "--json").expect(OK).lines
    summary = lines[-1]
    dry = before.lines[-1]
    same = ("damaged", "tables", "vectors_lost", "rows_lost", "rows_restored", "broken_files")
    assert {key: dry[key] for key in same} == {key: summary[key] for key in same}
    assert dry["set_aside"] is None and dry["snapshots"] == {}
    for key, value in expected.items():
        assert summary[key] == value, (key, summary)
    assert (summary["set_aside"] is not None) == summary["damaged"]
    return lines[:-1], summary


def test_a_sound_database_is_left_alone(damaged):
    files = sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())
    repaired(damaged, damaged=False, vectors_lost=0, rows_lost=0, rows_restored=0)
    assert files == sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())


def test_flipped_bytes_of_blocks_cost_the_vectors_that_they_are_of(sound, damaged):
    path = table_files(damaged, "blocks")[0]
    seed = random.randrange(2**32)
    print("seed", seed)
    values = random.Random(seed)
    size = path.stat().st_size
    flip(path, [values.randrange(size // 10, size // 2) for _ in range(3)])
    right = {c: scores(answers(sound, c)) for c in "cd"}
    losses, summary = repaired(damaged, rows_lost=0, rows_restored=0)
    assert summary["vectors_lost"] == sum(loss["vectors"] for loss in losses)
    if summary["damaged"]:
        assert damaged.path.with_name(summary["set_aside"].rsplit("/", 1)[-1]).is_dir()
        assert all(loss["newest"] for loss in losses)
    lost = 0
    for checkpoint in "cd":
        found = scores(answers(damaged, checkpoint))
        assert found.items() <= right[checkpoint].items()
        lost += len(right[checkpoint]) - len(found)
    # Rows that had been deleted are among what is lost, but not among what is missed.
    assert lost <= summary["vectors_lost"]
    assert (lost > 0) == any(loss["ids"] for loss in losses) or lost == 0
    newest = damaged.snapshots("t")[0]
    if summary["vectors_lost"]:
        assert newest["operation"] == "repair" and newest["snapshot"] == summary["snapshots"]["t"]
    # What is left is whole: once the older snapshots are gone, nothing is wrong any more.
    damaged.json("expire", "t", "--keep-last", "1")
    damaged.json("gc")
    damaged.run("check", "--deep").expect(OK)


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_block_file_that_is_not_whole_is_named(sound, damaged, damage):
    path = table_files(damaged, "blocks")[-1]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 1000 if damage == "truncated" else 0])
    damaged.run("query", ASK.format(at="", checkpoint="c", rest="TOP 1")).expect(CORRUPT)
    losses, summary = repaired(damaged, broken_files=[path.name], rows_lost=0)
    assert summary["vectors_lost"] >= ROWS // 2 and len(losses) == 1
    right = {c: scores(answers(sound, c)) for c in "cd"}
    other = "d" if losses[0]["checkpoint"] == "c" else "c"
    assert scores(answers(damaged, other)) == right[other]
    if losses[0]["checkpoint"] == "c":
        assert scores(answers(damaged, "c")).items() < right["c"].items()
    files = Files(damaged.path.parent)
    vectors = {"a": np.ones((1, 300), np.float32), "b": np.ones((1, DIMS), np.float32)}
    added = damaged.json(
        *ingest_arguments(
            "t", files.tensors("n.safetensors", vectors, "F32"), checkpoint="c",
            metadata=files.metadata("n.jsonl", [{"id": "new", "source": "n", "tokens": 1}]),
        )
    )
    assert added.line["rows"] == 1 and "new" in answers(damaged, "c", rest="ALL")


@pytest.mark.parametrize("family", ["rows", "keys"])
def test_lost_records_and_keys_are_made_from_columns(sound, damaged, family):
    for path in table_files(damaged, family):
        flip(path, range(10, path.stat().st_size // 2, 97))
    losses, summary = repaired(damaged, rows_lost=0, vectors_lost=0)
    assert losses == []
    assert summary["rows_restored"] > 0
    for checkpoint in "cd":
        assert answers(damaged, checkpoint) == answers(sound, checkpoint)
    assert damaged.snapshots("t") == sound.snapshots("t")
    damaged.run("check", "--deep").expect(OK)
    assert damaged.query("SELECT tokens FROM t SCORE dot TO ROW 'x30' TOP 1")[0]["id"]


def test_a_damaged_catalog_is_left_to_a_backup(damaged):
    for path in table_files(damaged, "catalog"):
        flip(path, range(10, path.stat().st_size // 2, 97))
    result = damaged.run("repair", "--json").expect(CORRUPT)
    assert "backup" in result.error["error"]
    assert not list(damaged.path.parent.glob("db.*"))


def test_a_repair_tidies_up_after_repairs_that_died(sound, damaged):
    """One died while it built, and one before it had named the database that it had set aside: the mark
    in a directory says which."""
    building, replaced, empty = (damaged.path.with_name(f"db.repairing-{n}") for n in (1, 2, 3))
    for left in (building, replaced):
        shutil.copytree(damaged.path, left)
    (building / "repairing").touch()
    (damaged.path / "repairing").touch()
    (replaced / "staged").mkdir()
    empty.mkdir()
    assert damaged.json("repair", "--dry-run").line["set_aside"] is None
    assert building.exists() and replaced.exists() and empty.exists()
    summary = damaged.json("repair").line
    assert not summary["damaged"]
    named = damaged.path.with_name(Path(summary["set_aside"]).name)
    assert sorted(damaged.path.parent.glob("db.*")) == [named] and named.name.startswith("db.damaged-")
    assert not (named / "staged").exists() and not (damaged.path / "repairing").exists()
    assert answers(Database(named)) == answers(damaged) == answers(sound)
    # Two of the same second do not get into each other's way.
    shutil.copytree(named, replaced)
    table_files(damaged, "blocks")[-1].unlink()
    damaged.json("repair")
    assert len(list(damaged.path.parent.glob("db.*"))) == 3
    assert not replaced.exists()


def test_a_writer_keeps_a_repair_out(damaged):
    metadata = Files(damaged.path.parent).metadata("m.jsonl", [{"id": "new"}])
    for pause in (0.3, 1, 3, 10):
        writer = damaged.start("ingest", "t", "-", "--checkpoint", "e", "--metadata", metadata)
        try:
            # Who comes first keeps the other out; a slow start is given more time.
            time.sleep(pause)
            result = damaged.run("repair", "--dry-run")
            if result.status == LOCKED:
                return
        finally:
            writer.kill()
            writer.communicate()
    pytest.fail(str(result))
