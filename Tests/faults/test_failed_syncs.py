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


class Unsynced:
    """A world on a simulated disk, in which the sync of that number fails within a step."""

    def __init__(self, script, faults, name, number):
        self.script, self.faults = script, faults
        self.world = script.copy(name, script.directory / f"unsynced-{name}-{number}")
        self.disk = Disk(self.world)
        self.runs = iter(range(9))
        step = script.taken[name].step
        self.result = self.recorded(
            lambda env: script.start(step, self.world, env=env), at=number, action="EIO")

    def recorded(self, command, **options):
        """Runs a command, and brings what it did to the disk."""
        log = f"{self.world}-{next(self.runs)}.calls"
        result = graddb.finish(command(env=self.faults.environment(self.world, log=log, **options)))
        self.disk.begin_process()
        for call in calls.read(log):
            self.disk.apply(call)
        return result

    def after_power_failure(self, weakness, seed=0):
        state = self.disk.after_power_failure(weakness, seed)
        return write_state(state, f"{self.world}-{weakness}-{next(self.runs)}")


def fail(script, faults, name, number):
    survival, step = Survival(script, name), script.taken[name].step
    unsynced = Unsynced(script, faults, name, number)
    world, result, recorded = unsynced.world, unsynced.result, unsynced.recorded
    after_power_failure = unsynced.after_power_failure
    try:
        assert result.status in (graddb.OK, graddb.FAILED, graddb.IO), result
        for weakness in ("none", "sectors"):
            lost = after_power_failure(weakness, number)
            survival.verify(lost, faults.unsynced(lost), result.status == graddb.OK)
            shutil.rmtree(lost)
        # The next process sees what was lost as if it were there, and must make it so.
        landed = survival.landed(world, faults.unsynced(world))
        # What a rank stages is nobody's but the rank's, until it or a commit relies on it.
        if step.afterwards or step.again or not landed:
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


def chosen_syncs(script, name, seed):
    syncs = [call.number for call in calls.numbered(script.taken[name].calls) if call.kind == "s"]
    if graddb.SCALE > 1:
        return syncs
    return random.Random(f"{seed} sync {name}").sample(syncs, min(SAMPLES, len(syncs)))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_acknowledged_that_a_failed_sync_lost(script, faults, name, seed):
    syncs = chosen_syncs(script, name, seed)
    in_parallel(lambda number: fail(script, faults, name, number), syncs)


def test_a_commit_does_not_rely_on_what_a_rank_lost(script, faults, seed):
    """The last rank's sync failed, and the commit that follows sees what it has staged."""
    commit = script.taken["commit"].step
    survival = Survival(script, "commit")

    def fail(number):
        unsynced = Unsynced(script, faults, "stage-1", number)
        result = unsynced.recorded(lambda env: script.start(commit, unsynced.world, env=env))
        if result.status == graddb.OK:
            lost = unsynced.after_power_failure("none")
            assert survival.landed(lost, faults.unsynced(lost)), f"sync {number}: acknowledged, and lost"
            graddb.run("check", "--deep", "--db", database(lost)).expect()
            shutil.rmtree(lost)
        shutil.rmtree(unsynced.world)
        return result.status

    statuses = set(in_parallel(fail, chosen_syncs(script, "stage-1", seed)))
    assert statuses <= {graddb.OK, graddb.FAILED, graddb.USAGE, graddb.BAD_INPUT}, statuses
