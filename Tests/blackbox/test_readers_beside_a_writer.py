"""Readers that open a database while a writer commits see one snapshot or the next, whole."""

import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

from gradient_files import frame, safetensors
from graddb import CORRUPT, FAILED, GRADCTL, IO, NOT_FOUND, OK, SCALE, Database, environment, run

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


# A file that is gone from the second time on that it is opened: after RocksDB has looked at all of them.
GONE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_gone(const char *path) {
    static int opened;
    const char *name = getenv("GONE_FILE");
    size_t end = strlen(path), length = name ? strlen(name) : 0;
    if (!length || end < length || strcmp(path + end - length, name) || !opened++) return 0;
    unlink(path);
    errno = ENOENT;
    return 1;
}

#define OPEN(name)                                                      \
    int name(const char *path, int flags, ...) {                        \
        static int (*real)(const char *, int, ...);                     \
        if (!real) real = dlsym(RTLD_NEXT, #name);                      \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        int mode = va_arg(rest, int);                                   \
        va_end(rest);                                                   \
        return is_gone(path) ? -1 : real(path, flags, mode);            \
    }
OPEN(open)
OPEN(open64)
"""


@pytest.fixture(scope="module")
def gone(tmp_path_factory):
    """Environments in which a file is."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("gone")
    (directory / "gone.c").write_text(GONE)
    library = directory / "gone.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, directory / "gone.c", "-ldl"], check=True)
    return lambda path: environment(LD_PRELOAD=library, GONE_FILE=f"/{path.name}")


def test_files_that_go_while_a_reader_opens(database, files, gone):
    """A clean-up may take any. The reader tries again, or gives up; it does not die of it."""
    database.create("t", [f"grad:{DIMS}:f32"])
    vectors = np.random.default_rng(1).standard_normal((3, DIMS)).astype(np.float32)
    source = files.grad("v.safetensors", vectors)
    tried = 0
    for part in range(4):
        for row in range(2):
            rows = [{"id": f"{part}-{row}-{n}"} for n in range(3)]
            database.ingest("t", source, checkpoint="c", metadata=files.metadata("m.jsonl", rows))
        # What a writer leaves that dies is removed by the next one.
        died = database.start("ingest", "t", "-", "--checkpoint", "c")
        died.stdin.write(frame(safetensors({"grad": vectors})))
        died.stdin.flush()
        time.sleep(0.2)
        died.kill()
        died.communicate()
        database.json("tag", "t", f"tag-{part}")
        tables = [path for path in database.path.glob("*.sst") if b"external_sst_file" not in path.read_bytes()]
        for path in tables if len(list(database.path.glob("*.sst"))) > 16 else []:
            content = path.read_bytes()
            said = database.run("query", "FROM t SCORE self TOP 1", env=gone(path))
            said.expect(OK, CORRUPT, IO)
            tried += not path.exists()
            path.write_bytes(content)
    assert tried
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
