"""Fixtures shared by all black-box tests."""

import os
import random
import shutil
import sys

import pytest

import graddb
from gradient_files import Files

# Tests that act at random moments print the seed that repeats them.
SEED = int(os.environ.get("GRADDB_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def pytest_report_header(config):
    return f"gradctl: {graddb.GRADCTL}\nGRADDB_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.fixture(scope="session")
def gradctl():
    """The binary; without it every test would fail with the same news, so the run ends."""
    if not os.access(graddb.GRADCTL, os.X_OK):
        pytest.exit(f"no gradctl at {graddb.GRADCTL}: build it, or set GRADCTL", returncode=2)
    return graddb.GRADCTL


@pytest.fixture(scope="session")
def stub():
    """What builds the stand-in for NVIDIA's driver, which it has built."""
    sys.path.append(str(graddb.REPOSITORY / "Tests/gpu"))
    stub = pytest.importorskip("stub")
    try:
        stub.build(stub.USUAL)
    except stub.BuildError as error:
        pytest.skip(f"no compiler for the stand-in: {error}")
    return stub


@pytest.fixture(scope="session")
def driver(stub):
    """An environment with the stand-in for NVIDIA's driver, and what it and others are told: DEVICES is
    GRADDB_STUB_DEVICES."""
    return lambda env=None, **settings: dict(
        env or graddb.environment(), GRADDB_CUDA_LIBRARY=f"{stub.USUAL}/libcuda.so.1",
        **{name if "_" in name else f"GRADDB_STUB_{name}": str(value) for name, value in settings.items()},
    )  # fmt: skip


@pytest.fixture(scope="session")
def emulated():
    """The library that runs the kernels' own source."""
    sys.path.append(str(graddb.REPOSITORY / "Tests/gpu/emulator"))
    emulator = pytest.importorskip("emulator")
    if shutil.which(emulator.compiler()) is None:
        pytest.skip("no compiler for the kernels")
    return emulator.build(emulator.USUAL)


@pytest.fixture
def database(gradctl, tmp_path):
    """A new, empty database."""
    return graddb.Database(tmp_path / "db").init()


@pytest.fixture
def files(tmp_path):
    """Writes input files next to the database."""
    return Files(tmp_path)
