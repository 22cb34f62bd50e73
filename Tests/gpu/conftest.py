"""The emulator, built once for all tests of a run."""

import os
import random
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "emulator")]

SEED = int(os.environ.get("GRADDB_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def pytest_report_header():
    return f"GRADDB_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def emulator():
    import emulator as building
    import gpu_memory

    made = gpu_memory.Emulator(building.build(building.USUAL))
    made.seed(SEED)
    return made


@pytest.fixture
def generator(request):
    """Random numbers: the run's seed, and the test's name."""
    import zlib

    import numpy as np

    print(f"GRADDB_TEST_SEED={SEED}")
    return np.random.default_rng([SEED, zlib.crc32(request.node.name.encode())])
