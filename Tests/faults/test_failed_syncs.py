"""A sync that fails has lost what it covered: the kernel says so once, and later syncs succeed. What
is acknowledged after that must not depend on what was lost, neither in the process that was told
nor in those that come after it."""

import random
import shutil

import pytest

import calls
from calls import graddb
from disk import Disk, write_state
from script import NAMES, database
from survival import Survival, in_parallel

# For each step; all of them in the nightly run.
SAMPLES = 2


def fail(script, faults, name, number):
    survival, step = Survival(script, name), script.taken[name].step
    world = script.copy(name, script.directory / f"unsynced-{name}-{number}")
    disk = Disk(world)
    runs = iter(range(9))

    def recorded(command, **options):
        """Runs a command, and brings what it did to the disk."""
        log = f"{world}-{next(runs)}.calls"
        result = graddb.finish(command(env=faults.environment(world, log=log, **options)))
        disk.begin_process()
        for call in calls.read(log):
            disk.apply(call)
        return result

    def after_power_failure(weakness, seed=0):
        state = disk.after_power_failure(weakness, seed)
        return write_state(state, f"{world}-{weakness}-{next(runs)}")

    result = recorded(lambda env: script.start(step, world, env=env), at=number, action="EIO")
    try:
        assert result.status in (graddb.OK, graddb.FAILED, graddb.IO), result
        for weakness in ("none", "sectors"):
            lost = after_power_failure(weakness, number)
            survival.verify(lost, faults.unsynced(lost), result.status == graddb.OK)
            shutil.rmtree(lost)
        # The next process sees what was lost as if it were there, and must make it so.
        if step.afterwards or not survival.landed(world, faults.unsynced(world)):
            recorded(lambda env: script.start(step, world, again=True, env=env)).expect()
        elif not step.is_outside:
            other = ("create", "other", "--layer", "grad:8:f32", "--db", database(world))
            recorded(lambda env: graddb.start(*other, env=env)).expect()
        else:
            return
        lost = after_power_failure("none")
        assert survival.landed(lost, faults.unsynced(lost)), "acknowledged, and lost"
        graddb.run("check", "--deep", "--db", database(lost)).expect()
        shutil.rmtree(lost)
    except AssertionError as failure:
        raise AssertionError(f"{name}: sync {number} failed; the world is in {world}\n{failure}") from failure
    shutil.rmtree(world)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_acknowledged_that_a_failed_sync_lost(script, faults, name, seed):
    syncs = [call.number for call in calls.numbered(script.taken[name].calls) if call.kind == "s"]
    if graddb.SCALE == 1:
        syncs = random.Random(f"{seed} sync {name}").sample(syncs, min(SAMPLES, len(syncs)))
    in_parallel(lambda number: fail(script, faults, name, number), syncs)
