"""A clean-up removes files while a reader opens. The reader tries again, or gives up; it does not die of it."""

import time

import numpy as np
import pytest

import calls
from calls import graddb
from gradient_files import Files, frame, safetensors

DIMS = 16
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
def gone(faults, tmp_path_factory):
    """Environments in which a file is."""
    directory = tmp_path_factory.mktemp("gone")
    (directory / "gone.c").write_text(GONE)
    library = calls.build(directory, directory / "gone.c")
    return lambda path: graddb.environment(LD_PRELOAD=library, GONE_FILE=f"/{path.name}")


def test_any_file_may_go_while_a_reader_opens(gone, tmp_path):
    database, files = graddb.Database(tmp_path / "db").init(), Files(tmp_path)
    database.create("t", [f"grad:{DIMS}:f32"])
    vectors = np.random.default_rng(1).standard_normal((3, DIMS)).astype(np.float32)
    source = files.grad("v.safetensors", vectors)
    tried = 0
    for part in range(4):
        for row in range(2):
            rows = [{"id": f"{part}-{row}-{n}"} for n in range(3)]
            database.ingest("t", source, checkpoint="c", metadata=files.metadata("m.jsonl", rows))
        kill_an_ingest(database, safetensors({"grad": vectors}))
        # The next writer removes what that one left.
        database.json("tag", "t", f"tag-{part}")
        tables = list(database.path.glob("*.sst"))
        for path in tables if len(tables) > 16 else []:
            content = path.read_bytes()
            if b"external_sst_file" in content:
                continue
            said = database.run("query", "FROM t SCORE self TOP 1", env=gone(path))
            said.expect(graddb.OK, graddb.CORRUPT, graddb.IO)
            tried += not path.exists()
            path.write_bytes(content)
    assert tried
    database.check()


def kill_an_ingest(database, content):
    ingest = database.start("ingest", "t", "-", "--checkpoint", "c")
    ingest.stdin.write(frame(content))
    ingest.stdin.flush()
    time.sleep(0.2)
    ingest.kill()
    ingest.communicate()
