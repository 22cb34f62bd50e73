"""Export and import: the same content under another roof, or a clear refusal."""

import ctypes
import json
import random
import resource
import shutil
import subprocess
import time

import numpy as np
import pytest

from backups import FIELDS, Rows, checksum
from gradient_files import Files
from graddb import (
    BAD_INPUT,
    FAILED,
    GRADCTL,
    INTERRUPTED,
    IO,
    NOT_FOUND,
    SCALE,
    USAGE,
    Database,
    environment,
    finish,
    wait_for_exit,
)
from mounts import small_file_system

DIMS = 300
FLIPS, TRUNCATIONS, KILLS, MUTATIONS = 25 * SCALE, 10 * SCALE, 6 * SCALE, 150 * SCALE


def contents(database, table, query, snapshot=None):
    """All that a snapshot answers, by id: two that agree hold the same rows and vectors."""
    at = "" if snapshot is None else f"AT {snapshot}"
    seen = {}
    for checkpoint in ("c", "d"):
        statement = (
            f"SELECT id, part, text, score FROM {table} {at} SCORE dot TO '{query}' EACH "
            f"ACROSS '{checkpoint}' ALL"
        )
        rows = [json.loads(line) for line in database.query_result(statement).text.splitlines()]
        seen[checkpoint] = sorted(
            (row["query"], str(row["id"]), row["score"], row["part"], row["text"]) for row in rows
        )
    return seen


class Scene:
    """A database whose table has a history: deletes, a recode, a compaction, tags."""

    def __init__(self, directory):
        self.directory = directory
        self.files = files = Files(directory)
        self.database = database = Database(directory / "db").init()
        layers = [f"grad:{DIMS}:int8", "head:33:f16+bit", "wide:5000:bit"]
        database.create("t", layers, FIELDS, row_group=32)
        rows = Rows(files, DIMS, 21)
        self.ids = rows.ids(200)
        parts = [(0, 80, "c"), (80, 150, "c"), (0, 120, "d"), (150, 200, "c")]
        for number, (first, end, checkpoint) in enumerate(parts):
            tensors = {
                name: rows.random.standard_normal((end - first, dims)).astype(np.float32)
                for name, dims in (("grad", DIMS), ("head", 33), ("wide", 5000))
            }
            described = [
                {"id": id, "part": number % 3 or None, "text": f"ünï {id[:3]}"}
                for id in self.ids[first:end]
            ]
            if checkpoint == "d":
                described = [{"id": row["id"]} for row in described]
            database.ingest(
                "t",
                files.tensors(f"{number}.safetensors", tensors),
                checkpoint=checkpoint,
                step=7 if checkpoint == "d" else None,
                weight=0.25 if checkpoint == "d" else None,
                metadata=files.metadata(f"{number}.jsonl", described),
            )
            if number == 2:
                forget = files.write("forget", "".join(f"{id}\n" for id in self.ids[10:140:7]))
                database.json("delete", "t", "--ids", forget)
                database.json("tag", "t", "cleaned")
        database.recode("t", "int4", layer="grad", beside=True)
        self.query = files.tensors("q.safetensors", {k: v[:2] for k, v in tensors.items()})
        self.snapshots = {line["snapshot"]: line for line in database.snapshots("t")}
        self.archive = directory / "t.gdba"
        self.done = database.json("export", "t", "--out", self.archive).line
        self.sound = self.archive.read_bytes()

    def fresh(self, name="new"):
        path = self.directory / name
        shutil.rmtree(path, ignore_errors=True)
        return Database(path).init()


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("archive"))


def test_every_snapshot_comes_back_with_its_hash(scene, tmp_path):
    """Also into the database that it came from, beside the table itself."""
    target = Database(tmp_path / "db").init()
    for number, snapshot in scene.snapshots.items():
        archive = tmp_path / f"{number}.gdba"
        done = scene.database.json("export", "t", "--at", number, "--out", archive).line
        assert done["hash"] == snapshot["hash"] and done["rows"] == snapshot["rows"]
        assert done["bytes"] == archive.stat().st_size and done["snapshot"] == number
        for database in (target, scene.database):
            name = f"t{number}"
            made = database.json("import", archive, "--as", name).line
            assert made["hash"] == snapshot["hash"] and made["vectors"] == done["vectors"]
            (line,) = database.snapshots(name)
            assert line["hash"] == snapshot["hash"] and line["operation"] == "import"
            assert (line["rows"], line["deleted"]) == (snapshot["rows"], 0)
            assert database.info(name)["rows"] == snapshot["rows"]
        if "d" in [checkpoint["name"] for checkpoint in target.info(name)["checkpoints"]]:
            theirs = contents(target, name, scene.query)
            assert theirs == contents(scene.database, "t", scene.query, number)
    target.check()
    scene.database.check()
    info, other = scene.database.info("t"), target.info(f"t{max(scene.snapshots)}")
    for key in ("unit", "layers", "fields", "row_group", "checkpoints", "rows"):
        assert info[key] == other[key], key
    assert target.info("t4")["tags"] == {"cleaned": 1}
    # An imported table is a table like any other.
    again = target.json("export", "t4", "--out", tmp_path / "again.gdba").line
    assert again["hash"] == scene.snapshots[4]["hash"]
    target.json("delete", "t4", "--where", "part = 1")
    target.json("compact", "t4", "--all")
    target.check()


def test_what_is_deleted_is_not_in_an_archive(database, files, tmp_path):
    database.create("t", ["grad:8:f32"], ["text:string"])
    marker = "a secret that nobody else has"
    rows = [{"id": f"r{i}", "text": marker if i == 3 else "x"} for i in range(6)]
    vectors = np.arange(48, dtype=np.float32).reshape(6, 8) * 1.2345
    database.ingest(
        "t", files.grad("v.safetensors", vectors), checkpoint="c",
        metadata=files.metadata("m.jsonl", rows),
    )
    for deleted in (False, True):
        if deleted:
            database.json("delete", "t", "--where", f"text = '{marker}'")
        archive = tmp_path / "a.gdba"
        database.json("export", "t", "--out", archive)
        plain = decompressed(archive.read_bytes())
        assert (marker.encode() in plain) != deleted
        assert (vectors[3].tobytes() in plain) != deleted
        assert vectors[4].tobytes() in plain


def test_streams(scene, tmp_path):
    piped = scene.database.run("export", "t", "at", "4", "--out", "-").expect()
    target = scene.fresh("stream")
    made = target.run("import", "-", "--json", stdin=piped.stdout).expect().line
    assert made["table"] == "t" and made["hash"] == scene.snapshots[4]["hash"]
    assert target.info("t")["tags"] == {"cleaned": 1}
    target.check()


def test_an_empty_table_and_a_table_of_tokens(database, files, tmp_path):
    database.create("e", ["grad:8:int8"], ["n:int"], unit="token")
    archive = tmp_path / "e.gdba"
    done = database.json("export", "e", "--out", archive).line
    assert (done["snapshot"], done["rows"], done["vectors"]) == (0, 0, 0)
    made = database.json("import", archive, "--as", "f").line
    assert made["hash"] == done["hash"] and database.info("f")["unit"] == "token"
    database.ingest("f", files.grad("v.safetensors", np.ones((3, 8))), checkpoint="c")
    done = database.json("export", "f", "--out", archive).line
    assert database.json("import", archive, "--as", "g").line["hash"] == done["hash"]
    database.check()


def test_refusals(scene, tmp_path):
    target = scene.fresh("refusals")
    state = target.info()
    target.json("import", scene.archive, "--as", "mine")
    taken = target.run("import", scene.archive, "--as", "mine", "--json").expect(FAILED)
    assert "--as" in taken.error["error"]
    target.run("import", scene.archive, "--as", "no name").expect(USAGE)
    target.run("import", tmp_path / "none").expect(BAD_INPUT)
    target.run("import", tmp_path).expect(BAD_INPUT)
    assert len(target.info()["tables"]) == len(state["tables"]) + 1
    export = ["export", "t", "--out", tmp_path / "x"]
    scene.database.run("export", "none", "--out", tmp_path / "x").expect(NOT_FOUND)
    for wrong in (["--at", "99"], ["--at", "untagged"], ["--at", "1", "extra"]):
        scene.database.run(*export, *wrong).expect(USAGE)
    scene.database.run("export", "t", "at", "1", "--at", "2", "--out", tmp_path / "x").expect(USAGE)
    scene.database.run("export", "t", "--out", "-", "--json").expect(USAGE)
    scene.database.run("export", "t", "--out", tmp_path).expect(IO)
    scene.database.run("export", "t", "--out", tmp_path / "no" / "x").expect(IO)
    assert list(tmp_path.iterdir()) == []


def limited(database, *arguments):
    """Runs gradctl with 3 GiB of address space, and fails if a signal ended it."""
    gibibytes = 3 << 30
    done = subprocess.run(
        [str(GRADCTL), *map(str, arguments), "--json", "--db", database.path],
        capture_output=True,
        env=environment(),
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (gibibytes, gibibytes)),
    )
    assert done.returncode >= 0, (arguments, done)
    return done


def expect_refused(database, path):
    done = limited(database, "import", path)
    assert done.returncode == BAD_INPUT, done
    error = json.loads(done.stderr.decode().rstrip("\n").split("\n")[-1])
    assert error["kind"] == "bad_input" and path.name in error["error"]
    assert done.stdout == b""


def test_damaged_archives_are_refused_and_leave_nothing(scene, tmp_path, seed):
    chance = random.Random(f"{seed} archive")
    target = scene.fresh("damaged")
    before = target.json("info").line["tables"]
    path = tmp_path / "damaged.gdba"
    places = [chance.randrange(len(scene.sound)) for _ in range(FLIPS)]
    places += list(range(8)) + [len(scene.sound) - 1 - i for i in range(8)]
    for place in places:
        data = bytearray(scene.sound)
        data[place] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        done = limited(target, "import", path)
        if done.returncode == 0:
            # A bit that zstd gives no meaning: the content, then, is the right one.
            assert json.loads(done.stdout)["hash"] == scene.done["hash"] and place < 8
            target = scene.fresh("damaged")
            continue
        assert done.returncode == BAD_INPUT and b'"bad_input"' in done.stderr, (place, done)
    cuts = {chance.randrange(len(scene.sound)) for _ in range(TRUNCATIONS)}
    for cut in cuts | {0, 1, 3, 9, len(scene.sound) - 1, len(scene.sound) - 4}:
        path.write_bytes(scene.sound[:cut])
        expect_refused(target, path)
    for content in (scene.sound + b"\0", scene.sound * 2, b"not an archive", b"\x28\xb5\x2f\xfd"):
        path.write_bytes(content)
        expect_refused(target, path)
    assert target.json("info").line["tables"] == before == []
    assert not list((target.path / "staging").glob("*"))
    target.check()
    target.json("import", scene.archive)


zstd = ctypes.CDLL("libzstd.so.1")
for function in (zstd.ZSTD_decompress, zstd.ZSTD_compress, zstd.ZSTD_compressBound):
    function.restype = ctypes.c_size_t


def decompressed(data):
    room = ctypes.create_string_buffer(16 << 20)
    size = zstd.ZSTD_decompress(room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)))
    assert size < len(room)
    return room.raw[:size]


def compressed(data):
    room = ctypes.create_string_buffer(len(data) + len(data) // 100 + 1024)
    size = zstd.ZSTD_compress(
        room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), ctypes.c_int(1)
    )
    return room.raw[:size]


def records_of(archive):
    """Kinds and payloads; the checksums are those of the specification."""
    data, at, records = decompressed(archive), 0, []
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at + 1 : at + 9], "little")
        assert int.from_bytes(data[end : end + 8], "little") == checksum(data[at:end])
        records.append((data[at], data[at + 9 : end]))
        at = end + 8
    return records


def archive_of(records):
    data = b""
    for kind, payload in records:
        record = bytes([kind]) + len(payload).to_bytes(8, "little") + payload
        data += record + checksum(record).to_bytes(8, "little")
    return compressed(data)


HOSTILE = [None, -1, 0, 1 << 30, 1 << 53, 1 << 64, 1e308, "", "x" * 3000, "\0", [], {}, [[]], True]


def mutated_json(payload, chance):
    """A document in which one value, anywhere, is another one."""
    document = json.loads(payload)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = chance.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        if isinstance(place, list) and chance.random() < 0.3:
            place.append(place[key])
        elif chance.random() < 0.2:
            del place[key]
        else:
            place[key] = chance.choice(HOSTILE)
        return json.dumps(document).encode()


def mutated(records, chance):
    records = list(records)
    index = chance.randrange(len(records))
    kind, payload = records[index]
    choice = chance.randrange(7)
    if choice < 3 and kind in (1, 4):
        payload = mutated_json(payload, chance)
    elif choice == 3:
        records.insert(chance.randrange(len(records) + 1), chance.choice(records))
        return records
    elif choice == 4:
        del records[index]
        return records
    elif choice == 5:
        kind = chance.randrange(256)
    else:
        payload = bytearray(payload)
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(min(len(payload), 64) if chance.random() < 0.5 else len(payload))
            payload[place] = chance.choice([0, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            payload = payload[: chance.randrange(len(payload) + 1)]
    records[index] = (kind, bytes(payload))
    return records


def test_mutated_archives_with_right_checksums(database, files, tmp_path, seed):
    """Whoever made them: no crash, no hang, no memory without bounds, no half table."""
    chance = random.Random(f"{seed} archives")
    database.create("t", ["a:9:int8+bit", "b:5:f32"], ["n:int", "s:string", "f:float", "y:bool"], 4)
    vectors = np.random.default_rng(8).standard_normal((10, 9))
    described = [
        {"id": f"i{i}", "n": i, "s": "abc"[: i % 4], "f": i / 3, "y": i % 2 == 0} for i in range(10)
    ]
    for checkpoint in ("c", "d"):
        database.ingest(
            "t",
            files.tensors("v.safetensors", {"a": vectors, "b": vectors[:, :5]}),
            checkpoint=checkpoint,
            metadata=files.metadata("m.jsonl", described),
        )
    sound = tmp_path / "sound.gdba"
    done = database.json("export", "t", "--out", sound).line
    records = records_of(sound.read_bytes())
    assert [kind for kind, _ in records] == [1, 2, 3, 3, 3, 3, 3, 3, 4]
    path = tmp_path / "mutated.gdba"
    made = 0
    for number in range(MUTATIONS):
        path.write_bytes(archive_of(mutated(records, chance)))
        result = limited(database, "import", path, "--as", f"m{number}")
        assert result.returncode in (0, BAD_INPUT, 13), (number, result)
        made += result.returncode == 0
    assert len(database.info()["tables"]) == 1 + made
    database.check()
    assert database.json("import", sound, "--as", "again").line["hash"] == done["hash"]


@pytest.mark.parametrize("place, number", [(0, "<f4"), (4, "<f4"), (8, "<f8")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_statistics_that_no_ingest_stores(database, files, tmp_path, place, number, value):
    """With right checksums: scale, residual norm and squared norm of a row."""
    database.create("t", ["a:9:int8"])
    vectors = np.random.default_rng(8).standard_normal((3, 9))
    database.ingest("t", files.tensors("v.safetensors", {"a": vectors}), checkpoint="c")
    path = tmp_path / "t.gdba"
    database.json("export", "t", "--out", path)
    records = records_of(path.read_bytes())
    (index,) = [index for index, (kind, _) in enumerate(records) if kind == 3]
    payload = bytearray(records[index][1])
    # Behind two numbers of four bytes and the rows: the second row's statistics.
    start = 8 + 3 * 8 + 16 + place
    payload[start : start + int(number[2])] = np.array(value, number).tobytes()
    records[index] = (3, bytes(payload))
    path.write_bytes(archive_of(records))
    result = limited(database, "import", path, "--as", "u")
    assert result.returncode == BAD_INPUT and b"no number" in result.stderr, result
    assert len(database.info()["tables"]) == 1


def test_killed_imports_leave_nothing(scene, seed):
    chance = random.Random(f"{seed} import")
    target = scene.fresh("killed")
    started = time.monotonic()
    target.json("import", scene.archive, "--as", "timed")
    seconds = time.monotonic() - started
    for number in range(KILLS):
        process = target.start("import", scene.archive, "--as", f"k{number}", "--json")
        time.sleep(seconds * 1.1 * (number + chance.random()) / KILLS)
        process.kill()
        acknowledged = finish(process).stdout
        names = [table["table"] for table in target.info()["tables"]]
        assert f"k{number}" in names or not acknowledged
        target.check()
        if f"k{number}" not in names:
            target.json("import", scene.archive, "--as", f"k{number}")
        (line,) = target.snapshots(f"k{number}")
        assert line["hash"] == scene.done["hash"]
    target.check()


def test_an_interrupted_import_leaves_nothing(scene):
    target = scene.fresh("interrupted")
    process = target.start("import", "-", "--json")
    process.stdin.write(scene.sound[: len(scene.sound) // 2])
    process.stdin.flush()
    time.sleep(0.2)
    process.terminate()
    wait_for_exit(process)
    assert finish(process).expect(INTERRUPTED).error["kind"] == "interrupted"
    assert target.info()["tables"] == []
    target.json("import", scene.archive)
    target.check()


def test_a_large_import_killed_after_it_has_spilled(database, files, tmp_path):
    """Records that were written ahead, of a table that is not there, are removed."""
    database.create("t", ["grad:8:int8"], ["text:string", "n:int"])
    count = 48
    described = [{"id": f"row-{i}", "n": i, "text": f"{i:04x}" * (1 << 18)} for i in range(count)]
    vectors = np.random.default_rng(1).standard_normal((count, 8))
    database.ingest(
        "t", files.grad("v.safetensors", vectors), checkpoint="c",
        metadata=files.metadata("m.jsonl", described),
    )
    archive = tmp_path / "t.gdba"
    done = database.json("export", "t", "--out", archive).line
    target = Database(tmp_path / "target").init()
    process = target.start("import", "-", "--json")
    data = archive.read_bytes()
    process.stdin.write(data[:-10])
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while logged_bytes(target) < 32 << 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert logged_bytes(target) >= 32 << 20
    process.kill()
    finish(process)
    assert target.info()["tables"] == []
    assert target.json("import", archive).line["hash"] == done["hash"]
    target.check()
    assert answers_of(target) == answers_of(database)


def logged_bytes(database):
    """What has been written ahead, in the log or flushed already."""
    written = [*database.path.glob("*.log"), *database.path.glob("*.sst")]
    return sum(path.stat().st_size for path in written)


def answers_of(database):
    statement = "SELECT id, n, score FROM t SCORE dot TO ROW 'row-7' TOP 48"
    return database.query_result(statement).stdout


def test_no_space(scene, tmp_path):
    with small_file_system(tmp_path / "small", 1) as small:
        (small / "filling").write_bytes(bytes((1 << 20) - (1 << 16)))
        target = small / "x.gdba"
        failed = scene.database.run("export", "t", "--out", target, "--json")
        assert failed.expect(IO).error["kind"] == "io"
        assert [path.name for path in small.iterdir()] == ["filling"]
    with small_file_system(tmp_path / "little", 24) as little:
        database = Database(little / "db").init()
        (little / "filling").write_bytes(bytes(22 << 20))
        database.run("import", scene.archive, "--json").expect(IO)
        (little / "filling").unlink()
        assert database.info()["tables"] == []
        database.json("import", scene.archive)
        database.check()
