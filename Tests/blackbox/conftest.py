"""Fixtures shared by all black-box tests."""

import os
import random

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


@pytest.fixture
def database(gradctl, tmp_path):
    """A new, empty database."""
    return graddb.Database(tmp_path / "db").init()


@pytest.fixture
def files(tmp_path):
    """Writes input files next to the database."""
    return Files(tmp_path)
