"""kill -9 of ranks and of commits, again and again: in the end every id is there once, with the bits
that one unkilled process would have stored."""

import random
import shutil
import time

import pytest

from gradient_files import Files
from graddb import OK, SCALE, Database, finish
from staged_tables import Parts, commit, staged

RANKS, ROWS = 8, 400
ROUNDS = 2 * SCALE
COMMIT_KILLS = 20 * SCALE


@pytest.fixture(scope="module")
def parts(gradctl, tmp_path_factory):
    return Parts(Files(tmp_path_factory.mktemp("parts")), ranks=RANKS, count=ROWS)


@pytest.fixture(scope="module")
def expected(parts, tmp_path_factory):
    return parts.ingested(tmp_path_factory.mktemp("one") / "db", row_group=32)


@pytest.fixture(scope="module")
def rank_seconds(parts, tmp_path_factory):
    """How long a rank takes that nobody kills."""
    database = parts.create(tmp_path_factory.mktemp("timed") / "db", row_group=32)
    times = []
    for rank in range(3):
        started = time.monotonic()
        database.run(*parts.arguments(rank)).expect(OK)
        times.append(time.monotonic() - started)
    return sorted(times)[1]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_ranks_are_resumed_until_done(parts, expected, rank_seconds, tmp_path, seed, number):
    chance = random.Random(f"{seed} ranks {number}")
    database = parts.create(tmp_path / "db", row_group=32)
    left, kills = set(range(RANKS)), 0
    while left:
        running = {rank: database.start(*parts.arguments(rank, "--resume")) for rank in sorted(left)}
        patience = rank_seconds * chance.choice([0.5, 1, 2, 4, 8])
        deadline = {rank: time.monotonic() + chance.random() * patience for rank in running}
        for rank in sorted(running, key=deadline.get):
            # Sleeping is the point here: the moment of the kill is what varies.
            time.sleep(max(0.0, deadline[rank] - time.monotonic()))
            # Late rounds let everybody finish.
            if kills < 40:
                running[rank].kill()
            result = finish(running[rank])
            kills += result.status < 0
            if result.status >= 0:
                assert result.expect(OK).line["rank_rows"] == ROWS
                left.discard(rank)
        database.check()
        assert database.info("t")["snapshot"] == 0
        for seen in staged(database):
            assert seen["problem"] is None and seen["rows"] <= parts.total
    print(f"{kills} kills")
    assert commit(database)["rows"] == parts.total
    assert parts.answers(database) == expected
    assert list((database.path / "staged").iterdir()) == []
    database.check()


@pytest.fixture(scope="module")
def closed(parts, tmp_path_factory):
    """A database with all ranks closed, and how long its commit takes."""
    database = parts.create(tmp_path_factory.mktemp("closed") / "db", row_group=32)
    for rank in range(RANKS):
        database.run(*parts.arguments(rank)).expect(OK)
    timed = Database(tmp_path_factory.mktemp("timed") / "db")
    shutil.copytree(database.path, timed.path)
    started = time.monotonic()
    commit(timed)
    return database, time.monotonic() - started


@pytest.mark.parametrize("number", range(COMMIT_KILLS))
def test_a_killed_commit_can_be_run_again(parts, expected, closed, tmp_path, seed, number):
    chance = random.Random(f"{seed} commit {number}")
    base, seconds = closed
    database = Database(tmp_path / "db")
    shutil.copytree(base.path, database.path)
    landed = False
    for attempt in range(3):
        process = database.start("commit", "t", "--checkpoint", "c", "--json")
        time.sleep(seconds * (number + chance.random()) / COMMIT_KILLS * 1.2)
        process.kill()
        result = finish(process)
        acknowledged = result.stdout.endswith(b"\n")
        rows = database.info("t")["rows"]
        assert rows in (0, parts.total)
        assert rows == parts.total or not (landed or acknowledged)
        landed = rows == parts.total
        database.check()
        if landed:
            break
        (seen,) = staged(database)
        assert seen["closed"] == RANKS and seen["rows"] == parts.total
    if not landed:
        assert commit(database)["rows"] == parts.total
    assert parts.answers(database) == expected
    # Whoever writes next removes what the kill left.
    database.json("tag", "t", "done")
    assert staged(database) == [] and list((database.path / "staged").iterdir()) == []
    database.check()


def test_a_killed_abandonment_leaves_all_or_nothing(parts, closed, tmp_path, seed):
    chance = random.Random(f"{seed} abandon")
    base, _ = closed
    for number in range(6):
        database = Database(tmp_path / f"db-{number}")
        shutil.copytree(base.path, database.path)
        process = database.start("staged", "t", "--checkpoint", "c", "--abandon", "--json")
        time.sleep(0.08 * chance.random())
        process.kill()
        finish(process)
        if staged(database):
            assert commit(database)["rows"] == parts.total
        else:
            database.json("tag", "t", "empty")
            assert list((database.path / "staged").iterdir()) == []
            # The checkpoint can be staged anew.
            database.run(*parts.arguments(0, ranks=1)).expect(OK)
            assert commit(database)["rows"] == ROWS
        database.check()
        shutil.rmtree(database.path)
