"""Other writers, full disks, read-only disks: the database stays right, and says what is wrong."""

import os

import numpy as np
import pytest

from gradient_files import Files, frame, safetensors
from graddb import IO, LOCKED, OK, Database, finish, start
from mounts import read_only_view, small_file_system

DIMS = 4096
ASK = "SELECT row FROM t SCORE dot TO ROW 0 TOP 30 BOTTOM 30"
# One message is far larger than a pipe holds: once it is written, its reader is at work.
VECTORS = np.random.default_rng(30).standard_normal((64, DIMS)).astype(np.float32)


def small_database(path, files, codec="f32"):
    database = Database(path).init()
    database.create("t", [f"grad:{DIMS}:{codec}"], row_group=16)
    database.ingest("t", files.grad("base.safetensors", VECTORS[:8]), checkpoint="c0")
    return database


@pytest.fixture
def small(gradctl, files, tmp_path):
    return small_database(tmp_path / "disk" / "db", files)


def seen(database):
    return database.state("t", ASK)


# Locking


def test_a_second_writer_is_refused_while_readers_work_on(small, files):
    before = seen(small)
    source = files.grad("v.safetensors", VECTORS[:2])
    writer = small.start("ingest", "t", "-", "--checkpoint", "slow", "--json")
    try:
        for _ in range(2):
            writer.stdin.write(frame(safetensors({"grad": VECTORS})))
            writer.stdin.flush()
        for command in (
            ["ingest", "t", source, "--checkpoint", "quick"],
            ["create", "u", "--layer", "grad:8"],
            ["tag", "t", "mine"],
        ):
            refused = small.run(*command, "--json").expect(LOCKED)
            assert refused.stdout == b"" and refused.error["kind"] == "locked"
        # What would be done can be asked all the same.
        for command in (
            ["delete", "t", "--where", "row < 1"],
            ["expire", "t", "--keep-last", 1],
            ["gc"],
        ):
            small.run(*command, "--json").expect(LOCKED)
            assert small.json(*command, "--dry-run").line["dry_run"] is True
        assert seen(small) == before
        small.check()
    finally:
        result = finish(writer)
    done = result.expect(OK).line
    assert done["rows"] == 128
    assert small.info("t")["snapshot"] == done["snapshot"]
    small.ingest("t", source, checkpoint="quick")
    small.check()


def test_writers_that_race_are_served_or_refused_but_never_mixed(small, files):
    source = files.grad("v.safetensors", VECTORS)
    commands = [["ingest", "t", source, "--checkpoint", f"r{i}", "--json"] for i in range(4)]
    racers = [small.start(*command) for command in commands]
    served = [finish(racer).expect(OK, LOCKED).status == OK for racer in racers]
    assert any(served)
    checkpoints = {c["name"] for c in small.info("t")["checkpoints"]}
    assert checkpoints == {"c0"} | {f"r{i}" for i in range(4) if served[i]}
    small.check()


# No space left


@pytest.fixture
def full_soon(gradctl, tmp_path):
    with small_file_system(tmp_path / "small", mebibytes=24) as directory:
        yield small_database(directory / "db", Files(tmp_path))


def refuse_for_space(database, *inputs, before):
    failed = database.run("ingest", "t", *inputs, "--checkpoint", "c1", "--json").expect(IO)
    assert failed.stdout == b"" and failed.error["kind"] == "io"
    assert seen(database) == before
    database.check()


def test_an_ingest_larger_than_the_disk_leaves_no_trace(full_soon, files):
    before = seen(full_soon)
    source = files.grad("v.safetensors", np.tile(VECTORS, (4, 1)))
    refuse_for_space(full_soon, *[source] * 10, before=before)
    # What it wrote is gone too: the space is there again for what fits.
    small = files.grad("small.safetensors", VECTORS[:4])
    assert full_soon.ingest("t", small, checkpoint="c1")["rows"] == 4
    full_soon.check()


@pytest.mark.parametrize("free_bytes", [0, 8 << 10, 200 << 10, 600 << 10, 2 << 20, 5 << 20])
def test_wherever_the_space_ends_it_is_all_or_nothing(full_soon, files, free_bytes):
    before = seen(full_soon)
    source = files.grad("v.safetensors", VECTORS)  # 1 MiB
    filler = full_soon.path.parent / "filler"
    space = os.statvfs(full_soon.path)
    available = space.f_bavail * space.f_frsize
    filler.write_bytes(bytes(max(0, available - free_bytes)))
    done = full_soon.run("ingest", "t", source, "--checkpoint", "c1", "--json").expect(OK, IO)
    if done.status == IO:
        assert done.stdout == b""
        assert seen(full_soon) == before
        filler.unlink()
        full_soon.ingest("t", source, checkpoint="c1")
    checkpoints = {c["name"]: c["rows"] for c in full_soon.info("t")["checkpoints"]}
    assert checkpoints == {"c0": 8, "c1": 64}
    full_soon.check()


@pytest.mark.parametrize("free_bytes", [0, 100 << 10, 300 << 10, 500 << 10, 2 << 20, 5 << 20])
def test_wherever_the_space_ends_a_recode_is_all_or_nothing(full_soon, files, free_bytes):
    full_soon.ingest("t", files.grad("v.safetensors", VECTORS), checkpoint="c1")
    before = seen(full_soon)
    space = os.statvfs(full_soon.path)
    available = space.f_bavail * space.f_frsize
    filler = full_soon.path.parent / "filler"
    filler.write_bytes(bytes(max(0, available - free_bytes)))
    done = full_soon.run("recode", "t", "--codec", "bf16", "--beside", "--json").expect(OK, IO)
    if done.status == IO:
        assert done.stdout == b""
        assert seen(full_soon) == before
        filler.unlink()
        full_soon.recode("t", "bf16", beside=True)
    assert len(full_soon.info("t")["layers"][0]["codecs"]) == 2
    full_soon.check()


# Read-only


def verify_read_only(database, before, source):
    assert seen(database) == before
    database.check()
    for command in (
        ["ingest", "t", source, "--checkpoint", "c1"],
        ["create", "u", "--layer", "grad:8"],
        ["recode", "t", "--codec", "bit"],
        ["tag", "t", "mine"],
    ):
        refused = database.run(*command, "--json").expect(IO)
        assert refused.stdout == b"" and refused.error["kind"] == "io"
    assert seen(database) == before


def test_a_database_on_a_read_only_file_system_is_queried(small, files, tmp_path):
    before = seen(small)
    source = files.grad("v.safetensors", VECTORS[:2])
    with read_only_view(tmp_path / "disk", tmp_path / "view") as view:
        verify_read_only(Database(view / "db"), before, source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only directories")
def test_a_database_without_write_permission_is_queried(small, files):
    before = seen(small)
    source = files.grad("v.safetensors", VECTORS[:2])
    paths = [small.path, *small.path.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        verify_read_only(small, before, source)
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_bad_input(database, files):
    database.create("t", ["grad:4"])
    source = files.grad("v.safetensors", np.ones((2, 4)))
    source.chmod(0)
    database.run("ingest", "t", source, "--checkpoint", "c").expect(65)


# Standard output


def test_a_reader_that_went_away_harms_nothing(small, files):
    """`gradctl query … | head -1`: the process may die of SIGPIPE, as Unix tools do, or say that
    it could not write; it may not crash, and the data are as they were."""
    before = seen(small)
    read_end, write_end = os.pipe()
    os.close(read_end)
    source = files.grad("v.safetensors", VECTORS[:2])
    for command in (
        ["query", ASK, "--format", "jsonl"],
        ["info"],
        ["ingest", "t", source, "--checkpoint", "c1", "--json"],
    ):
        result = finish(start(*command, "--db", small.path, stdout=write_end))
        assert result.status in (OK, IO, -13), str(result)
        assert b"Fatal error" not in result.stderr
    os.close(write_end)
    checkpoints = {c["name"] for c in small.info("t")["checkpoints"]}
    assert checkpoints in ({"c0"}, {"c0", "c1"})
    old = before["snapshots"].splitlines()
    assert small.json("snapshots", "t").text.splitlines()[-len(old) :] == old
    small.check()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_an_io_error(small):
    with open("/dev/full", "wb") as full:
        result = finish(start("query", ASK, "--db", small.path, stdout=full))
    result.expect(IO)


def test_text_that_outgrows_the_disk_leaves_no_trace(full_soon, files):
    """Records that are written ahead of the commit run out of space like everything else."""
    full_soon.create("texts", ["grad:1:f32"], fields=["text:string"])
    rows = [{"id": n, "text": os.urandom(1000).hex()} for n in range(30000)]
    source = files.grad("v.safetensors", np.ones((len(rows), 1)))
    failed = full_soon.run(
        "ingest", "texts", source, "--checkpoint", "c", "--metadata",
        files.metadata("m.jsonl", rows), "--json").expect(IO)
    assert failed.error["kind"] == "io"
    assert full_soon.info("texts")["rows"] == 0
    full_soon.check()
    few = files.metadata("few.jsonl", rows[:10])
    full_soon.ingest(
        "texts", files.grad("w.safetensors", np.ones((10, 1))), checkpoint="c", metadata=few)
    full_soon.check()
