"""The database that the statements ask, made once."""

import os

import pytest

import answers
import query_tables
from query_tables import graddb


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    if not os.access(graddb.GRADCTL, os.X_OK):
        pytest.exit(f"no gradctl at {graddb.GRADCTL}: build it, or set GRADCTL", returncode=2)
    return query_tables.Stored(tmp_path_factory.mktemp("queries"), answers.tables(), answers.vectors())
