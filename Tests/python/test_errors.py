"""Every class of error: raised for what it stands for, and the database as it was."""

import os
import subprocess
import sys

import numpy as np
import pytest

import graddb
from graddb import errors
from rocksdb_document import put_document

HOLD_LOCK = """
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def test_classes_have_the_exit_codes():
    codes = {1: graddb.Error, 10: graddb.NotFound, 11: graddb.Locked, 12: graddb.Corrupt,
             13: graddb.TooNew, 64: graddb.QueryError, 65: graddb.BadInput,
             74: graddb.StorageError, 130: graddb.Interrupted}
    assert errors.BY_CODE == codes
    assert all(issubclass(kind, graddb.Error) for kind in codes.values())
    assert issubclass(graddb.StorageError, OSError) and issubclass(graddb.BadInput, ValueError)


def test_not_found(db, table, tmp_path):
    with pytest.raises(graddb.NotFound, match="no database"):
        graddb.open(tmp_path / "nowhere")
    with pytest.raises(graddb.NotFound, match="it has: t"):
        db.table("other")
    with pytest.raises(graddb.NotFound, match='"zz"'):
        table.read(["zz"])
    with pytest.raises(graddb.NotFound, match="1000"):
        table.read([1, 1000])
    table.append(np.ones((1, 96), np.float32), ids=[5000], checkpoint="b")
    with pytest.raises(graddb.NotFound, match="5000.*checkpoint 'a'"):
        table.read([5000], checkpoint="a")


def test_failed(db, table, tmp_path):
    for again in (lambda: graddb.create(db.path), lambda: db.create_table("t", {"g": 8})):
        with pytest.raises(graddb.Error, match="already") as caught:
            again()
        assert type(caught.value) is graddb.Error
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(graddb.Error, match="not empty"):
        graddb.create(tmp_path / "full")


def test_what_exists_is_opened_where_that_is_wanted(db, table):
    assert graddb.create(db.path, exist_ok=True).tables() == ["t"]
    same = {"layers": {"grad": (96, "f32")}, "fields": {"name": str, "n": int}}
    assert len(db.create_table("t", **same, exist_ok=True)) == 200
    with pytest.raises(graddb.Error, match="other layers"):
        db.create_table("t", layers={"grad": 97}, exist_ok=True)


@pytest.mark.parametrize("statement, message", [
    ("SCORE cosne TO ROW 1", "did you mean cosine"), ("", "expected"), ("SCORE dot TO $p", "bound"),
    ("SCORE dot TO ROW 1 WHERE x = 1", "x"), ("SCORE dot TO ROW 77777", "no row"),
    ("SCORE dot TO ROW 1 LAYERS 'zz'", "zz"), ("SELECT zz SCORE dot TO ROW 1", "zz"),
    ("SCORE dot TO ROW 1 ACROSS 'zz'", "zz"), ("FROM t AT 99 SCORE dot TO ROW 1", "99"),
    ("EXPLAIN SCORE dot TO ROW 1", "explain"), ("SCORE dot TO ROW 1\0", "zero byte"),
    ("SCORE dot TO ROW '\ud800'", "surrogates"),
])
def test_query_errors(table, statement, message):
    with pytest.raises(graddb.QueryError, match=message):
        table.query(statement, q=table.vectors[0])


@pytest.mark.parametrize("arguments, message", [
    ({"layers": {}}, "layer"), ({"layers": {"a b": 8}}, "name"), ({"layers": {"g": 0}}, "dims"),
    ({"layers": {"g": (8, "int3")}}, "int3"), ({"layers": {"g": (1, "int4")}}, "too few"),
    ({"layers": {"g": (8, "f32+f32")}}, "twice"), ({"layers": {"g": 8}, "unit": "x"}, "unit"),
    ({"layers": {"g": 8}, "row_group": 0}, "row group"),
    ({"layers": {"g": 8}, "fields": {"id": int}}, "id"),
    ({"layers": {"g": 8}, "fields": {"f": "text"}}, "text"),
    ({"layers": {"g": "x"}}, "give its dims"), ({"layers": {"g": (8.5, "f32")}}, "give its dims"),
    ({"layers": {"g": 8}, "projectors": {"h": {}}}, "no layer"),
    ({"layers": {"g": 8}, "projectors": {"g": {}}}, "kind"),
])
def test_schemas_that_cannot_be(db, arguments, message):
    with pytest.raises(graddb.QueryError, match=message):
        db.create_table("t", **arguments)
    assert db.tables() == []


def test_options_that_cannot_be(table):
    row = np.ones((1, 96), np.float32)
    for options in ({"checkpoint": ""}, {"checkpoint": "a\nb"}, {"checkpoint": "a", "step": 2},
                    {"checkpoint": "a", "weight": 9.0}, {"checkpoint": "b", "tag": "9"},
                    {"checkpoint": "b", "threads": 5000}, {"checkpoint": "b", "step": 1.5},
                    {"checkpoint": "b", "weight": float("nan")}, {"checkpoint": "b\0"},
                    {"checkpoint": 5}, {"checkpoint": "b", "resume": 3}):
        with pytest.raises(graddb.QueryError):
            table.append(row, ids=[999], **options)
    with pytest.raises(TypeError):
        table.append(row, ids=[999])
    assert len(table.snapshots()) == 1
    for snapshot in (-1, 7):
        with pytest.raises(graddb.QueryError):
            table.tag("v", snapshot)
    with pytest.raises(graddb.QueryError):
        table.delete_tag("v")


def test_bad_vectors_of_queries(table):
    for bad in (np.ones(95), np.ones((0, 96)), np.ones((1, 2, 96)), np.full(96, np.nan),
                {"other": np.ones(96)}, {}):
        with pytest.raises(graddb.BadInput):
            table.query("SCORE dot TO $q", q=bad)
    with pytest.raises(graddb.BadInput, match="zero vector"):
        table.query("SCORE cosine TO $q", q=np.zeros(96))
    with pytest.raises(graddb.BadInput, match="nowhere.npy"):
        table.query("SCORE dot TO $q", q="nowhere.npy")


def test_locked(db, table):
    process = subprocess.Popen([sys.executable, "-c", HOLD_LOCK, os.path.join(db.path, "LOCK")],
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        with graddb.open(db.path, lock_timeout=0.05) as other:
            with pytest.raises(graddb.Locked):
                other.table("t").append(table.vectors, ids=range(200), checkpoint="b")
            with pytest.raises(graddb.Locked):
                other.create_table("u", {"g": 8})
            with pytest.raises(graddb.Locked):
                other.table("t").tag("v")
            # Readers need no lock.
            assert len(other.table("t").query("SCORE dot TO ROW 1 TOP 3")) == 3
    finally:
        process.kill()
        process.wait()
    table.append(table.vectors, ids=range(200), checkpoint="b")


def test_a_writer_waits_for_the_lock(db, table):
    process = subprocess.Popen([sys.executable, "-c", HOLD_LOCK.replace("600", "1"),
                                os.path.join(db.path, "LOCK")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with graddb.open(db.path, lock_timeout=60) as other:
        assert other.table("t").tag("v") == 1
    process.wait()


def test_corrupt(db, table):
    db.close()
    files = [os.path.join(db.path, name) for name in os.listdir(db.path) if name.endswith(".sst")]
    largest = max(files, key=os.path.getsize)
    data = bytearray(open(largest, "rb").read())
    middle = data.find(table.vectors[150].tobytes())
    assert middle > 0
    data[middle] ^= 1
    open(largest, "wb").write(data)
    with graddb.open(db.path) as damaged:
        with pytest.raises(graddb.Corrupt, match="checksum"):
            damaged.table("t").query("SCORE dot TO $q", q=table.vectors[0])
        with pytest.raises(graddb.Corrupt, match="checksum"):
            damaged.table("t").read(range(200))


def test_too_new(db, table):
    db.close()
    put_document(db.path, b"database", lambda text: text.replace(b'"format_version":1',
                                                                 b'"format_version":9'))
    for call in (lambda: graddb.open(db.path), lambda: graddb.create(db.path, exist_ok=True)):
        with pytest.raises(graddb.TooNew, match="format version 9"):
            call()


def test_storage_errors(tmp_path):
    with pytest.raises(graddb.StorageError):
        graddb.create("/proc/no/database")
    assert not os.path.exists("/proc/no")


def test_an_interrupted_call_changes_nothing(table):
    cancellation = graddb.Cancellation()
    cancellation.cancel()
    calls = [
        lambda: table.query("SCORE dot TO ROW 1", cancellation=cancellation),
        lambda: table.read(range(200), cancellation=cancellation),
        lambda: table.append(table.vectors, ids=range(200), checkpoint="b",
                             cancellation=cancellation),
    ]
    for call in calls:
        with pytest.raises(graddb.Interrupted):
            call()
    assert len(table.snapshots()) == 1


def test_closed(db, table):
    db.close()
    db.close()
    assert repr(db).endswith("closed>")
    for call in (db.info, db.stats, db.tables, lambda: db.create_table("u", {"g": 8}), table.info,
                 lambda: len(table), lambda: table.query("SCORE dot TO ROW 1"),
                 lambda: table.read([1]), lambda: table.writer("b"),
                 lambda: table.append(table.vectors, checkpoint="b")):
        with pytest.raises(graddb.Closed, match="open it again"):
            call()


def test_errors_say_their_code(tmp_path):
    with pytest.raises(graddb.NotFound) as caught:
        graddb.open(tmp_path / "no")
    assert (caught.value.code, caught.value.kind) == (10, "not_found")
