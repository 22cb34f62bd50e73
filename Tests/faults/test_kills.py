"""kill -9 within every step: at named points, before, within and after single calls, and at random
moments. Afterwards the world opens, is as it was before the step or after it, and the step can be
run again (survival.py)."""

import itertools
import random
import shutil
import signal
import time

import pytest

import calls
from calls import graddb
from points import POINTS
from script import NAMES
from survival import Survival, in_parallel

ACTIONS = ("kill-before", "kill-middle", "kill-after")
numbers = itertools.count()
# For each step.
KILLS_AT_CALLS, KILLS_AT_TIMES = (2, 1) if graddb.SCALE == 1 else (200, 250)


def killed(script, faults, name, **options):
    """Runs a step until it is killed; returns the world that it leaves, and whether it was."""
    world = script.copy(name, script.directory / f"killed-{name}-{next(numbers)}")
    env = faults.environment(world, **options)
    result = graddb.finish(script.start(script.taken[name].step, world, env=env))
    assert result.status in (-signal.SIGKILL, graddb.OK), result
    return world, result


def verify(script, faults, name, world, result):
    acknowledged = result.stdout.endswith(b"\n")
    landed = Survival(script, name).verify(world, faults.unsynced(world), acknowledged)
    shutil.rmtree(world)
    return landed


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_killed_at_a_named_point(script, faults, point, seed):
    """Passing the point is part of the test: a process that is not killed there fails it."""
    match = point.match(script.taken[point.step])
    assert match is not None, "the step does not come by here"
    actions = [action for action in ACTIONS if action != "kill-middle" or point.kinds == "w"]
    if graddb.SCALE == 1:
        actions = [random.Random(f"{seed} {point}").choice(actions)]
    landed = []
    for action in actions:
        world, result = killed(script, faults, point.step, match=match, action=action)
        assert result.status == -signal.SIGKILL, f"not killed at {match}\n{result}"
        landed.append(verify(script, faults, point.step, world, result))
    assert landed == sorted(landed)


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_call(script, faults, name, seed):
    taken = script.taken[name]
    every = [
        (call.number, action)
        for call in calls.numbered(taken.calls)
        for action in ACTIONS
        if action != "kill-middle" or call.kind == "w"
    ]
    chosen = random.Random(f"{seed} kill {name}").sample(every, min(KILLS_AT_CALLS, len(every)))

    def kill(item):
        number, action = item
        world, result = killed(script, faults, name, at=number, action=action)
        return verify(script, faults, name, world, result)

    in_parallel(kill, chosen)


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_time(script, faults, name, seed):
    chance = random.Random(f"{seed} time {name}")
    world = script.copy(name, script.directory / f"timed-{name}")
    started = time.monotonic()
    graddb.finish(script.start(script.taken[name].step, world)).expect()
    seconds = time.monotonic() - started
    shutil.rmtree(world)
    for number in range(KILLS_AT_TIMES):
        world = script.copy(name, script.directory / f"timed-{name}-{number}")
        process = script.start(script.taken[name].step, world)
        # Sleeping is the point here: the moment of the kill is what varies.
        time.sleep(seconds * chance.random())
        process.kill()
        verify(script, faults, name, world, graddb.finish(process))
