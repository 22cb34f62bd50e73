"""Ranks that write beside each other, from the command line: what they make together, and what is
refused without harm."""

import os
import shutil
import sys

import pytest

from gradient_files import Files, frame
from graddb import (
    BAD_INPUT, CORRUPT, FAILED, INTERRUPTED, IO, LOCKED, NOT_FOUND, OK, REPOSITORY, USAGE, Database,
    finish, wait_for_exit,
)  # fmt: skip
from mounts import small_file_system
from staged_tables import Parts, commit, rows, staged

sys.path.insert(0, str(REPOSITORY / "tools/reader"))


@pytest.fixture(scope="module")
def parts(gradctl, tmp_path_factory):
    return Parts(Files(tmp_path_factory.mktemp("parts")), ranks=3, count=150)


@pytest.fixture
def table(parts, tmp_path):
    return parts.create(tmp_path / "db")


def write_all(table, parts):
    for rank in range(parts.ranks):
        done = table.run(*parts.arguments(rank)).expect(OK).line
        assert done["rows"] == done["rank_rows"] == parts.count and done["skipped"] == 0


def test_ranks_make_what_one_ingest_makes(table, parts, tmp_path):
    processes = [table.start(*parts.arguments(rank)) for rank in range(parts.ranks)]
    for process in processes:
        assert finish(process).expect(OK).line["rank_rows"] == parts.count
    assert table.info("t")["snapshot"] == 0
    (seen,) = staged(table)
    assert seen["closed"] == seen["ranks"] == 3 and seen["rows"] == parts.total
    assert seen["unfinished"] == seen["writing"] == [] and seen["problem"] is None
    done = commit(table, "--tag", "v1", "--message", "three ranks")
    assert (done["snapshot"], done["rows"], done["new_rows"]) == (1, parts.total, parts.total)
    assert staged(table) == []
    assert parts.answers(table) == parts.ingested(tmp_path / "one")
    assert table.info("t")["tags"] == {"v1": 1}
    assert table.snapshots("t")[0]["message"] == "three ranks"
    table.check()


def test_the_second_reader_reads_beside_what_is_staged(table, parts):
    import database as second_reader

    table.ingest("t", parts.inputs[0], checkpoint="old", metadata=parts.metadata[0])
    before = table.state("t")
    table.run(*parts.arguments(1, ranks=2)).expect(OK)
    assert table.state("t") == before
    with second_reader.Database(str(table.path)) as reader:
        assert len(list(reader.table("t").records())) == parts.count
    table.check()


def test_commands_work_beside_what_is_staged(table, parts):
    write_all(table, parts)
    table.create("u", ["grad:8"])
    table.ingest("t", parts.inputs[1], checkpoint="other", metadata=parts.metadata[1])
    table.json("tag", "t", "mine")
    table.check()
    done = commit(table)
    assert done["snapshot"] == 2 and done["new_rows"] == 2 * parts.count
    assert [c["rows"] for c in table.info("t")["checkpoints"]] == [parts.count, parts.total]
    table.check()


def test_a_recode_makes_the_commit_impossible_and_says_what_to_do(table, parts):
    write_all(table, parts)
    table.recode("t", "int8", layer="grad")
    refused = table.run("commit", "t", "--checkpoint", "c", "--json").expect(FAILED)
    assert "--abandon" in refused.error["error"]
    assert staged(table)[0]["problem"]
    table.run(*parts.arguments(0, "--resume")).expect(FAILED)
    gone = table.json("staged", "t", "--checkpoint", "c", "--abandon").line
    assert gone["abandoned"] is True
    assert staged(table) == []
    write_all(table, parts)
    assert commit(table)["rows"] == parts.total


def test_unfinished_ranks_are_named(table, parts):
    table.run(*parts.arguments(1)).expect(OK)
    refused = table.run("commit", "t", "--checkpoint", "c", "--json").expect(FAILED)
    assert "ranks 0, 2 of 3" in refused.error["error"]
    assert staged(table)[0]["unfinished"] == [0, 2]
    assert commit(table, "--partial")["rows"] == parts.count
    # What the others would have brought comes in another one.
    for rank in range(3):
        done = table.run(*parts.arguments(rank, "--resume")).expect(OK).line
        assert done["rows"] == (0 if rank == 1 else parts.count)
    commit(table)
    assert len(parts.answers(table, by_row=False)["grad"]) == parts.total


def test_a_rank_has_one_writer_and_waits_for_nobody(table, parts):
    writer = table.start(*parts.arguments(0)[:2], "-", *parts.arguments(0)[3:])
    try:
        writer.stdin.write(frame(parts.inputs[0].read_bytes()))
        writer.stdin.flush()
        second = table.run(*parts.arguments(0, "--resume")).expect(LOCKED)
        assert "rank 0" in second.error["error"]
        table.run(*parts.arguments(1)).expect(OK)
        # Neither the database nor the other ranks are locked meanwhile.
        table.create("u", ["grad:8"])
        for command in (["commit", "t"], ["staged", "t", "--abandon"]):
            refused = table.run(*command, "--checkpoint", "c", "--json").expect(LOCKED)
            assert "rank 0" in refused.error["error"]
        assert staged(table)[0]["writing"] == [0]
    finally:
        done = finish(writer).expect(OK)
    assert done.line["rank_rows"] == parts.count


def test_beginning_waits_for_the_database(table, parts):
    """Another writer has the lock; the rank begins when it has let go."""
    ingest = table.start(
        "ingest", "t", "-", "--checkpoint", "x", "--metadata", parts.metadata[1], "--json"
    )
    ingest.stdin.write(frame(parts.inputs[1].read_bytes()))
    ingest.stdin.flush()
    rank = table.start(*parts.arguments(0))
    finish(ingest).expect(OK)
    finish(rank).expect(OK)
    assert staged(table)[0]["rows"] == parts.count


@pytest.mark.parametrize(
    "change, status, fragment",
    [
        (["--rank", "0/4"], USAGE, "ranks 3, not 4"),
        (["--rank", "1/3", "--step", "9"], USAGE, "step 7, not 9"),
        (["--rank", "1/3", "--weight", "0.5"], USAGE, "weight unset, not 0.5"),
        (["--rank", "3/3"], USAGE, "count from 0"),
        (["--rank", "x/3"], USAGE, "--rank"),
        (["--rank", "1/3", "--tag", "v"], USAGE, "gradctl commit"),
        (["--rank", "1/3", "--message", "m"], USAGE, "gradctl commit"),
    ],
)
def test_wrong_parameters_are_refused(table, parts, change, status, fragment):
    table.run(*parts.arguments(0, "--step", "7")).expect(OK)
    before = staged(table)
    arguments = parts.arguments(1)
    at = arguments.index("--rank")
    refused = table.run(*arguments[:at], *arguments[at + 2 :], *change).expect(status)
    assert fragment in refused.error["error"]
    assert staged(table) == before


def test_a_rank_needs_ids(table, parts):
    refused = table.run(
        "ingest", "t", parts.inputs[0], "--checkpoint", "c", "--rank", "0/2", "--json"
    ).expect(USAGE)
    assert "--metadata" in refused.error["error"]
    assert staged(table) == []


def test_nothing_staged_is_said(table):
    for command in (["commit", "t"], ["staged", "t", "--abandon"]):
        table.run(*command, "--checkpoint", "c", "--json").expect(USAGE)
    table.run("staged", "--abandon", "--json").expect(USAGE)
    table.run("staged", "nope", "--json").expect(NOT_FOUND)
    table.run("commit", "nope", "--checkpoint", "c", "--json").expect(NOT_FOUND)
    assert "nothing is staged" in table.run("staged").expect(OK).text


def test_resume_leaves_out_what_is_there(table, parts, files):
    table.run(*parts.arguments(0)).expect(OK)
    again = table.run(*parts.arguments(0)).expect(BAD_INPUT)
    assert "--resume" in again.error["error"]
    done = table.run(*parts.arguments(0, "--resume")).expect(OK).line
    assert (done["rows"], done["skipped"], done["rank_rows"]) == (0, parts.count, parts.count)
    # 150 rows in groups of 64: the last is short, so that nothing can follow.
    more = parts.arguments(0, "--resume")
    more[more.index(parts.metadata[0])] = parts.metadata[1]
    assert "not full" in table.run(*more).expect(FAILED).error["error"]
    # What another rank has is left out, too.
    other = parts.arguments(1, "--resume")
    other[other.index(parts.metadata[1])] = parts.metadata[0]
    assert table.run(*other).expect(OK).line["skipped"] == parts.count


def test_ids_of_two_ranks_are_found_by_the_commit(table, parts, files):
    mixed = files.metadata("mixed.jsonl", rows(0, 1) + rows(1, parts.count)[1:])
    table.run(*parts.arguments(0, ranks=2)).expect(OK)
    arguments = parts.arguments(1, ranks=2)
    arguments[arguments.index(parts.metadata[1])] = mixed
    table.run(*arguments).expect(OK)
    refused = table.run("commit", "t", "--checkpoint", "c", "--json").expect(BAD_INPUT)
    assert "id r0-0 comes twice" in refused.error["error"]
    assert table.info("t")["snapshot"] == 0 and staged(table)[0]["rows"] == 2 * parts.count
    table.check()


def test_bad_input_leaves_what_came_before(table, parts, files):
    """The message says which row; the repaired input goes on from there."""
    short = files.metadata("short.jsonl", rows(0, parts.count - 1))
    arguments = parts.arguments(0, ranks=1)
    arguments[arguments.index(parts.metadata[0])] = short
    refused = table.run(*arguments).expect(BAD_INPUT)
    assert "ends after 149 rows" in refused.error["error"]
    done = table.run(*parts.arguments(0, "--resume", ranks=1)).expect(OK).line
    assert done["rows"] + done["skipped"] == parts.count == done["rank_rows"]
    assert commit(table)["rows"] == parts.count


def test_an_interrupted_rank_goes_on(table, parts):
    process = table.start(*parts.arguments(0)[:2], "-", *parts.arguments(0)[3:])
    process.stdin.write(frame(parts.inputs[0].read_bytes())[: 1 << 18])
    process.stdin.flush()
    process.terminate()
    wait_for_exit(process)
    assert finish(process).expect(INTERRUPTED).error["kind"] == "interrupted"
    for rank in range(3):
        table.run(*parts.arguments(rank, "--resume")).expect(OK)
    assert commit(table)["rows"] == parts.total


def files_of(table):
    root = table.path / "staged"
    return sorted(p for p in root.rglob("*") if p.suffix in (".sst", ".rows") or p.name == "journal")


def test_flipped_bytes_are_refused_naming_the_file(table, parts, seed):
    import random

    chance = random.Random(f"{seed} staged flips")
    write_all(table, parts)
    for path in files_of(table):
        whole = path.read_bytes()
        for _ in range(3):
            # Of a journal, not the last line, nor what parts it from those before: what is wrong there
            # was cut off.
            end = len(whole) if path.name != "journal" else whole[:-1].rindex(b"\n")
            bad = bytearray(whole)
            bad[chance.randrange(end)] ^= 1 << chance.randrange(8)
            path.write_bytes(bad)
            refused = table.run("commit", "t", "--checkpoint", "c", "--json").expect(CORRUPT)
            assert str(path.relative_to(table.path)) in refused.error["error"]
        path.write_bytes(whole)
    assert commit(table)["rows"] == parts.total
    table.check()


def test_stale_and_foreign_directories(table, parts, tmp_path):
    write_all(table, parts)
    (directory,) = (table.path / "staged").iterdir()
    kept = tmp_path / "kept"
    shutil.copytree(directory, kept)
    other = parts.create(tmp_path / "other")
    shutil.copytree(directory, other.path / "staged" / directory.name)
    other.run("commit", "t", "--checkpoint", "c", "--json").expect(USAGE)
    assert staged(other)[0]["problem"] == "it belongs to another database"
    other.ingest("t", parts.inputs[0], checkpoint="d", metadata=parts.metadata[0])
    assert (other.path / "staged" / directory.name / "ingest.json").exists()

    commit(table)
    shutil.copytree(kept, directory)
    assert staged(table) == []
    table.run("commit", "t", "--checkpoint", "c", "--json").expect(USAGE)
    assert not directory.exists()
    table.check()


@pytest.mark.parametrize("free_bytes", [0, 16 << 10, 100 << 10, 400 << 10, 1 << 20, 3 << 20])
def test_wherever_the_space_ends_a_rank_can_go_on(parts, tmp_path, free_bytes):
    with small_file_system(tmp_path / "small", mebibytes=24) as directory:
        table = parts.create(directory / "db")
        table.run(*parts.arguments(0)).expect(OK)
        filler = directory / "filler"
        space = os.statvfs(directory)
        filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - free_bytes)))
        refused = [table.run(*parts.arguments(rank)).expect(OK, IO) for rank in (1, 2)]
        late = table.run("commit", "t", "--checkpoint", "c", "--partial", "--json").expect(OK, IO)
        landed = late.status == OK
        filler.unlink()
        table.check()
        if not landed:
            for rank in (1, 2):
                table.run(*parts.arguments(rank, "--resume")).expect(OK)
            assert commit(table)["rows"] == parts.total
        elif any(result.status == IO for result in refused):
            for rank in range(3):
                table.run(*parts.arguments(rank, "--resume")).expect(OK)
            commit(table)
        assert len(parts.answers(table, by_row=False)["grad"]) == parts.total
        table.check()
