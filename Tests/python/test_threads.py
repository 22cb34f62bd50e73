"""Threads and processes: answers beside each other, the interpreter's lock, Ctrl-C, fork, memory."""

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graddb

LONG = """
import os, signal, sys, threading, time
import numpy as np
import graddb

# Whoever runs the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
t = graddb.open(sys.argv[1]).table("t")
queries = np.random.default_rng(0).standard_normal((200_000, 96)).astype(np.float32)
print("started", flush=True)
try:
    CALL
except KeyboardInterrupt:
    print("stopped", flush=True)
    assert len(t.query("SCORE dot TO ROW 1 TOP 3")) == 3
    # An interruption that comes while a commit is being published is too late: then all is there.
    assert [c.name for c in t.checkpoints()] == ["a"] or t.checkpoints()[1].rows == 2_000_000
    print("goes on", flush=True)
else:
    print("done", flush=True)
"""

WRITING = """
    with t.writer("b") as w:
        first = 0
        while True:
            w.append(queries[:5000], ids=range(first, first + 5000))
            w.flush()
            first += 5000
"""


def interrupt(db, call):
    """Starts something that takes minutes, sends SIGINT, and gives what the process said."""
    process = subprocess.Popen([sys.executable, "-c", LONG.replace("CALL", call), db.path],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


def many_rows(db):
    table = db.create_table("t", layers={"grad": (96, "f32")})
    table.append(np.random.default_rng(1).standard_normal((60_000, 96)).astype(np.float32),
                 checkpoint="a")


@pytest.mark.parametrize("call", [
    "t.query('SCORE cosine TO $q EACH TOP 3', q=queries)",
    "t.query('SCORE dot TO $q MEAN TOP 3', q=queries[:9_000])",
    "t.append(np.tile(queries, (10, 1)), checkpoint='b', threads=1)",
])
def test_ctrl_c_stops_long_calls(db, call):
    many_rows(db)
    assert interrupt(db, call) == "stopped\ngoes on\n"


def test_ctrl_c_stops_a_writer_and_keeps_what_is_finished(db):
    many_rows(db)
    assert interrupt(db, WRITING.strip()) == "stopped\ngoes on\n"
    with db.table("t").writer("b", resume=True) as writer:
        assert writer.earlier_rows > 0
    assert db.table("t").checkpoints()[1].rows == writer.summary.rows


def test_the_interpreter_goes_on_during_a_query(db):
    many_rows(db)
    table, queries = db.table("t"), np.random.default_rng(2).standard_normal((3000, 96))
    steps, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            steps[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    before = steps[0]
    table.query("SCORE dot TO $q MEAN TOP 1", q=queries, threads=1)
    during = steps[0] - before
    stop.set()
    counter.join()
    # Held, the lock would leave the counter one step at most.
    assert during >= 5


def test_many_threads_ask_at_once(table, rng):
    queries = rng.standard_normal((40, 96)).astype(np.float32)
    alone = [table.query("SCORE dot TO $q TOP 7", q=query) for query in queries]

    def ask(number):
        return table.query("SCORE dot TO $q TOP 7", q=queries[number % 40])

    with ThreadPoolExecutor(8) as pool:
        for number, result in enumerate(pool.map(ask, range(400))):
            assert (result.ids == alone[number % 40].ids).all()
            assert (result.scores == alone[number % 40].scores).all()


def test_threads_write_and_read_at_once(db, table):
    def write(number):
        return table.append(table.vectors, ids=range(200), checkpoint=f"c{number}").snapshot

    def read(_):
        return len(table.query("SCORE dot TO ROW 5 TOP 200 ACROSS 'a'"))

    with ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(write, number) for number in range(8)]
        reads = [pool.submit(read, number) for number in range(100)]
        assert sorted(write.result() for write in writes) == list(range(2, 10))
        assert {read.result() for read in reads} == {200}
    assert len(table.checkpoints()) == 9


def test_closing_beside_queries_is_an_error_and_no_crash(db, table):
    def ask(_):
        try:
            return len(table.query("SCORE dot TO ROW 5 TOP 20"))
        except graddb.Error:
            return None

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(ask, range(300))
        time.sleep(0.02)
        db.close()
        assert set(answers) <= {20, None}


def test_another_process_sees_commits_and_shows_its_own(db, table):
    script = ("import graddb, numpy, sys; t = graddb.open(sys.argv[1]).table('t'); "
              "print(len(t)); t.append(numpy.ones((3, 96)), ids=[1000, 1001, 1002], checkpoint='z')")
    done = subprocess.run([sys.executable, "-c", script, db.path], capture_output=True, text=True,
                          check=True)
    assert done.stdout == "200\n"
    assert len(table) == 203 and len(table.query("SCORE dot TO ROW 1001 TOP 300")) == 3


def in_child(body):
    """Runs `body` in a forked child that exits as Python does; gives its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            try:
                sys.exit(code)
            except SystemExit:
                # What sys.exit() does in the end, without pytest's frames in between.
                ctypes.CDLL(None).exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_process_may_read(table):
    def read():
        assert len(table.query("SCORE dot TO ROW 5 TOP 20")) == 20 and len(table) == 200

    read()
    assert in_child(read) == 0
    assert in_child(lambda: None) == 0
    read()


def test_a_child_process_may_not_write_where_its_parent_has(table):
    def write():
        for call in (lambda: table.append(table.vectors, ids=range(200), checkpoint="b"),
                     lambda: table.tag("v"), lambda: table.writer("b")):
            with pytest.raises(graddb.Error, match="spawn"):
                call()

    assert in_child(write) == 0
    assert len(table.snapshots()) == 1 and table.tags == {}


def test_a_writer_stays_with_its_process(table):
    writer = table.writer("b")
    writer.append(table.vectors, ids=range(200))

    def use():
        with pytest.raises(graddb.Closed, match="process"):
            writer.append(table.vectors, ids=range(200))

    assert in_child(use) == 0
    writer.close()
    assert len(table.checkpoints()) == 2


def test_processes_that_are_spawned_write(table):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        del table.vectors
        assert pool.map(len, [table] * 4) == [200] * 4


def test_databases_and_tables_can_be_pickled(db, table):
    del table.vectors
    again = pickle.loads(pickle.dumps(table))
    assert len(again) == 200 and again.database.path == db.path


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_bounded(table):
    def work(rounds):
        for number in range(rounds):
            table.query("SELECT name, n SCORE dot TO $q TOP 200", q=table.vectors[:4])
            table.read(range(200))
            table.info()
            try:
                table.query("SCORE dot TO $p")
            except graddb.QueryError:
                pass
            if number % 50 == 0:
                table.tag("v")

    work(200)
    before = resident()
    work(600)
    assert resident() - before < 16 << 20


def test_calls_and_their_errors_keep_no_arrays(table):
    """By counting references alone: what only the garbage collector frees may be gigabytes."""
    gc.disable()
    try:
        for wrong in (False, True):
            query = table.vectors[:4, :50 if wrong else 96].copy()
            reference = weakref.ref(query)
            try:
                table.query("SCORE dot TO $q TOP 3", q=query)
                assert not wrong
            except graddb.BadInput:
                assert wrong
            del query
            assert reference() is None
    finally:
        gc.enable()
