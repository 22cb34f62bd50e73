"""A process that goes on after a failed sync: the writer that was told does nothing more; another one
in the same process starts from what can be read, and what it acknowledges is there after a power
failure, whatever the failed sync had lost. Through the Python package, where a process makes many
commits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import calls
from calls import Match, graddb
from disk import Disk, write_state

LIBRARY = Path(os.environ.get("GRADDB_LIBRARY") or graddb.GRADCTL.with_name("libgraddb.so"))
PACKAGE = graddb.REPOSITORY / "tools/python/src"

PROGRAM = """
import json, sys
import numpy as np
import graddb

def say(what, call):
    try:
        call()
        outcome = "ok"
    except graddb.Error as error:
        outcome = type(error).__name__
    print(json.dumps([what, outcome]), flush=True)

rows = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32)
db = graddb.create(sys.argv[1] + "/db")
t = db.create_table("t", layers={"grad": (16, "f32")}, row_group=8)

def batches(writer, first):
    for n in range(first, 4):
        def one():
            writer.append(rows[n * 16:n * 16 + 16], ids=range(n * 16, n * 16 + 16))
            writer.flush()
        say(f"batch {n}", one)
    say("close", writer.close)

if sys.argv[2] == "append":
    for n in range(4):
        say(f"append {n}", lambda: t.append(
            rows[n * 16:n * 16 + 16], ids=range(n * 16, n * 16 + 16), checkpoint="a", resume=True))
    say("append all", lambda: t.append(rows, ids=range(64), checkpoint="a", resume=True))
else:
    batches(t.writer("a"), 0)
    writer = t.writer("a", resume=True)
    say("batch all", lambda: writer.append(rows, ids=range(64)))
    say("close again", writer.close)
"""


def run(faults, tmp_path, how, match):
    """What the process said, and the world that a power failure after it leaves."""
    if not LIBRARY.exists():
        pytest.skip(f"no libgraddb.so at {LIBRARY}: build it, or set GRADDB_LIBRARY")
    pytest.importorskip("numpy")
    world, log = tmp_path / "world", tmp_path / "log"
    world.mkdir()
    disk = Disk(world)
    env = faults.environment(world, log=log, match=match, action="EIO",
                             PYTHONPATH=PACKAGE, GRADDB_LIBRARY=LIBRARY)  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, world, how], env=env, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    recorded = calls.read(log)
    for call in recorded:
        disk.apply(call)
    (failed,) = [index for index, call in enumerate(recorded) if call.injected]
    said = dict(map(json.loads, done.stdout.splitlines()))
    return said, write_state(disk.after_power_failure("none"), tmp_path / "after"), recorded[failed:]


def rows_of(world):
    database = graddb.Database(world / "db")
    rows = database.query("SELECT row FROM t SCORE dot TO ROW 5 TOP 1000")
    database.check()
    return sorted(row["id"] for row in rows)


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_rank_whose_journal_cannot_be_synced_takes_no_more(faults, tmp_path, which):
    match = Match("s", "*/rank-*/journal", "*", which)
    said, world, after = run(faults, tmp_path, "rank", match)
    outcomes = [said[f"batch {n}"] for n in range(4)] + [said["close"]]
    assert outcomes == ["ok"] * (which - 1) + ["StorageError"] * (6 - which)
    assert said["batch all"] == said["close again"] == "ok"
    assert rows_of(world) == list(range(64))


@pytest.mark.parametrize("which", range(2, 9))
def test_a_commit_whose_log_cannot_be_synced_is_not_acknowledged(faults, tmp_path, which):
    """The log is synced once by `create_table`, then twice by each append: to reserve, to publish."""
    match = Match("s", "*/db/[0-9]*.log", "*", which)
    said, world, after = run(faults, tmp_path, "append", match)
    assert list(said.values()).count("StorageError") == 1
    assert said[f"append {(which - 2) // 2}"] == "StorageError"
    assert said["append all"] == "ok"
    assert rows_of(world) == list(range(64))
    # The writer that was told writes no log any more: the next call is another one's opening.
    until = next(index for index, call in enumerate(after) if call.path.endswith("/LOCK"))
    assert not [str(call) for call in after[1:until] if call.kind == "w" and call.path.endswith(".log")]
