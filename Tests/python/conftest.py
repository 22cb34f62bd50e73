"""Fixtures of the Python package's tests. They run where `graddb` can be imported: in a virtual
environment with the wheel, or with PYTHONPATH=tools/python/src in a checkout that is built."""

import os
import random

import numpy as np
import pytest

import graddb
from graddb import _library

SEED = int(os.environ.get("GRADDB_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def pytest_report_header(config):
    return f"graddb {graddb.__version__}: {_library.path()}\nGRADDB_TEST_SEED={SEED}"


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


@pytest.fixture
def db(tmp_path):
    """A new, empty database."""
    with graddb.create(tmp_path / "db") as database:
        yield database


@pytest.fixture
def table(db, rng):
    """200 rows of 96 dims as they are, with ids 0 to 199; `table.vectors` has them."""
    table = db.create_table("t", layers={"grad": (96, "f32")}, fields={"name": str, "n": int})
    table.vectors = rng.standard_normal((200, 96)).astype(np.float32)
    table.append(table.vectors, ids=range(200), checkpoint="a", step=1, weight=0.5,
                 fields={"name": [f"row {row}" for row in range(200)], "n": np.arange(200)})
    return table
