"""A reader opens while a writer moves what was published from the log into table files: it has seen the
manifest before, and sees the directory afterwards. What others have seen in the log must not be missing."""

import shutil

import pytest

import calls
from calls import graddb
from points import POINTS
from script import database
from test_kills import killed

# Runs a command when a directory is listed for the k-th time.
BETWEEN = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

DIR *opendir(const char *path) {
    static int listed;
    static DIR *(*real)(const char *);
    if (!real) real = dlsym(RTLD_NEXT, "opendir");
    const char *database = getenv("BETWEEN_LISTINGS_OF");
    if (database && !strncmp(path, database, strlen(database)) && ++listed == atoi(getenv("BETWEEN_AT"))) {
        unsetenv("LD_PRELOAD");
        if (system(getenv("BETWEEN_RUN"))) abort();
    }
    return real(path);
}
"""


@pytest.fixture(scope="module")
def between(tmp_path_factory):
    directory = tmp_path_factory.mktemp("between")
    (directory / "between.c").write_text(BETWEEN)
    return calls.build(directory, directory / "between.c")


def test_what_others_have_seen_in_the_log_is_seen(script, faults, between):
    point = next(p for p in POINTS if (p.name, p.step) == ("publish: sync of the log", "ingest"))
    match = point.match(script.taken["ingest"])
    world, _ = killed(script, faults, "ingest", match=match, action="kill-after")
    seen = snapshots(world)
    ran = 0
    for listing in range(1, 6):
        copy = script.directory / f"between-{listing}"
        shutil.copytree(world, copy)
        path = database(copy)
        writer = f"{graddb.GRADCTL} tag t later --quiet --db {path}"
        found = snapshots(
            copy, LD_PRELOAD=between, BETWEEN_LISTINGS_OF=path, BETWEEN_AT=listing, BETWEEN_RUN=writer
        )
        assert found == seen, f"at listing {listing}"
        ran += not any(file.stat().st_size for file in path.glob("*.log"))
        shutil.rmtree(copy)
    assert ran
    shutil.rmtree(world)


def snapshots(world, **changes):
    command = ["snapshots", "t", "--json", "--db", database(world)]
    return [line["snapshot"] for line in graddb.run(*command, env=graddb.environment(**changes)).expect().lines]
