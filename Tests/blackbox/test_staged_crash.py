"""kill -9 of ranks and of commits, again and again: in the end every id is there once, with the bits
that one unkilled process would have stored."""

import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradient_files import Files, frame
from graddb import INTERRUPTED, LOCKED, OK, SCALE, Database, finish, wait_for_exit
from staged_tables import Parts, commit, staged

RANKS, ROWS = 8, 1200
ROUNDS, KILLS_OF_A_RANK = 2 * SCALE, 8
COMMIT_KILLS = 20 * SCALE


@pytest.fixture(scope="module")
def parts(gradctl, tmp_path_factory):
    return Parts(Files(tmp_path_factory.mktemp("parts")), ranks=RANKS, count=ROWS, pieces=30)


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


def stop(process, chance):
    """A kill without warning; or a polite signal, which makes full row groups durable, and perhaps a
    kill while that goes on."""
    kind = chance.choice(["kill", "terminate", "both"])
    if kind != "kill":
        process.terminate()
    if kind == "both":
        time.sleep(chance.choice([0, 0.001, 0.003, 0.01, 0.03]))
    if kind != "terminate":
        process.kill()


def write_rank(database, parts, rank, chance, seconds):
    """Runs a rank until it is closed, and kills it on the way. Returns how often it was killed, and
    how many rows were durable when it was resumed for the last time."""
    kills = 0
    while True:
        arguments = parts.arguments(rank, "--resume")
        if kills < KILLS_OF_A_RANK and chance.random() < 0.6:
            # Fed so far and no further, so that it cannot have finished.
            arguments[arguments.index(parts.inputs[rank])] = "-"
            process = database.start(*arguments)
            pieces = sorted(parts.inputs[rank].iterdir())
            for piece in pieces[: chance.randrange(len(pieces))]:
                process.stdin.write(frame(piece.read_bytes()))
                process.stdin.flush()
            stop(process, chance)
            wait_for_exit(process)
        else:
            process = database.start(*arguments)
            if kills < KILLS_OF_A_RANK:
                # Sleeping is the point here: the moment of the kill is what varies.
                time.sleep(chance.random() * seconds * 1.5)
                stop(process, chance)
        result = finish(process)
        if result.status == OK:
            assert result.line["rank_rows"] == ROWS
            return kills, result.line["skipped"]
        assert result.status == INTERRUPTED or result.status < 0, result
        kills += 1


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_ranks_are_resumed_until_done(parts, expected, rank_seconds, tmp_path, seed, number):
    database = parts.create(tmp_path / "db", row_group=32)
    with ThreadPoolExecutor(RANKS) as pool:
        ranks = [
            pool.submit(
                write_rank, database, parts, rank, random.Random(f"{seed} {number} {rank}"),
                rank_seconds,
            )
            for rank in range(RANKS)
        ]  # fmt: skip
        # Readers, and other writers, work beside them.
        while not all(rank.done() for rank in ranks):
            database.check()
            assert database.info("t")["snapshot"] == 0
            database.run("tag", "t", "beside", "--json").expect(OK, LOCKED)
            for seen in staged(database):
                assert seen["problem"] is None and seen["rows"] <= parts.total
            time.sleep(0.05)
        outcomes = [rank.result() for rank in ranks]
    print(
        f"{sum(kills for kills, _ in outcomes)} kills, of {RANKS} ranks "
        f"{sum(0 < durable < ROWS for _, durable in outcomes)} went on half done"
    )
    (seen,) = staged(database)
    assert seen["closed"] == RANKS and seen["writing"] == []
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
