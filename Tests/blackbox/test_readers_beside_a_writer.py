"""Readers that open a database while a writer commits see one snapshot or the next, whole."""

import subprocess
import threading

import numpy as np
import pytest

from graddb import FAILED, GRADCTL, NOT_FOUND, OK, SCALE, Database, environment, run

DIMS = 16
COMMITS = 20 if SCALE == 1 else 40 * SCALE


def test_every_answer_is_that_of_a_whole_snapshot(database, files):
    """A read-only open looks at manifest and log at different times: what a commit moves from one
    to the other in between must neither be missed nor seen by half."""
    database.create("t", [f"grad:{DIMS}:f32"], fields=["part:int"])
    vectors = np.random.default_rng(1).standard_normal((3, DIMS)).astype(np.float32)
    source = files.grad("v.safetensors", vectors)

    def metadata(part):
        rows = [{"id": f"{part}-{row}", "part": part} for row in range(3)]
        return files.metadata(f"m{part}.jsonl", rows)

    database.ingest("t", source, checkpoint="c", metadata=metadata(0))
    problems, answers = [], []

    def read():
        statement = "SELECT part, row FROM t SCORE dot TO ROW '0-0' WHERE part >= 0 TOP 100000"
        while not writer_is_done.is_set():
            said = database.run("query", statement, "--json")
            if said.status != OK:
                problems.append(said)
                return
            rows = sorted(line["row"] for line in said.lines)
            answers.append(len(rows))
            if rows != list(range(len(rows))) or len(rows) % 3:
                problems.append(rows)
                return

    writer_is_done = threading.Event()
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for part in range(1, COMMITS + 1):
            database.ingest("t", source, checkpoint="c", metadata=metadata(part))
    finally:
        writer_is_done.set()
        for reader in readers:
            reader.join()
    assert not problems, str(problems[0])
    assert answers == sorted(answers) or len(set(answers)) > 1, "the readers saw commits come"
    database.check()


@pytest.mark.parametrize("step", range(10 * SCALE))
def test_a_killed_init_can_be_done_again(gradctl, tmp_path, step):
    path = tmp_path / "deep" / "db"
    process = subprocess.Popen(
        [GRADCTL, "init", "--db", path], env=environment(), stdout=subprocess.DEVNULL)
    try:
        process.wait(0.004 * (step % 10))
        assert process.returncode == OK
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    before = run("info", "--db", path).expect(OK, NOT_FOUND)
    run("init", "--db", path).expect(FAILED if before.status == OK else OK)
    Database(path).create("t", ["grad:2:f32"])


def test_long_texts_are_filtered_like_short_ones(database, files):
    """A column of long texts is cut into blocks that a reader can hold."""
    database.create("t", ["grad:1:f32"], fields=["text:string", "n:int"])
    rows = [{"id": n, "text": f"{n}:" + "x" * 90000, "n": n} for n in range(600)]
    database.ingest(
        "t", files.grad("v.safetensors", [[n] for n in range(600)]), checkpoint="c",
        metadata=files.metadata("m.jsonl", rows))
    ask = "SELECT n FROM t SCORE dot TO ROW 1 WHERE text LIKE '%7:x%' AND n > 300 TOP 1000"
    lines = database.query(ask)
    assert sorted(line["n"] for line in lines) == [n for n in range(301, 600) if n % 10 == 7]
    database.check("--deep")
