"""gradctl precondition: building, listing, removing, refusing; what snapshots have, what damage does.

What is stored is read by the second reader (tools/reader) and held against numpy's dense algebra. Scores are
in test_precondition_scores.py.
"""

import json
import shutil
import signal
import sys
import time

import numpy as np
import pytest
from graddb import (
    BAD_INPUT,
    CORRUPT,
    FAILED,
    INTERRUPTED,
    NOT_FOUND,
    REPOSITORY,
    SCALE,
    USAGE,
    Database,
    environment,
    finish,
    wait_for_exit,
)
from gradient_files import Files
from preconditioning import arguments, matrix, squared_norms

sys.path.insert(0, str(REPOSITORY / "tools" / "reader"))

from database import Database as Reader  # noqa: E402

DIMS = {"a": 300, "b": 17}
ROWS = 90


def vectors(seed, rows=ROWS):
    """Gradients with a few strong directions, as real ones have."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, dims in DIMS.items():
        scales = 3.0 / np.sqrt(np.arange(1, dims + 1))
        found[name] = (rng.standard_normal((rows, dims)) * scales).astype(np.float32)
    return found


@pytest.fixture
def table(database, files):
    """The table t with two checkpoints; what they hold."""
    database.create("t", [f"{name}:{dims}:f32" for name, dims in DIMS.items()], row_group=16)
    given = {}
    for seed, checkpoint in enumerate("cd"):
        given[checkpoint] = vectors(seed)
        database.ingest("t", files.tensors("v.safetensors", given[checkpoint]), checkpoint=checkpoint)
    return given


def build(database, name="p", **options):
    return database.json(*arguments(name, **options)).line


@pytest.mark.parametrize("kind", ["dense", "diagonal", "woodbury"])
@pytest.mark.parametrize("damping", [None, 1e-3])
def test_matrices_are_those_of_the_rows(database, table, kind, damping):
    """Woodbury with as many directions as gradients is the dense matrix."""
    options = {} if damping is None else {"damping": damping}
    if kind == "woodbury":
        options["rank"] = ROWS
    said = build(database, kind=kind, checkpoint=["d", "c"], **options)
    assert (said["snapshot"], said["rows"], said["preconditioner"]) == (3, 2 * ROWS, "p")
    assert [(part["checkpoint"], part["layer"]) for part in said["layers"]] == [
        ("d", "a"), ("d", "b"), ("c", "a"), ("c", "b")]
    with Reader(database.path) as reader:
        opened = reader.table("t").preconditioner("p")
        for part in said["layers"]:
            name, checkpoint = part["layer"], part["checkpoint"]
            rows = table[checkpoint][name]
            wanted, used = matrix(rows, kind, damping)
            assert part["damping"] == pytest.approx(used, rel=1e-12)
            assert (part["kind"], part["dims"]) == (kind, DIMS[name])
            assert part["rank"] == (min(ROWS, DIMS[name]) if kind == "woodbury" else None)
            stored = opened.part(name, checkpoint)
            assert np.abs(stored.matrix() - wanted).max() < 1e-13 * np.abs(wanted).max()
            norms = opened.norms(checkpoint, name)
            np.testing.assert_allclose(norms, squared_norms(wanted, rows), rtol=1e-9)
    assert database.check()["problems"] == 0


def test_low_ranks_are_near(database, table):
    """0 ≤ GᵀG/n + λI − (H − ρI) ≤ 2ρ I, and ρ ≤ |G|²/(2n(r + 1))."""
    build(database, kind="woodbury", rank=24, damping=0.5, checkpoint="c")
    rows = table["c"]["a"].astype(np.float64)
    with Reader(database.path) as reader:
        stored = reader.table("t").preconditioner("p").part("a", "c")
    assert stored.directions.shape == (24, DIMS["a"])
    np.testing.assert_allclose(stored.directions @ stored.directions.T, np.eye(24), atol=1e-12)
    rho = stored.shift - 0.5
    assert 0 < rho <= (rows**2).sum() / (2 * ROWS * 25)
    lost = np.linalg.eigvalsh(matrix(rows, damping=0.5)[0] - stored.matrix() + rho * np.eye(DIMS["a"]))
    assert lost.min() > -1e-10 and lost.max() < 2 * rho + 1e-10


def test_layers_and_kinds_by_default(database, files):
    database.create("t", ["x.wide:8193:f32", "x.small:8:f32", "y:8192:bit"])
    rng = np.random.default_rng(3)
    database.ingest("t", files.tensors("v.safetensors", {
        name: rng.standard_normal((4, dims)).astype(np.float32)
        for name, dims in (("x.wide", 8193), ("x.small", 8), ("y", 8192))
    }), checkpoint="c")
    parts = build(database, layers="x.*")["layers"]
    assert [(part["layer"], part["kind"], part["rank"]) for part in parts] == [
        ("x.wide", "woodbury", 4), ("x.small", "dense", None)]
    assert [part["layer"] for part in build(database, "q", kind="diagonal")["layers"]] == [
        "x.wide", "x.small", "y"]
    error = database.run(*arguments("r", kind="dense"), "--json").expect(USAGE).error
    assert "8193" in error["error"] and "8192" in error["error"]


def test_listing_and_removing(database, table):
    assert database.json("precondition", "t").lines == []
    first = build(database, "p", layers="b")
    second = build(database, "q", kind="diagonal", tag="v1", message="-diagonal-")
    listed = database.json("precondition", "t").lines
    for said, line in zip((first, second), listed, strict=True):
        assert line["added"] == said.pop("snapshot") and said.pop("seconds") >= 0
        assert {key: value for key, value in line.items() if key != "added"} == said
    assert database.info("t")["preconditioners"] == ["p", "q"]
    assert "p, q" in database.run("info", "t").expect().text
    assert "woodbury" not in database.run("precondition", "t").expect().text
    newest = database.snapshots("t")[0]
    assert (newest["tags"], newest["message"]) == (["v1"], "-diagonal-")
    removed = database.json("precondition", "t", "--name", "p", "--remove").line
    assert removed == {"snapshot": 5, "table": "t", "preconditioner": "p", "removed": True}
    assert [line["preconditioner"] for line in database.json("precondition", "t").lines] == ["q"]
    # A name that was removed is free again; older snapshots keep theirs.
    assert build(database, "p", layers="a")["snapshot"] == 6
    with Reader(database.path) as reader:
        known = [sorted(reader.table("t", snapshot).preconditioners) for snapshot in range(7)]
        assert known == [[], [], [], ["p"], ["p", "q"], ["q"], ["p", "q"]]
        assert reader.table("t", 3).preconditioners["p"] != reader.table("t", 6).preconditioners["p"]
    assert database.check()["problems"] == 0


REFUSALS = [
    ("p", {"layers": "aa"}, USAGE, "did you mean a?"),
    ("p", {"checkpoint": ["c", "e"]}, USAGE, "'e'"),
    ("there", {}, USAGE, "already"),
    ("not so", {}, USAGE, "not so"),
    ("p", {"kind": "fisher"}, USAGE, "woodbury"),
    ("p", {"damping": "-0.5"}, USAGE, "-0.5"),
    ("p", {"damping": "nan"}, USAGE, "nan"),
    ("p", {"damping": "inf"}, USAGE, "inf"),
    ("p", {"kind": "woodbury", "damping": 0}, USAGE, "above 0"),
    ("p", {"kind": "woodbury", "rank": 0}, USAGE, "rank"),
    ("p", {"rank": 5}, USAGE, "rank"),
    ("p", {"damping": 0}, BAD_INPUT, "layer 'a'"),
    ("p", {"remove": True}, USAGE, "'p'"),
    ("ther", {"remove": True}, USAGE, "did you mean there?"),
    ("there", {"remove": True, "rank": 3}, USAGE, "--remove"),
]


@pytest.mark.parametrize("name, options, status, word", REFUSALS)
def test_refusals_change_nothing(database, table, name, options, status, word):
    build(database, "there", layers="b", kind="diagonal")
    before = database.state("t")
    error = database.run(*arguments(name, **options), "--json").expect(status).error
    assert word in error["error"]
    assert database.state("t") == before
    assert database.check()["problems"] == 0


def test_empty_and_unknown_tables(database):
    database.create("t", ["a:4:f32"])
    assert "no rows" in database.run(*arguments("p")).expect(FAILED).stderr.decode()
    database.run("precondition", "u", "--name", "p").expect(NOT_FOUND)
    database.run("precondition", "u").expect(NOT_FOUND)
    database.run("precondition", "t", "--kind", "dense").expect(USAGE)


def test_without_openblas(database, table, tmp_path):
    """A library of that name that is none: one clear error, and nothing has changed."""
    before = database.state("t")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libopenblas.so.0").write_bytes(b"not a library")
    result = database.run(*arguments("p"), "--json", env=environment(LD_LIBRARY_PATH=tmp_path / "lib"))
    assert "libopenblas" in result.expect(FAILED).error["error"]
    assert database.state("t") == before


def flip(path, places):
    """Flips a bit of one of the bytes; which."""
    data = bytearray(path.read_bytes())
    data[places[len(places) // 2]] ^= 4
    path.write_bytes(data)


def test_check_finds_a_flipped_byte(database, table):
    """In the numbers of a part, wherever RocksDB has put them."""
    with_it = build(database, checkpoint="c", layers="a")
    assert with_it["bytes"] > 300_000
    files = sorted(database.path.glob("*.sst"), key=lambda path: path.stat().st_size)
    holders = [path for path in files if path.stat().st_size > 200_000]
    assert holders
    found = 0
    for path in holders:
        whole = path.read_bytes()
        flip(path, range(len(whole)))
        lines = database.run("check", "--deep", "--json").expect(CORRUPT).lines
        found += any("preconditioner 'p'" in line.get("problem", "") or "fields" in line.get("problem", "")
                     for line in lines)
        path.write_bytes(whole)
    assert found and database.check()["problems"] == 0


KILLS = 12 * SCALE


def stored_keys(database):
    """How many values of preconditioners there are, live ones."""
    with Reader(database.path) as reader:
        return sum(key[4] in (3, 4) for key, _ in reader.store.scan("fields"))


class Scene:
    """A table, and a preconditioner to be killed: how long it takes, what it leads to."""

    def __init__(self, directory):
        self.directory, files = directory, Files(directory)
        self.base = Database(directory / "base").init()
        self.base.create("t", ["a:1500:f32", "b:300:f32"], row_group=64)
        rng = np.random.default_rng(8)
        rows = {"a": rng.standard_normal((200, 1500)).astype(np.float32),
                "b": rng.standard_normal((200, 300)).astype(np.float32)}
        self.base.ingest("t", files.tensors("v.safetensors", rows), checkpoint="c")
        self.base.json(*arguments("there", layers="b", kind="diagonal"))
        self.state, self.keys = self.base.state("t"), stored_keys(self.base)
        finished = self.copy(directory / "finished")
        started = time.monotonic()
        finished.json(*arguments("p"))
        self.seconds, self.all_keys = time.monotonic() - started, stored_keys(finished)

    def copy(self, path):
        return Database(shutil.copytree(self.base.path, path))


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("precondition"))


@pytest.fixture
def victim(scene, tmp_path):
    database = scene.copy(tmp_path / "victim")
    yield database
    shutil.rmtree(database.path)


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_while_building(scene, victim, number):
    """kill -9 at moments spread over the whole run: the old state whole, or the new one."""
    process = victim.start(*arguments("p"), "--json")
    time.sleep(scene.seconds * (number + 0.5) / KILLS * 1.1)
    process.kill()
    acknowledged = finish(process).stdout.endswith(b"\n")
    landed = "p" in victim.info("t")["preconditioners"]
    assert landed or not acknowledged
    assert landed or victim.state("t") == scene.state
    victim.check()
    if landed:
        victim.run(*arguments("p")).expect(USAGE)
    else:
        victim.json("tag", "t", "v1")  # a writer cleans up
        assert stored_keys(victim) == scene.keys
        victim.json(*arguments("p"))
    assert stored_keys(victim) == scene.all_keys
    assert victim.json("precondition", "t").lines[1]["rows"] == 200
    assert not list(victim.path.glob("staging/*"))
    victim.check()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_polite_signal_takes_everything_back(scene, victim, name):
    process = victim.start(*arguments("p"), "--json")
    # Once there is a reservation, work is under way; most of it is still to be done.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        files = [*victim.path.glob("*.log"), *victim.path.glob("*.sst")]
        if any(b"reservation/" in path.read_bytes() for path in files):
            break
    process.send_signal(getattr(signal, name))
    wait_for_exit(process)
    result = finish(process).expect(INTERRUPTED)
    assert result.stdout == b"" and json.loads(result.stderr.splitlines()[-1])["kind"] == "interrupted"
    assert victim.state("t") == scene.state
    assert stored_keys(victim) == scene.keys
    victim.check()
