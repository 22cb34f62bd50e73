"""No space, I/O errors and short writes at every call of every step: a clean error or a success that
is one, never a crash; readers go on meanwhile; the next writer repairs what is left (survival.py)."""

import json
import random
import shutil

import pytest

import calls
from calls import graddb
from script import NAMES
from survival import Survival, in_parallel

# (action, whether calls after it fail, too)
ERRORS = [
    ("EIO", False), ("ENOSPC", False), ("short", False), ("short-ENOSPC", False),
    ("EIO", True), ("ENOSPC", True), ("EDQUOT", True),
]  # fmt: skip
# For each step. In the nightly run every call fails: with EIO, and in one other way.
SAMPLES = 5


def failures(taken, chance):
    """What is to fail: (number of the call, action, sticky)."""
    each = [
        [
            (call.number, action, sticky)
            for action, sticky in ERRORS
            if call.kind == "w" or not action.startswith("short")
        ]
        for call in calls.numbered(taken.calls)
    ]
    if graddb.SCALE == 1:
        return chance.sample([failure for failures in each for failure in failures], SAMPLES)
    return [failure for first, *others in each for failure in (first, chance.choice(others))]


def verify_message(result):
    """One error, the last line, which the exit status goes with; beside it notes and warnings."""
    lines = result.stderr.decode().splitlines()
    if result.status != graddb.OK:
        assert result.stdout == b"", f"an acknowledgement and a failure\n{result}"
        error = json.loads(lines.pop())
        assert error["exit"] == result.status and error["kind"] == graddb.KINDS[result.status], result
        assert error["error"] and "\n" not in error["error"], result
    else:
        assert json.loads(result.stdout.splitlines()[-1]), result
    for line in lines:
        assert line.startswith(("gradctl: note: ", "gradctl: warning: ")), result


def fail(script, faults, name, number, action, sticky):
    survival = Survival(script, name)
    world = script.copy(name, script.directory / f"failed-{name}-{number}-{action}-{sticky}")
    log = f"{world}.calls"
    env = faults.environment(world, log=log, at=number, action=action, sticky=sticky)
    result = graddb.finish(script.start(script.taken[name].step, world, env=env))
    try:
        assert result.status in (graddb.OK, graddb.FAILED, graddb.IO), result
        verify_message(result)
        if sticky:
            # The disk is as bad as it was, and readers need nothing of it that fails.
            survival.landed(world, faults.environment(world, at=1, action=action, sticky=True))
        landed = survival.verify(world, faults.unsynced(world), result.status == graddb.OK)
        if landed and result.status != graddb.OK and not survival.step.afterwards:
            # Nobody knows whether a publication happened whose sync failed; all else is known, but
            # of clean-ups, which may be seen before they are through.
            injected = [call for call in calls.read(log) if call.injected]
            assert any(call.kind == "s" for call in injected), f"{result}\n{injected}"
    except AssertionError as failure:
        injected = [str(call) for call in calls.read(log) if call.injected][:3]
        raise AssertionError(
            f"{name}: {action}{' from' if sticky else ' at'} call {number}: {injected}\n"
            f"the world is in {world}\n{result}\n{failure}"
        ) from failure
    shutil.rmtree(world)


@pytest.mark.parametrize("name", NAMES)
def test_every_failure_is_a_clean_error_or_none(script, faults, name, seed):
    every = failures(script.taken[name], random.Random(f"{seed} fail {name}"))
    in_parallel(lambda item: fail(script, faults, name, *item), every)


@pytest.mark.parametrize("action, sticky", [("EIO", False), ("ENOSPC", False), ("ENOSPC", True)])
def test_an_attach_whose_manifest_cannot_be_synced(script, faults, action, sticky):
    """RocksDB takes the files away again that its manifest has: nothing could open it any more."""
    recorded = calls.numbered(script.taken["ingest"].calls)
    link = next(call.number for call in recorded if call.kind == "l")
    sync = next(
        call.number
        for call in recorded
        if call.number > link and call.kind == "s" and "MANIFEST" in call.path
    )
    fail(script, faults, "ingest", sync, action, sticky)


def test_a_writer_without_room_for_its_manifest_is_not_revived(script, faults):
    """RocksDB would go on by itself after such errors, in a thread that ends the process."""
    written = [
        call.number
        for call in calls.numbered(script.taken["commit"].calls)
        if call.kind == "w" and "MANIFEST" in call.path
    ]
    assert written
    in_parallel(lambda number: fail(script, faults, "commit", number, "short-ENOSPC", False), written)
