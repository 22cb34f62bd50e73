"""Ranks go on writing while a repair puts the new database in the place of the damaged one: what they
have finished in the damaged one until then is brought over, by the next repair if this one dies or fails."""

import shutil

import pytest

import worn
from calls import Match, graddb
from points import POINTS
from test_kills import killed


def exchanged(script, faults):
    """A world whose repair was killed right after the exchange, with a journal that was finished in the
    damaged database only."""
    point = next(p for p in POINTS if (p.name, p.step) == ("exchange", "repair"))
    match = point.match(script.taken["repair"])
    world, result = killed(script, faults, "repair", match=match, action="kill-after")
    assert result.status < 0
    (journal,) = (world / worn.DATABASE).glob("staged/*/rank-00001/journal") or [None]
    journal.unlink()
    assert staged(world) != script.taken["repair"].after["worn"]["staged"]
    return world


def staged(world):
    return graddb.run("staged", "t", "--json", "--db", world / worn.DATABASE).expect().lines


def repair(world, env=None):
    return graddb.run("repair", "--json", "--db", world / worn.DATABASE, env=env)


def verify(script, world):
    taken = script.taken["repair"]
    assert staged(world) == taken.after["worn"]["staged"]
    worn.verify_repaired(world / worn.DATABASE, taken.world / worn.DATABASE, None)
    shutil.rmtree(world)


def test_the_next_repair_brings_over_what_ranks_have_finished(script, faults):
    world = exchanged(script, faults)
    assert repair(world).expect().lines[-1]["set_aside"]
    verify(script, world)


@pytest.mark.parametrize("match", [Match("l", "*", "*/worn/staged/*"), Match("s", "*/worn/staged")], ids=str)
def test_what_cannot_be_brought_over_is_kept(script, faults, match):
    world = exchanged(script, faults)
    env = faults.environment(world, match=match, action="EIO")
    assert "staged" in repair(world, env).expect(graddb.IO).error["error"]
    assert repair(world).expect().lines[-1]["set_aside"]
    verify(script, world)
