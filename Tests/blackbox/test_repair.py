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
QUERY = "query.safetensors"


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
    query = {name: values.standard_normal((1, dims)).astype(np.float32) for name, dims in (("a", 300), ("b", DIMS))}
    files.tensors(QUERY, query, "F32")
    return database


def ask(database, checkpoint="c", at="", rest="ALL"):
    query = database.path.with_name(QUERY)
    return f"SELECT id, row, source, tokens FROM t {at} SCORE dot TO '{query}' ACROSS '{checkpoint}' {rest}"


def answers(database, checkpoint="c", at=""):
    rows = database.query(ask(database, checkpoint, at))
    return {row["id"]: {name: row[name] for name in row if name != "query"} for row in rows}


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
    shutil.copy(sound.path.with_name(QUERY), tmp_path)
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
    # It stays where older snapshots lack what an earlier repair has not found.
    assert summary["damaged"] or summary["set_aside"] is None
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
    damaged.run("query", ask(damaged, rest="TOP 1")).expect(CORRUPT)
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
    assert added.line["rows"] == 1 and "new" in answers(damaged, "c")


def test_what_was_deleted_does_not_come_back(sound, damaged):
    """Nobody knows any more which rows are: none of them is there, in the newest snapshot. Others, and other
    tables, are as they were."""
    vectors = Files(damaged.path.parent).grad("u.safetensors", np.ones((3, 8), np.float32))
    damaged.create("u", ["grad:8:f32"])
    damaged.ingest("u", vectors, checkpoint="c")
    damaged.json("delete", "u", "--where", "row = 1")
    before = damaged.snapshots("t")[0]["snapshot"]
    known = set(table_files(damaged, "fields"))
    damaged.json("delete", "t", "--where", "tokens > 8000")
    (path,) = set(table_files(damaged, "fields")) - known
    right = {c: answers(damaged, c) for c in "cd"}
    assert any(right.values())
    flip(path, range(5, 60, 7))
    damaged.run("query", ask(damaged, rest="TOP 1")).expect(CORRUPT)
    damaged.run("check", "--deep").expect(CORRUPT)

    dry = damaged.json("repair", "--dry-run").lines
    losses, summary = repaired(damaged, vectors_lost=0, rows_lost=2 * ROWS)
    assert losses == dry[:-1] == [
        {"lost": "deleted_rows", "table": "t", "first_row": 0, "last_row": 2 * ROWS - 1, "newest": True}
    ]  # fmt: skip
    assert summary["snapshots"] == {"t": before + 2}
    for checkpoint in "cd":
        assert answers(damaged, checkpoint) == {}
        assert answers(damaged, checkpoint, f"AT {before}") == answers(sound, checkpoint)
    # Not those that the version before it says.
    lost = damaged.run("query", ask(damaged, at=f"AT {before + 1}"))
    assert b"deleted rows of container 0 in snapshot" in lost.expect(CORRUPT).stderr
    assert [row["id"] for row in damaged.query("FROM u SCORE self ALL")] == [0, 2]

    # It goes on, and a second repair has nothing to do.
    files = sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())
    repaired(damaged, damaged=False, set_aside=None)
    assert files == sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())
    damaged.json("restore", "t", "--to", before)
    assert answers(damaged) == answers(sound)
    damaged.json("expire", "t", "--keep-last", "1")
    damaged.json("gc")
    damaged.run("check", "--deep").expect(OK)


def test_what_only_older_snapshots_have_lost(sound, damaged):
    """It costs the newest one nothing. What there is to be read better is, and only once."""
    first = damaged.snapshots("t")[0]["snapshot"]
    old = table_files(damaged, "blocks")
    damaged.json("compact", "t", "--all")
    for path in old:
        flip(path, range(200, path.stat().st_size // 2, 997))
    newest = {c: answers(damaged, c) for c in "cd"}
    losses, summary = repaired(damaged, snapshots={})
    assert losses and not any(loss["newest"] for loss in losses)
    assert summary["set_aside"] and {c: answers(damaged, c) for c in "cd"} == newest
    files = sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())
    again, _ = repaired(damaged, set_aside=None)
    assert again == losses
    assert files == sorted((path.name, path.stat().st_ino) for path in damaged.path.iterdir())
    assert "nothing was changed" in damaged.run("repair").expect(OK).text
    damaged.run("query", ask(damaged, at=f"AT {first}")).expect(CORRUPT)
    damaged.json("expire", "t", "--keep-last", "1")
    repaired(damaged, damaged=False, set_aside=None)
    damaged.json("gc")
    damaged.run("check", "--deep").expect(OK)


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
