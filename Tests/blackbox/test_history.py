"""Random histories of tables against a model of them in Python: see histories.py, and history_model.py of
tools/reader."""

import random

import pytest

from gradient_files import Files
from graddb import SCALE
from histories import History

STEPS = 22
KINDS = [{}, {"integer_ids": True}, {"unit": "token"}, {"row_group": 1000}]


@pytest.mark.parametrize("number", range(2 if SCALE == 1 else 3 * SCALE))
def test_a_random_history_is_that_of_its_model(gradctl, tmp_path, seed, number):
    chance = random.Random(f"{seed} history {number}")
    history = History(tmp_path, Files(tmp_path), chance, **KINDS[(seed + number) % len(KINDS)])
    for step in range(STEPS):
        (history.ingest if step < 2 else history.step)()
        history.compare(deep=step % 4 == 3)
    history.compare()
    assert history.problems() == [], history
    history.gc()
    history.compare()
    history.back_up()
