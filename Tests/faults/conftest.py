"""The library that makes calls fail, and the scripted run, made once."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

import calls
from between import Between
from calls import graddb
from script import Script

SEED = int(os.environ.get("GRADDB_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def pytest_report_header(config):
    return f"gradctl: {graddb.GRADCTL}\nGRADDB_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    """A directory in memory where there is one with room: what is built here is small and many."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30:
        with tempfile.TemporaryDirectory(prefix="graddb-faults-", dir=memory) as directory:
            yield Path(directory)
    else:
        yield tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def faults(scratch):
    if not os.access(graddb.GRADCTL, os.X_OK):
        pytest.exit(f"no gradctl at {graddb.GRADCTL}: build it, or set GRADCTL", returncode=2)
    library = calls.build(scratch)
    if library is None:
        pytest.skip("there is no C compiler (cc, gcc or clang) to build faultfs.c with")
    return calls.Faults(library)


@pytest.fixture(scope="session")
def between(scratch, faults):
    # Where faultfs.c could be built, so can this.
    return Between(scratch)


@pytest.fixture(scope="session")
def script(faults, scratch):
    directory = scratch / "script"
    directory.mkdir()
    return Script(faults, directory)
