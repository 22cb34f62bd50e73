"""Flipped bits, cut-off files and mutated manifests of backups: verify finds them, and says which
backups need what is damaged; restore refuses them, and leaves nothing."""

import json
import random
import resource
import shutil
import subprocess

import pytest

from backups import FIELDS, Backups, Rows, answers, sealed_manifest
from gradient_files import Files
from graddb import CORRUPT, GRADCTL, SCALE, Database, environment, run

DIMS = 300
FLIPS, TRUNCATIONS, MUTATIONS = 2 * SCALE, 2 * SCALE, 60 * SCALE


@pytest.fixture(scope="module")
def sound(gradctl, tmp_path_factory):
    """A directory with three backups; what the second one holds."""
    directory = tmp_path_factory.mktemp("backup-damage")
    database = Database(directory / "db").init()
    database.create("t", [f"grad:{DIMS}:int8", "b:64:bit"], FIELDS, row_group=64)
    files = Files(directory)
    rows = Rows(files, DIMS, 11)
    backups = Backups(directory / "backups")
    for count in (90, 70, 10):
        vectors = rows.random.standard_normal((count, DIMS))
        tensors = files.tensors("v.safetensors", {"grad": vectors, "b": vectors[:, :64]})
        metadata = files.metadata("m.jsonl", [{"id": id, "part": 1} for id in rows.ids(count)])
        database.ingest("t", tensors, checkpoint="c", metadata=metadata)
        backups.create(database)
    return backups


@pytest.fixture
def backups(sound, tmp_path):
    copy = Backups(tmp_path / "backups")
    shutil.copytree(sound.path, copy.path)
    return copy


def one_of_each_kind(backups):
    """A manifest, and an object of each family."""
    kinds = {path.suffix: path for path in backups.objects}
    assert set(kinds) == {".catalog", ".rows", ".fields", ".blocks"}
    return [backups.manifests[1], *kinds.values()]


def dependants(backups, path):
    """Numbers of the backups whose manifests name an object."""
    return [
        number + 1
        for number, manifest in enumerate(backups.manifests)
        if path.name.encode() in manifest.read_bytes()
    ]


def expect_found(backups, path, tmp_path):
    """The file at `path` is damaged: verify says so, and restore refuses each backup it is of."""
    problems, _ = backups.verify(expect=CORRUPT)
    if path.suffix == ".jsonl":
        needing = [int(path.stem)]
        assert any(p["object"] is None and p["backups"] == needing for p in problems), problems
        listed = run("backup", "list", backups.path, "--json").expect(CORRUPT).lines
        assert [("problem" in line) for line in listed] == [n in needing for n in (3, 2, 1)]
        prune = run("backup", "prune", backups.path, "--keep-last", 2, "--json")
        assert prune.expect(CORRUPT).error["kind"] == "corrupt"
        assert len(backups.manifests) == 3
    else:
        needing = dependants(backups, path)
        (problem,) = problems
        assert problem["object"] == path.name and problem["backups"] == needing
        assert path.name in problem["problem"]
    place = tmp_path / "restored"
    for number in (1, 2, 3):
        if number in needing:
            failed = run("backup", "restore", backups.path, number, "--into", place, "--json")
            assert failed.expect(CORRUPT).error["kind"] == "corrupt" and failed.stdout == b""
            assert not list(tmp_path.glob("restored*"))
        else:
            backups.verify(number)


def test_every_flipped_bit_is_found(backups, tmp_path, seed):
    chance = random.Random(f"{seed} backup flips")
    for path in one_of_each_kind(backups):
        sound = path.read_bytes()
        places = {chance.randrange(len(sound)) for _ in range(FLIPS)}
        for place in places | {chance.randrange(16), len(sound) - 1 - chance.randrange(8)}:
            data = bytearray(sound)
            data[place] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
            expect_found(backups, path, tmp_path)
        path.write_bytes(sound)
    backups.verify()


def test_every_truncation_is_found(backups, tmp_path, seed):
    chance = random.Random(f"{seed} backup truncations")
    for path in one_of_each_kind(backups):
        sound = path.read_bytes()
        cuts = list(range(0, len(sound), 512))
        if len(cuts) > TRUNCATIONS:
            cuts = chance.sample(cuts, TRUNCATIONS)
        for cut in {*cuts, len(sound) - 1}:
            path.write_bytes(sound[:cut])
            expect_found(backups, path, tmp_path)
        path.write_bytes(sound + b"\0")
        expect_found(backups, path, tmp_path)
        path.unlink()
        if path.suffix != ".jsonl":
            expect_found(backups, path, tmp_path)
        path.write_bytes(sound)
    backups.verify()


def test_objects_that_change_places_are_found(backups, tmp_path):
    """Each of them is sound, but not what its name says."""
    for suffix in (".rows", ".blocks", ".fields"):
        first, second = [path for path in backups.objects if path.suffix == suffix][:2]
        sound = first.read_bytes()
        first.write_bytes(second.read_bytes())
        expect_found(backups, first, tmp_path)
        first.write_bytes(sound)


def limited(*arguments):
    """Runs gradctl with 3 GiB of address space, and fails if a signal ended it."""
    gibibytes = 3 << 30
    done = subprocess.run(
        [str(GRADCTL), *map(str, arguments)],
        capture_output=True,
        env=environment(),
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (gibibytes, gibibytes)),
    )
    assert done.returncode >= 0, (arguments, done)
    return done


HOSTILE = [
    b"",
    b"{}",
    b"[" * 5000,
    b'{"a":' * 2000,
    b'{"object":"../../../../etc/passwd","bytes":1,"checksum":"0123456789abcdef"}',
    b'{"object":"0123456789abcdef-18446744073709551615.rows","bytes":18446744073709551615,'
    b'"checksum":"0123456789abcdef"}',
    b'{"object":"0123456789abcdef-1.rows","bytes":-1,"checksum":"0123456789abcdef"}',
    b'{"object":1,"bytes":"x","checksum":null}',
    b"\xff\xfe" * 100,
]


def test_sizes_that_no_sum_has_room_for(backups, tmp_path):
    path = backups.manifests[2]
    *lines, last, _ = path.read_bytes().splitlines()
    last = json.loads(last)
    sizes = [json.loads(line).get("bytes", 0) for line in lines]
    for index in [i for i, line in enumerate(lines) if line.startswith(b'{"object":')][:2]:
        document = json.loads(lines[index])
        document["bytes"] = (1 << 64) - 1
        changed = [*lines[:index], json.dumps(document, separators=(",", ":")).encode(), *lines[index + 1 :]]
        total = (sum(sizes) - sizes[index] + document["bytes"]) % (1 << 64)
        summary = dict(last, bytes=total)
        path.write_bytes(sealed_manifest([*changed, json.dumps(summary).encode()]))
        assert limited("backup", "verify", backups.path, 3).returncode == 12
        assert limited("backup", "restore", backups.path, 3, "--into", tmp_path / "r").returncode == 12
        assert not (tmp_path / "r").exists()


def test_mutated_manifests_with_right_checksums(backups, tmp_path, seed):
    """Whoever made them: no crash, no hang, no memory without bounds, nothing at the target."""
    chance = random.Random(f"{seed} manifests")
    path = backups.manifests[2]
    *lines, last, _ = path.read_bytes().splitlines()
    last = json.loads(last)
    others = backups.manifests[0].read_bytes().splitlines()[:-2]
    place = tmp_path / "restored"
    for number in range(MUTATIONS):
        changed = list(lines)
        kind = number % 6
        index = chance.randrange(len(changed))
        if kind == 0:
            changed[index] = chance.choice(HOSTILE)
        elif kind == 1:
            del changed[index]
        elif kind == 2:
            chance.shuffle(changed)
        elif kind == 3:
            changed.insert(index, chance.choice(changed + others))
        elif kind == 4:
            line = bytearray(changed[index])
            for _ in range(chance.randrange(1, 4)):
                line[chance.randrange(len(line))] = chance.randrange(256)
            changed[index] = bytes(line).replace(b"\n", b" ")
        else:
            head = json.loads(changed[0])
            key = chance.choice(list(head))
            head[key] = chance.choice([None, -1, 1 << 70, "x" * 1000, [], {}, [[[]]], 1.5])
            changed[0] = json.dumps(head).encode()
        count = sum(line.startswith(b'{"object":') for line in changed)
        size = 0
        for line in changed:
            try:
                size += int(json.loads(line)["bytes"])
            except (ValueError, KeyError, TypeError, RecursionError):
                pass
        summary = dict(last, objects=count, bytes=size % (1 << 64))
        path.write_bytes(sealed_manifest([*changed, json.dumps(summary).encode()]))
        verified = limited("backup", "verify", backups.path, 3, "--json")
        assert verified.returncode in (0, 12, 13), verified
        restored = limited("backup", "restore", backups.path, 3, "--into", place)
        assert restored.returncode in (0, 12, 13), restored
        if restored.returncode == 0:
            # What it names is there and sound, so this is a database, whatever it lacks.
            assert Database(place).run("info").status in (0, 12)
            shutil.rmtree(place)
        assert not list(tmp_path.glob("restored*"))
        assert limited("backup", "list", backups.path, "--json").returncode in (0, 12, 13)


def test_the_marker_is_not_believed_blindly(backups, tmp_path):
    marker = backups.path / "graddb-backups"
    for content in (b"", b"{", b"[]", b'{"format": "other", "format_version": 1, "database": ""}'):
        marker.write_bytes(content)
        for command in (["list"], ["verify"], ["restore", "--into", tmp_path / "x"]):
            done = run("backup", command[0], backups.path, *command[1:], "--json")
            assert done.expect(CORRUPT).error["kind"] == "corrupt"
