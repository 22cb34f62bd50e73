"""Writers: batches over time, ranks beside each other, kills, and going on after them."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import graddb

ROWS, DIMS, BATCH = 3000, 256, 100

WRITE = """
import os, signal, sys
import numpy as np
import graddb

path, rank, ranks, kill_at = sys.argv[1], *map(int, sys.argv[2:])
t = graddb.open(path).table("t")
rows = np.random.default_rng(7).standard_normal((3000, 256)).astype(np.float16)
mine = np.arange(rank, 3000, ranks)
with t.writer("a", step=5, weight=0.5, rank=rank, ranks=ranks, resume=True) as w:
    for first in range(0, len(mine), 100):
        if first >= kill_at >= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        ids = mine[first:first + 100]
        w.append({"grad": rows[ids]}, ids=ids, fields={"n": ids})
        w.flush()
print(w.summary.rows, w.summary.new_rows, w.summary.skipped)
"""


def vectors():
    return np.random.default_rng(7).standard_normal((ROWS, DIMS)).astype(np.float16)


@pytest.fixture
def empty(db):
    return db.create_table("t", layers={"grad": (DIMS, "f16")}, fields={"n": int}, row_group=64)


def start(db, rank, ranks, kill_at=-1):
    return subprocess.Popen([sys.executable, "-c", WRITE, db.path, *map(str, (rank, ranks, kill_at))],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_all(table):
    assert len(table) == ROWS
    assert [(c.name, c.step, c.weight, c.rows) for c in table.checkpoints()] == [("a", 5, 0.5, ROWS)]
    assert (table.read(range(ROWS)) == vectors().astype(np.float32)).all()
    result = table.query(f"SELECT n SCORE dot TO ROW 17 TOP {ROWS}")
    assert (result["n"] == result.ids).all() and len(result) == ROWS


def test_one_writer_makes_one_snapshot(db, empty):
    data = vectors()
    with empty.writer("a", step=5, weight=0.5, tag="first", message="hello") as writer:
        for first in range(0, ROWS, BATCH):
            ids = range(first, first + BATCH)
            assert writer.append(data[first:first + BATCH], ids=ids, fields={"n": list(ids)}) == (
                BATCH, 0)
        assert len(empty) == 0 and empty.snapshots() == []
    check_all(empty)
    assert writer.summary.rows == writer.snapshot.rows == writer.snapshot.new_rows == ROWS
    (snapshot,) = empty.snapshots()
    assert (snapshot.snapshot, snapshot.message, snapshot.tags) == (1, "hello", ["first"])
    assert os.listdir(os.path.join(db.path, "staged")) == []


def test_others_write_meanwhile(db, empty):
    with empty.writer("a") as writer:
        writer.append(vectors()[:100], ids=range(100))
        empty.append(vectors()[:50], ids=range(50), checkpoint="b")
        assert empty.checkpoints()[0].name == "b"
        writer.append(vectors()[100:200], ids=range(100, 200))
    assert [(c.name, c.rows) for c in empty.checkpoints()] == [("b", 50), ("a", 200)]


def test_ranks_write_beside_each_other(db, empty):
    processes = [start(db, rank, 4) for rank in range(4)]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert output == "750 750 0\n"
    assert empty.snapshots() == []
    result = empty.commit("a", tag="all", message="four ranks")
    assert (result.snapshot, result.rows) == (1, ROWS)
    check_all(empty)
    assert empty.tags == {"all": 1}
    with pytest.raises(graddb.QueryError, match="nothing is staged"):
        empty.commit("a")


@pytest.mark.parametrize("kill_at", [0, 100, 700, 2900])
def test_a_killed_writer_goes_on(db, empty, kill_at):
    process = start(db, 0, 1, kill_at)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert empty.snapshots() == []
    process = start(db, 0, 1)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    # Flushed, all full row groups had been kept.
    kept = kill_at // 64 * 64
    assert output == f"{ROWS} {ROWS - kept} {kept}\n"
    check_all(empty)


def test_a_killed_rank_must_be_closed_before_the_commit(db, empty):
    for rank, kill_at in ((0, -1), (1, 500)):
        start(db, rank, 2, kill_at).communicate(timeout=120)
    (staged,) = empty.staged()
    assert (staged["checkpoint"], staged["ranks"], staged["closed"], staged["unfinished"],
            staged["writing"]) == ("a", 2, 1, [1], [])
    with pytest.raises(graddb.Error, match="rank 1"):
        empty.commit("a")
    partial = empty.commit("a", partial=True)
    assert partial.rows == staged["rows"] == 1500 + 500 // 64 * 64
    assert empty.staged() == []


def test_an_exception_abandons_and_keeps_what_is_finished(empty):
    with pytest.raises(ZeroDivisionError):
        with empty.writer("a") as writer:
            writer.append(vectors()[:200], ids=range(200))
            writer.flush()
            1 / 0
    assert repr(writer).endswith("abandoned>") and empty.snapshots() == []
    with empty.writer("a", resume=True) as writer:
        assert writer.earlier_rows == 192
        assert writer.append(vectors()[:200], ids=range(200)) == (8, 192)
    assert empty.checkpoints()[0].rows == 200


def test_abandon_removes_what_is_staged(db, empty):
    with empty.writer("a", ranks=2) as writer:
        writer.append(vectors()[:200], ids=range(200))
    empty.abandon("a")
    assert os.listdir(os.path.join(db.path, "staged")) == []
    with pytest.raises(graddb.QueryError, match="nothing is staged"):
        empty.abandon("a")


def test_a_bad_batch_is_refused_whole_and_the_writer_goes_on(empty):
    data = vectors()[:10].astype(np.float32)
    bad = data.copy()
    bad[7, 3] = np.nan
    with empty.writer("a") as writer:
        for given, ids in ((bad, range(10)), (data[:, :5], range(10)), (data, range(9)),
                           (data, [0] * 10), (data, ["x"] * 10)):
            with pytest.raises(graddb.BadInput):
                writer.append(given, ids=ids)
        with pytest.raises(graddb.BadInput):
            writer.append(data, ids=range(10), fields={"n": ["a"] * 10})
        assert writer.append(data, ids=range(10)) == (10, 0)
        with pytest.raises(graddb.BadInput, match="5"):
            writer.append(data[:1], ids=[5])
    assert empty.checkpoints()[0].rows == 10
    assert (empty.read(range(10)) == data).all()


def test_use_after_the_end(empty):
    with empty.writer("a") as writer:
        writer.append(vectors()[:5], ids=range(5))
    for call in (lambda: writer.append(vectors()[:5], ids=range(5)), writer.flush, writer.close,
                 lambda: writer.earlier_rows):
        with pytest.raises(graddb.Closed, match="is closed"):
            call()
    writer.abandon()
    other = empty.writer("b")
    other.abandon()
    with pytest.raises(graddb.Closed, match="is abandoned"):
        other.flush()


def test_a_rank_has_one_writer(empty):
    with empty.writer("a") as writer:
        with pytest.raises(graddb.Locked):
            empty.writer("a")
        with pytest.raises(graddb.QueryError, match="ranks"):
            empty.writer("a", ranks=3)
        with pytest.raises(graddb.QueryError):
            empty.writer("a", rank=1)
        writer.append(vectors()[:5], ids=range(5))
    with pytest.raises(graddb.QueryError, match="commit"):
        empty.writer("b", ranks=2, tag="v")


def test_a_forgotten_writer_lets_go(empty):
    writer = empty.writer("a")
    writer.append(vectors()[:100], ids=range(100))
    del writer
    with empty.writer("a", resume=True) as writer:
        writer.append(vectors()[:100], ids=range(100))
    assert empty.checkpoints()[0].rows == 100


def test_a_script_can_be_run_again_from_its_beginning(db, empty):
    """After a kill between close and commit, and after the commit, too."""
    data = vectors()[:200]
    for ranks in (2, 2):
        with empty.writer("a", ranks=2, resume=True) as writer:
            writer.append(data, ids=range(200))
    assert writer.summary == (200, 0, 200, writer.summary.bytes)
    assert empty.commit("a", partial=True).rows == 200
    with empty.writer("a", resume=True) as writer:
        assert writer.append(data, ids=range(200)) == (0, 200)
    assert len(empty.snapshots()) == 1 and writer.snapshot.rows == 0
    assert os.listdir(os.path.join(db.path, "staged")) == []
