"""restore, compact, expire and gc by hand: what they say, what they leave, what they take."""

import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import second_reader
from versioned_tables import DIMS, ROWS, add, agree, answer, ids, make, names


@pytest.fixture
def table(database, files):
    return make(database, files)


def time_of(database, number):
    (line,) = [line for line in database.snapshots("t") if line["snapshot"] == number]
    return line["time"]


def wait_for_another_millisecond(database):
    newest = database.snapshots("t")[0]["time"]
    while datetime.now(timezone.utc).isoformat(timespec="milliseconds")[:23] <= newest[:23]:
        time.sleep(0.001)


# restore


@pytest.mark.parametrize("how", ["number", "tag", "time"])
def test_a_restore_is_the_older_snapshot_and_loses_none(table, files, how):
    wait_for_another_millisecond(table)
    add(table, files, [100, 3], "c", n=3)
    table.recode("t", "int8")
    table.json("delete", "t", "--where", "n < 20 AND row < 40")
    answers = {number: answer(table, f"AT {number}") for number in range(1, 6)}
    table.json("tag", "t", "two", 2)
    name = {"number": 2, "tag": "two", "time": time_of(table, 2)}[how]
    said = table.json("restore", "t", "--to", name, "--tag", "back", "--message", "again").line
    lines = table.snapshots("t")
    agree(said, snapshot=6, table="t", restored=2, rows=ROWS, hash=lines[4]["hash"])
    agree(lines[0], snapshot=6, parent=5, operation="restore", message="again", restored=2, rows=ROWS,
          deleted=1, tags=["back"], hash=lines[4]["hash"], bytes=said["bytes"])
    assert said["bytes"] == lines[4]["bytes"] and lines[0]["segments"] == lines[4]["segments"]
    assert answer(table, "") == answers[2]
    assert {number: answer(table, f"AT {number}") for number in answers} == answers
    info = table.info("t")
    assert info["layers"][0]["codecs"] == ["f32"] and [c["name"] for c in info["checkpoints"]] == ["a", "b"]
    # Row numbers go on above all that there have been.
    add(table, files, [200], "b")
    assert {line["id"]: line["row"] for line in table.query("SELECT row FROM t SCORE self ALL")}[
        "x200"] == ROWS + 1
    table.check()
    assert second_reader.problems(table.path) == []


def test_snapshot_0_is_the_empty_table(table, files):
    said = table.json("restore", "t", "--to", 0).line
    agree(said, snapshot=3, restored=0, rows=0, bytes=0)
    assert ids(table) == set() and table.info("t")["checkpoints"] == []
    assert len(ids(table, "AT 2")) == ROWS
    agree(table.snapshots("t")[0], rows=0, deleted=ROWS, segments=0, bytes=0)
    assert table.json("diff", "t", 0, 3).line["equal"]
    add(table, files, [1], "b", n=7)
    assert ids(table) == names(1)
    table.json("restore", "t", "--to", 2)
    assert answer(table, "") == answer(table, "AT 2")
    assert second_reader.problems(table.path) == []


def test_an_id_with_many_lives(table, files):
    """The same id as three rows: each snapshot has its own."""
    expected = {2: (5, 5)}
    for n in (-1, -2):
        table.json("delete", "t", "--ids", "-", stdin=b"x5\n")
        number = add(table, files, [5], "b", n=n)["snapshot"]
        expected[number] = (ROWS - 1 - n, n)
    for old in (2, 4, 6, 2):
        number = table.json("restore", "t", "--to", old).line["snapshot"]
        expected[number] = expected[old]
    for number, (row, n) in expected.items():
        found = table.query(f"SELECT row, n FROM t AT {number} SCORE self WHERE id = 'x5' ALL")
        assert [(line["row"], line["n"]) for line in found] == [(row, n)]
        (found,) = table.query(f"SELECT row FROM t AT {number} SCORE dot TO ROW 'x5' WHERE id = 'x5' ALL")
        assert found["row"] == row
    table.check()
    assert second_reader.problems(table.path) == []


def test_what_is_staged_does_not_survive_another_codec_but_a_restore_of_rows(table, files):
    """Ids of ranks are known at the commit only: what the snapshot has then counts."""
    source = files.grad("rank.safetensors", np.ones((2, DIMS)))
    metadata = files.metadata("rank.jsonl", [{"id": "x1", "n": 1}, {"id": "y"}])
    table.json("delete", "t", "--ids", "-", stdin=b"x1\n")
    table.ingest("t", source, checkpoint="b", metadata=metadata, rank="0/1")
    agree(table.json("commit", "t", "--checkpoint", "b").line, rows=2, new_rows=2, snapshot=4)
    table.json("restore", "t", "--to", 3)
    table.ingest("t", source, checkpoint="b", metadata=metadata, rank="0/1")
    table.json("restore", "t", "--to", 2)
    state = table.state("t")
    # Now x1 is there, and has a vector at b.
    table.run("commit", "t", "--checkpoint", "b", "--json").expect(65)
    assert table.state("t") == state
    table.json("delete", "t", "--ids", "-", stdin=b"x1\n")
    agree(table.json("commit", "t", "--checkpoint", "b").line, rows=2, new_rows=2)
    assert second_reader.problems(table.path) == []


# compact


def test_a_compaction_changes_no_answer_and_no_hash(table, files):
    for n in range(4):
        add(table, files, range(100 + 3 * n, 103 + 3 * n), "b", n=n)
    table.recode("t", "bit", beside=True)
    table.json("delete", "t", "--where", "n % 5 = 1")
    before, line = answer(table, ""), table.snapshots("t")[0]
    said = table.json("compact", "t", "--tag", "c", "--message", "m").line
    made = table.snapshots("t")[0]
    agree(made, snapshot=line["snapshot"] + 1, operation="compact", hash=line["hash"], rows=line["rows"],
          deleted=line["deleted"], message="m", tags=["c"], checkpoint=None, restored=None)
    agree(said, snapshot=made["snapshot"], segments_before=line["segments"], segments=made["segments"],
          rewritten=6, bytes_before=line["bytes"], bytes=made["bytes"])
    # At a 8 rows are gone, at b 8 and those of n = 1 that came later.
    live = {c["name"]: c["rows"] for c in table.info("t")["checkpoints"]}
    assert said["rows"] == sum(live.values()) and said["dropped"] == 2 * ROWS + 12 - said["rows"]
    assert made["segments"] == 2 and made["bytes"] < line["bytes"]
    assert answer(table, "") == before == answer(table, f"AT {line['snapshot']}")
    again = table.json("compact", "t").line
    agree(again, snapshot=made["snapshot"], rewritten=0, rows=0, dropped=0, segments=2, segments_before=2)
    again = table.json("compact", "t", "--all").line
    agree(again, snapshot=made["snapshot"], rewritten=0)
    table.check()
    assert second_reader.problems(table.path) == []


def test_a_compaction_of_an_empty_table_is_nothing(database, files):
    database.create("t", ["grad:2:f32"])
    agree(database.json("compact", "t").line, snapshot=0, rewritten=0, rows=0, segments=0)
    assert database.snapshots("t") == []


def test_norms_of_preconditioners_move_along(table, files):
    """A compaction writes the norms of rows anew: cosines by a preconditioner stay the same bytes."""
    table.json("precondition", "t", "--name", "p", "--kind", "dense", "--checkpoint", "a", "b")
    for n in range(3):
        add(table, files, range(100 + n, 200, 3), "b", n=n)
    table.json("delete", "t", "--where", "n % 3 = 1")
    ask = ("SELECT row FROM t {at} SCORE cosine TO ROW 'x0' ACROSS 'a' WEIGHT 0.5, 'b' WEIGHT 2 "
           "PRECONDITION p ALL")
    old = table.info("t")["snapshot"]
    before = table.query_result(ask.format(at="")).stdout
    made = table.json("compact", "t", "--all").line
    assert made["rewritten"] == 5
    after = table.query_result(ask.format(at="")).stdout
    assert after == before == table.query_result(ask.format(at=f"AT {old}")).stdout
    table.json("expire", "t", "--keep-last", 1)
    table.json("gc")
    assert table.query_result(ask.format(at="")).stdout == before
    with second_reader.Database(str(table.path)) as opened:
        at = opened.table("t")
        made = at.preconditioner("p")
        for checkpoint in "ab":
            _, rows = at.vectors(checkpoint, at.layers[0])
            own = made.part("grad", checkpoint).squared_norms(rows)
            assert np.allclose(made.norms(checkpoint, "grad"), own, rtol=1e-7)
        assert second_reader.garbage.left(opened) == []


# expire


def test_the_newest_and_what_has_a_tag_never_expire(table, files):
    for n in range(5):
        add(table, files, [100 + n], "b")
    table.json("tag", "t", "fourth", 4)
    answers = {number: answer(table, f"AT {number}") for number in (1, 4, 6, 7)}
    state = table.state("t")
    agree(table.json("expire", "t", "--keep-last", 2, "--dry-run").line, table="t", expired=[2, 3, 5],
          snapshots=4, dry_run=True)
    assert table.state("t") == state
    agree(table.json("expire", "t", "--keep-last", 2).line, expired=[2, 3, 5], snapshots=4,
          dry_run=False)
    lines = table.snapshots("t")
    assert [line["snapshot"] for line in lines] == [7, 6, 4, 1]
    assert [line["parent"] for line in lines] == [6, 5, 3, 0]
    assert {number: answer(table, f"AT {number}") for number in answers} == answers
    agree(table.json("expire", "t", "--keep-last", 1).line, expired=[6], snapshots=3)
    agree(table.json("expire", "t", "--keep-last", 1).line, expired=[], snapshots=3)
    table.json("tag", "t", "fourth", "--delete")
    agree(table.json("expire", "t", "--keep-last", 5).line, expired=[])
    agree(table.json("expire", "t", "--keep-last", 1).line, expired=[4])
    # Numbers go on, whatever is gone.
    assert add(table, files, [300], "b")["snapshot"] == 8
    table.check()
    assert second_reader.problems(table.path) == []


def test_ages_and_times(table, files):
    wait_for_another_millisecond(table)
    add(table, files, [100], "b")
    wait_for_another_millisecond(table)
    third = time_of(table, 3)
    add(table, files, [101], "b")
    table.json("tag", "t", "first", "--delete")
    for age in ("1h", "2d", "1w", "90m", "3600s", "2020-01-01", "2020-01-01T00:00:00Z"):
        agree(table.json("expire", "t", "--older-than", age).line, expired=[], snapshots=4)
    # Before a time is before it; with both options those that both name.
    agree(table.json("expire", "t", "--older-than", third, "--dry-run").line, expired=[1, 2])
    agree(table.json("expire", "t", "--older-than", third, "--keep-last", 3, "--dry-run").line,
          expired=[1])
    agree(table.json("expire", "t", "--older-than", "1h", "--keep-last", 1, "--dry-run").line,
          expired=[])
    offset = (datetime.fromisoformat(third.replace("Z", "+00:00"))
              .astimezone(timezone(timedelta(hours=2))).isoformat(timespec="milliseconds"))
    agree(table.json("expire", "t", "--older-than", offset).line, expired=[1, 2], snapshots=2)
    agree(table.json("expire", "t", "--older-than", "0s").line, expired=[3], snapshots=1)
    agree(table.json("expire", "t", "--older-than", "2999-01-01").line, expired=[], snapshots=1)


def test_a_time_means_the_newest_snapshot_left_of_before(table, files):
    wait_for_another_millisecond(table)
    add(table, files, [100], "b")
    second = time_of(table, 2)
    assert answer(table, f"AT '{second}'") == answer(table, "AT 2")
    table.json("expire", "t", "--keep-last", 1)
    assert answer(table, f"AT '{second}'") == answer(table, "AT 'first'")


# gc


def test_a_clean_up_says_what_it_removes_and_removes_that(table, files):
    table.json("precondition", "t", "--name", "p", "--kind", "diagonal")
    table.json("delete", "t", "--where", "n < 10")
    add(table, files, [1, 2], "c", n=0)
    table.json("restore", "t", "--to", "first")
    table.json("tag", "t", "first", "--delete")
    nothing = dict.fromkeys(("segments", "rows", "checkpoints", "preconditioners",
                             "deleted_row_containers", "bytes", "file_bytes"), 0)
    agree(table.json("gc", "--dry-run").line, **nothing, dry_run=True)
    agree(table.json("gc").line, **nothing, dry_run=False)
    table.json("expire", "t", "--keep-last", 1)
    before = answer(table, "")
    dry = table.json("gc", "--dry-run").line
    # b and c with a segment each; the two rows that came again, and no deleted one of the older.
    agree(dry, segments=2, rows=2, checkpoints=2, preconditioners=1, file_bytes=0, dry_run=True)
    assert dry["deleted_row_containers"] >= 1 and dry["bytes"] > 0
    done = table.json("gc").line
    agree(done, dry_run=False, **{key: dry[key] for key in dry if key not in (
        "dry_run", "file_bytes", "seconds")})
    assert answer(table, "") == before and len(ids(table)) == ROWS
    again = table.json("gc").line
    agree(again, **{key: 0 for key in nothing if key != "file_bytes"})
    with second_reader.Database(str(table.path)) as opened:
        assert second_reader.garbage.left(opened) == []
    # What was forgotten can come again.
    add(table, files, [77], "c", n=1)
    assert ids(table) == names(77)
    table.check()
    assert second_reader.problems(table.path) == []


def test_a_clean_up_leaves_what_ranks_have_staged(table, files):
    table.ingest("t", files.grad("rank.safetensors", np.ones((2, DIMS))), checkpoint="r", rank="0/1",
                 metadata=files.metadata("rank.jsonl", [{"id": "r1"}, {"id": "r2"}]))
    table.json("delete", "t", "--where", "n < 30")
    table.json("compact", "t")
    table.json("tag", "t", "first", "--delete")
    table.json("expire", "t", "--keep-last", 1)
    assert table.json("gc").line["rows"] == 30
    assert table.json("staged").line["rows"] == 2
    agree(table.json("commit", "t", "--checkpoint", "r").line, rows=2, new_rows=2)
    assert ids(table) == {"r1", "r2"} and len(ids(table, "", "ACROSS 'a'")) == 10
    table.check()
    assert second_reader.problems(table.path) == []


def test_tables_of_a_database_are_cleaned_up_together_and_apart(table, files):
    table.create("u", ["grad:2:f32"])
    for _ in range(2):
        table.ingest("u", files.grad("u.safetensors", [[1, 2], [3, 4]]), checkpoint="c")
    table.json("delete", "u", "--ids", "-", stdin=b"1\n")
    table.json("compact", "u")
    before = table.state("t")["snapshots"], answer(table, "")
    table.json("expire", "u", "--keep-last", 1)
    agree(table.json("gc").line, segments=2, rows=1)
    assert (table.state("t")["snapshots"], answer(table, "")) == before
    assert [line["id"] for line in table.query("FROM u SCORE self ALL")] == [3, 0, 2]
    table.check()


# check


def test_check_knows_what_only_older_snapshots_have(table, files):
    """A preconditioner of a checkpoint that the newest snapshot has lost, by a restore."""
    add(table, files, [1, 2], "c")
    table.json("precondition", "t", "--name", "p", "--kind", "diagonal", "--checkpoint", "a", "c")
    table.json("restore", "t", "--to", 2)
    table.check()
    table.json("restore", "t", "--to", 0)
    table.check()
    (found,) = table.query("FROM t AT 4 SCORE dot TO ROW 'x1' ACROSS 'c' PRECONDITION p TOP 1")
    assert found["id"] in ("x1", "x2")


# repair


def test_repair_takes_no_preconditioner_of_a_sound_database_for_lost(table, files):
    """It has no norms of segments that a compaction had replaced before it was made, and that only older
    snapshots have, nor of other checkpoints' segments."""
    add(table, files, [100, 101], "a")
    table.json("compact", "t")
    table.json("precondition", "t", "--name", "p", "--kind", "diagonal", "--checkpoint", "a")
    assert table.check()["problems"] == 0
    assert table.json("repair", "--dry-run").lines[-1]["damaged"] is False
