"""Backups: what is copied, what is restored, what is refused."""

import fcntl
import json
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

from backups import FIELDS, Backups, Rows, answers, checksum, history
from graddb import (
    CORRUPT,
    FAILED,
    IO,
    LOCKED,
    NOT_FOUND,
    OK,
    SCALE,
    USAGE,
    Database,
    run,
)
from gradient_files import frame
from mounts import small_file_system

DIMS = 256


@pytest.fixture
def backups(tmp_path):
    return Backups(tmp_path / "backups")


@pytest.fixture
def rows(files):
    return Rows(files, DIMS, 7)


@pytest.fixture
def table(database):
    database.create("t", [f"grad:{DIMS}:int8"], FIELDS, row_group=64)
    return database


def queries(files, dims, count=100):
    vectors = np.random.default_rng(99).standard_normal((count, dims)).astype(np.float32)
    return files.grad("queries.safetensors", vectors)


@pytest.mark.parametrize("codec, dims, count", [("int8", 1024, 8000), ("f32", 2048, 2000)])
def test_one_percent_more_copies_two_percent(database, files, backups, codec, dims, count):
    """Vectors of 1 KiB and of 8 KiB a row, with random string ids and text."""
    database.create("t", [f"grad:{dims}:{codec}"], FIELDS)
    rows = Rows(files, dims, 1)
    rows.ingest(database, count)
    first = backups.create(database)
    assert first["copied_bytes"] == first["bytes"] and first["copied_objects"] == first["objects"]
    whole = backups.bytes
    for number in range(2):
        before = backups.bytes
        rows.ingest(database, count // 100)
        done = backups.create(database)
        # Everything that the directory grew by counts, the manifest too.
        assert backups.bytes - before <= whole * 0.02, (number, backups.bytes - before, whole)
        assert done["copied_bytes"] <= backups.bytes - before
    same = backups.create(database)
    assert same["copied_bytes"] == 0 and same["copied_objects"] == 0
    backups.verify()


def test_restore_drill(table, files, rows, backups, tmp_path):
    """Each of several backups restored elsewhere answers 100 queries bit for bit."""
    query = queries(files, DIMS)
    for number in range(4):
        rows.ingest(table, 150 + number)
        if number == 1:
            table.recode("t", "bit", beside=True)
        if number == 2:
            table.json("tag", "t", "third")
            rows.ingest(table, 10, checkpoint="d")
        done = backups.create(table)
        assert done["backup"] == number + 1
    newest = table.info("t")["snapshot"]
    assert [line["backup"] for line in backups.list()] == [4, 3, 2, 1]
    for number in (1, 2, 3, 4):
        restored = backups.restore(tmp_path / f"restored-{number}", number)
        restored.check()
        snapshot = restored.info("t")["snapshot"]
        assert answers(restored, query) == answers(table, query, snapshot)
        if snapshot == newest:
            assert history(restored) == history(table)
            assert restored.info("t") == table.info("t")
    latest = backups.restore(tmp_path / "latest")
    assert latest.info("t")["snapshot"] == newest
    shutil.rmtree(tmp_path / "restored-4")
    # Any copy of the directory is as good.
    copy = Backups(tmp_path / "copy")
    shutil.copytree(backups.path, copy.path)
    restored = copy.restore(tmp_path / "restored-4", 4)
    assert answers(restored, query) == answers(table, query)


def test_deleted_compacted_and_forgotten_rows(table, files, rows, backups, tmp_path):
    """What versions leave in the database is restored as it is: history, hashes, numbers of ids."""
    query = queries(files, DIMS, 5)
    vectors, metadata = rows.write(200)
    for checkpoint in ("c", "d"):
        table.ingest("t", vectors, checkpoint=checkpoint, metadata=metadata)
    rows.ingest(table, 100)
    backups.create(table)
    ids = [json.loads(line)["id"] for line in metadata.read_text().splitlines()]
    forget = files.write("forget.txt", "".join(f"{id}\n" for id in ids[:50]))
    steps = [
        ["delete", "t", "--ids", forget],
        ["compact", "t"],
        ["ingest", "t", vectors, "--checkpoint", "e", "--metadata", metadata],
        ["expire", "t", "--keep-last", 2],
        ["gc"],
    ]
    for number, step in enumerate(steps):
        table.json(*step)
        backups.create(table)
        restored = backups.restore(tmp_path / f"restored-{number}")
        assert history(restored) == history(table)
        assert answers(restored, query) == answers(table, query)
        restored.check()
        # A writer takes it for what it is.
        assert restored.json("gc", "--dry-run").line["rows"] == table.json(
            "gc", "--dry-run"
        ).line["rows"]
    again = restored.ingest("t", vectors, checkpoint="e", metadata=metadata, resume=True)
    assert again["skipped"] == 200 and again["rows"] == 0
    # The oldest backup has all that was forgotten since.
    first = backups.restore(tmp_path / "first", 1)
    assert first.info("t")["rows"] == 300
    backups.prune(1)
    backups.verify()


def test_ids_lead_to_their_rows_after_a_restore(table, files, rows, backups, tmp_path):
    """`keys` are not in a backup: they are made of the records."""
    vectors, metadata = rows.write(300)
    table.ingest("t", vectors, checkpoint="c", metadata=metadata)
    backups.create(table)
    restored = backups.restore(tmp_path / "restored")
    again = restored.ingest("t", vectors, checkpoint="c", metadata=metadata, resume=True)
    assert again["skipped"] == 300 and again["rows"] == 0
    more = restored.ingest("t", vectors, checkpoint="d", metadata=metadata)
    assert more["rows"] == 300 and more["new_rows"] == 0
    restored.check()
    # The restored database goes on with the backups that it came from.
    done = backups.create(restored)
    assert done["backup"] == 2 and done["copied_bytes"] < done["bytes"] * 0.75
    backups.verify()


def test_several_tables_preconditioners_and_token_rows(database, files, backups, tmp_path):
    database.create("t", [f"grad:{DIMS}:f16", "head:33:int8+bit"], FIELDS, row_group=50)
    database.create("u", ["grad:16:f32"], unit="token")
    random = np.random.default_rng(3)
    tensors = {
        "grad": random.standard_normal((120, DIMS)).astype(np.float32),
        "head": random.standard_normal((120, 33)).astype(np.float32),
    }
    metadata = files.metadata(
        "m.jsonl", [{"id": f"é{i}", "part": i if i % 3 else None} for i in range(120)]
    )
    both = files.tensors("both.safetensors", tensors)
    database.ingest("t", both, checkpoint="c", metadata=metadata)
    database.ingest("u", files.grad("u.safetensors", tensors["grad"][:, :16]), checkpoint="x")
    database.json("precondition", "t", "--name", "fisher", "--kind", "diagonal")
    done = backups.create(database)
    assert done["tables"] == 2
    restored = backups.restore(tmp_path / "restored")
    restored.check()
    for name in ("t", "u"):
        assert restored.info(name) == database.info(name)
    statement = f"SELECT * FROM t SCORE dot TO '{both}' MEAN PRECONDITION fisher ALL"
    asked = [one.query_result(statement).stdout for one in (database, restored)]
    assert asked[0] == asked[1] and asked[0].count(b"\n") == 120


def test_a_backup_beside_a_writer_is_one_of_its_snapshots(table, files, rows, backups, tmp_path):
    rows.ingest(table, 40)
    prepared = [rows.write(24) for _ in range(12 * SCALE)]
    done = threading.Event()
    failures = []

    def write():
        try:
            for vectors, metadata in prepared:
                table.ingest("t", vectors, checkpoint="c", metadata=metadata)
        except AssertionError as error:
            failures.append(error)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        backups.create(table)
    writer.join()
    assert not failures
    query = queries(files, DIMS, 3)
    listed = backups.list()
    assert len({line["tables"][0]["snapshot"] for line in listed}) > 1
    backups.verify()
    for line in listed[:: max(1, len(listed) // 6)]:
        restored = backups.restore(tmp_path / f"restored-{line['backup']}", line["backup"])
        (state,) = line["tables"]
        info = restored.info("t")
        assert (info["snapshot"], info["rows"]) == (state["snapshot"], state["rows"])
        assert info["rows"] == 40 + 24 * (info["snapshot"] - 1)
        assert answers(restored, query) == answers(table, query, info["snapshot"])
        restored.check()


def test_what_is_not_committed_is_not_backed_up(table, files, rows, backups, tmp_path):
    rows.ingest(table, 50)
    vectors, metadata = rows.write(50)
    staged = ["ingest", "t", vectors, "--checkpoint", "s", "--rank", "0/2", "--metadata", metadata]
    table.json(*staged)
    # An ingest that waits for its input has its reservation in the catalog.
    process = table.start("ingest", "t", "-", "--checkpoint", "c", "--json")
    try:
        process.stdin.write(frame(vectors.read_bytes()))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list((table.path / "staging").glob("*")) and time.monotonic() < deadline:
            time.sleep(0.01)
            if process.poll() is not None:
                break
        backups.create(table)
    finally:
        process.kill()
        process.communicate()
    restored = backups.restore(tmp_path / "restored")
    assert restored.json("staged").lines == []
    assert restored.info("t")["rows"] == 50
    assert not (restored.path / "staged").exists()
    rows.ingest(restored, 10)
    restored.check()


def test_prune(table, files, rows, backups, tmp_path):
    for _ in range(4):
        rows.ingest(table, 100)
        backups.create(table)
    table.recode("t", "bit")
    backups.create(table)
    before = backups.bytes
    plan = run("backup", "prune", backups.path, "--keep-last", 2, "--dry-run", "--json")
    assert plan.expect().line["removed"] == [1, 2, 3] and backups.bytes == before
    done = backups.prune(2)
    planned = plan.line
    for line in (planned, done):
        del line["dry_run"], line["seconds"]
    assert done == planned and done["backups"] == 2 and done["bytes"] > 0
    assert [line["backup"] for line in backups.list()] == [5, 4]
    _, summary = backups.verify()
    assert summary["objects"] == len(backups.objects)
    assert backups.prune(2)["objects"] == 0
    restored = backups.restore(tmp_path / "restored", 4)
    assert history(restored).splitlines() == history(table).splitlines()[1:]
    assert backups.create(table)["backup"] == 6


def test_manifests_and_objects_are_as_the_specification_says(table, rows, backups):
    rows.ingest(table, 60)
    backups.create(table)
    (manifest,) = backups.manifests
    data = manifest.read_bytes()
    *lines, last = data.splitlines(keepends=True)
    assert last == b'{"checksum":"%016x"}\n' % checksum(b"".join(lines))
    summary = json.loads(lines.pop())
    objects = [json.loads(line) for line in lines[1:]]
    assert summary["objects"] == len(objects)
    assert summary["bytes"] == sum(line["bytes"] for line in objects)
    numbers = {"catalog": 1, "rows": 2, "fields": 3, "blocks": 4}
    order = [numbers[line["object"].split(".")[1]] for line in objects]
    assert order == sorted(order) and set(order) == {1, 2, 3, 4}
    for line, family in zip(objects, order):
        name = line["object"]
        stored = (backups.path / "objects" / name[:2] / name).read_bytes()
        content = int(name.split("-")[1].split(".")[0])
        assert len(stored) == line["bytes"] and stored[:4] == b"GDBO"
        assert stored[4:8] == bytes([1, 0, family, 1 if family < 4 else 0])
        assert int.from_bytes(stored[8:16], "little") == content
        assert stored[-8:] == bytes.fromhex(line["checksum"])[::-1]
        assert checksum(stored[:-8]) == int(line["checksum"], 16)
        if family == 4:
            assert len(stored) == content + 24


def test_the_rate_is_kept(table, rows, backups, tmp_path):
    """To be slower than asked is what it is for; how much, depends on the machine."""
    rows.ingest(table, 3000)
    started = time.monotonic()
    done = backups.create(table, "--rate", "500k")
    assert time.monotonic() - started > done["bytes"] / 500e3 * 0.5 > 0.5
    backups.verify("--rate", "100M")


def test_one_writer_and_no_prune_while_someone_reads(table, rows, backups, tmp_path):
    rows.ingest(table, 20)
    backups.create(table)
    prune = ["backup", "prune", backups.path, "--keep-last", 1, "--json"]
    with open(backups.path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for refused in (table.run("backup", "create", backups.path, "--json"), run(*prune)):
            assert refused.expect(LOCKED).error["kind"] == "locked"
        backups.verify()
    with open(backups.path / "readers", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        run(*prune).expect(LOCKED)
        backups.create(table)
        backups.restore(tmp_path / "restored")
    assert backups.prune(1)["removed"] == [1]


def test_two_creates_at_once_are_both_whole_or_refused(table, rows, backups):
    rows.ingest(table, 300)
    started = [table.start("backup", "create", backups.path, "--json") for _ in range(4)]
    statuses = [(process.communicate(), process.returncode)[1] for process in started]
    assert set(statuses) <= {OK, LOCKED} and OK in statuses
    assert len(backups.list()) == statuses.count(OK)
    backups.verify()


def test_refusals(table, files, rows, backups, tmp_path):
    missing = tmp_path / "none"
    for command in (
        ["list", missing],
        ["verify", missing],
        ["restore", missing, "--into", tmp_path / "x"],
        ["prune", missing, "--keep-last", 1],
    ):
        assert run("backup", *command, "--json").expect(NOT_FOUND).error["kind"] == "not_found"
    run("backup", "create", backups.path, "--db", missing).expect(NOT_FOUND)
    assert not missing.exists() and not backups.path.exists()
    rows.ingest(table, 20)
    backups.create(table)
    run("backup", "verify", backups.path, 9).expect(USAGE)
    run("backup", "restore", backups.path, 9, "--into", tmp_path / "x").expect(USAGE)
    run("backup", "prune", backups.path, "--keep-last", 0).expect(USAGE)
    for rate in ("", "0", "-1", "fast", "5X", "1.5M", "99999999999999999999"):
        table.run("backup", "create", backups.path, f"--rate={rate}").expect(USAGE)
    # Somewhere that is not free.
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").write_text("mine")
    for place in (occupied, occupied / "file", table.path):
        refused = run("backup", "restore", backups.path, "--into", place, "--json")
        assert "there already" in refused.expect(FAILED).error["error"]
    for place in (occupied, table.path):
        table.run("backup", "create", place).expect(FAILED)
    assert [path.name for path in occupied.iterdir()] == ["file"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert backups.restore(empty).info("t")["rows"] == 20
    # Another database's backups do not get mixed with these.
    other = Database(tmp_path / "other").init()
    assert "another database" in other.run("backup", "create", backups.path).expect(
        FAILED
    ).stderr.decode()
    table.check()
    backups.verify()
    assert len(backups.list()) == 1


def test_a_newer_format_is_refused(table, rows, backups, tmp_path):
    rows.ingest(table, 20)
    backups.create(table)
    marker = backups.path / "graddb-backups"
    marker.write_text(marker.read_text().replace('"format_version":1', '"format_version":2'))
    for command in (["list"], ["verify"], ["restore", "--into", tmp_path / "x"]):
        done = run("backup", command[0], backups.path, *command[1:], "--json")
        assert done.expect(13).error["kind"] == "format_too_new"
    table.run("backup", "create", backups.path).expect(13)


def test_no_space(table, rows, tmp_path):
    rows.ingest(table, 6000)
    with small_file_system(tmp_path / "small", 1) as small:
        backups = Backups(small / "backups")
        for _ in range(2):
            failed = table.run("backup", "create", backups.path, "--json").expect(IO)
            assert "space" in failed.error["error"] and failed.stdout == b""
        run("backup", "list", backups.path).expect()
    with small_file_system(tmp_path / "larger", 6) as larger:
        backups = Backups(larger / "backups")
        backups.create(table)
        target = larger / "restored"
        failed = run("backup", "restore", backups.path, "--into", target, "--json").expect(IO)
        assert "space" in failed.error["error"]
        assert sorted(path.name for path in larger.iterdir()) == ["backups"]
        backups.verify()
    table.check()


def test_damage_of_the_database_is_not_backed_up(table, rows, backups):
    rows.ingest(table, 200)
    backups.create(table)
    rows.ingest(table, 200)
    large = [path for path in table.path.glob("*.sst") if path.stat().st_size > 200 * DIMS]
    newest = max(large, key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    failed = table.run("backup", "create", backups.path, "--json").expect(CORRUPT)
    assert "block (table 1, segment" in failed.error["error"]
    assert len(backups.list()) == 1
    backups.verify()


def test_full_writes_damaged_objects_anew(table, rows, backups, tmp_path):
    rows.ingest(table, 200)
    backups.create(table)
    for family in ("blocks", "rows", "fields", "catalog"):
        path = next(path for path in backups.objects if path.suffix == f".{family}")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    problems, _ = backups.verify(expect=CORRUPT)
    assert len(problems) == 4
    assert backups.create(table)["copied_objects"] == 0
    assert backups.create(table, "--full")["copied_objects"] == 4
    backups.verify()
    backups.restore(tmp_path / "restored", 1).check()


def test_rsync_of_a_directory_is_a_backup_directory(table, rows, backups, tmp_path):
    if shutil.which("rsync") is None:
        pytest.skip("there is no rsync here")
    rows.ingest(table, 100)
    backups.create(table)
    copy = Backups(tmp_path / "mirror")
    for _ in range(2):
        subprocess.run(["rsync", "-a", f"{backups.path}/", f"{copy.path}/"], check=True)
        copy.verify()
        rows.ingest(table, 10)
        backups.create(table)
    assert len(copy.list()) == 2
