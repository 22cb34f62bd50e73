"""Power failures at every call of the scripted run, on the weakest disk that POSIX allows.

The calls of each step are replayed into a simulated disk; the state that a power failure leaves
after a call is written out, opened, repaired by the next writer, and the step run again. States
that differ in nothing are looked at once: on the disk that keeps nothing but what was synced, most
calls change nothing, so that every call of every step is covered in the ordinary run, too. Of the
others (README.md) a sample is, and with GRADDB_TEST_SCALE above 1 all.
"""

import copy
import hashlib
import itertools
import random
import shutil

import pytest

from calls import graddb
from disk import Disk, write_state
from script import NAMES
from survival import Survival, in_parallel

# Of weaknesses other than `none`: states for each step.
SAMPLES = 5
EVERY = graddb.SCALE > 1
SEEDS = 1


@pytest.fixture(scope="module")
def disks(script):
    """The disk before each step, with all that is pending of the steps before it."""
    disk = Disk(script.world)
    disk.top = Disk(script.directory / "empty").top
    before = {}
    for name, taken in script.taken.items():
        if taken.step.prepare:
            disk.add(taken.world, taken.step.database)
        before[name] = copy.deepcopy(disk)
        disk.begin_process()
        for call in taken.calls:
            disk.apply(call)
    return before


def digest(state):
    text = hashlib.sha256()
    for path, content in state.items():
        # RocksDB's diary says nothing of what is stored.
        if not path.split("/")[-1].startswith("LOG"):
            text.update(repr((path, content and hashlib.sha256(content).digest())).encode())
    return text.digest()


def states(disk, calls, weaknesses, chosen):
    """(call, weakness, seed, state) for the chosen calls, each different state once."""
    disk.begin_process()
    seen = set()
    for index, call in enumerate([None, *calls]):
        if call is not None:
            disk.apply(call)
        for weakness, seed in weaknesses:
            if not chosen(index, weakness, seed):
                continue
            state = disk.after_power_failure(weakness, seed)
            mark = digest(state)
            # The last state is looked at in any case: there the step must have happened.
            if mark not in seen or index == len(calls):
                seen.add(mark)
                yield index, weakness, seed, state


def verify_all(script, name, faults, tmp, found):
    """Verifies states; returns how many, and after which call the step had happened for good."""
    survival = Survival(script, name)
    calls = script.taken[name].calls
    # Inputs and programs are the same everywhere: only worlds differ.
    numbers = itertools.count()

    def verify(item):
        index, weakness, seed, state = item
        world = write_state(state, tmp / f"{weakness}-{next(numbers)}")
        env = faults.unsynced(world)
        last = index == len(calls)
        at = f"{name}: power failure ({weakness}, seed {seed}) after call {index} of {len(calls)}"
        try:
            landed = survival.verify(world, env, must_have_landed=last, same_run=True)
        except AssertionError as failure:
            call = calls[index - 1] if index else "nothing"
            raise AssertionError(f"{at}: {call}\nthe world is in {world}\n{failure}") from failure
        shutil.rmtree(world)
        return index, landed

    return in_parallel(verify, found)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_synced_is_enough(script, faults, disks, name):
    calls = script.taken[name].calls
    found = states(copy.deepcopy(disks[name]), calls, [("none", 0)], lambda *_: True)
    results = verify_all(script, name, faults, scratch_of(script, name), found)
    # What has happened stays so.
    landed = [landed for _, landed in sorted(results)]
    assert landed == sorted(landed)
    assert landed[-1]
    assert not (landed[0] and Survival(script, name).is_visible)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_else_survives_does_no_harm(script, faults, disks, name, seed):
    calls = script.taken[name].calls
    chance = random.Random(f"{seed} power {name}")
    weaknesses = [("all", 0), ("names", 0), ("bytes", 0)]
    weaknesses += [(w, chance.randrange(1 << 32)) for w in ("sectors", "writes") for _ in range(SEEDS)]
    sample = {
        (chance.randrange(len(calls) + 1), *chance.choice(weaknesses)) for _ in range(SAMPLES)
    } | {(len(calls), *weakness) for weakness in weaknesses[3:5]}
    found = states(
        copy.deepcopy(disks[name]), calls, weaknesses,
        lambda *point: EVERY or point in sample,
    )  # fmt: skip
    assert verify_all(script, name, faults, scratch_of(script, name), found)


def scratch_of(script, name):
    directory = script.directory / f"power-{name}"
    directory.mkdir(exist_ok=True)
    return directory
