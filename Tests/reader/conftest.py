"""The reader of tools/reader on the path, the golden files, and gradctl where there is one."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools", "reader"))


@pytest.fixture(scope="session")
def vectors():
    return os.path.join(ROOT, "format-spec", "vectors")


@pytest.fixture(scope="session")
def need_gradctl():
    import gradctl

    if not os.access(gradctl.path(), os.X_OK):
        pytest.skip(f"there is no gradctl at {gradctl.path()}; set GRADCTL")
