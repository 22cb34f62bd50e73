"""Where queries run, by `device="staged"`: host memory in the part of a GPU's, which every machine has."""

import pickle

import numpy as np
import pytest

import graddb

ROWS, DIMS, ROW_GROUP = 500, 8192, 50
MEMORY = "80M"


@pytest.fixture
def scene(tmp_path, rng):
    """Two layers at three checkpoints: about 4.1 MB of each layer and checkpoint."""
    with graddb.create(tmp_path / "db", device="staged", device_memory=MEMORY) as db:
        t = db.create_table("t", layers={"a": (DIMS, "int8"), "b": (DIMS, "int8")}, row_group=ROW_GROUP)
        for checkpoint in ("c1", "c2", "c3"):
            t.append({name: rng.standard_normal((ROWS, DIMS), np.float32) for name in "ab"},
                     ids=range(ROWS), checkpoint=checkpoint, weight=1)
        t.q = {name: rng.standard_normal((3, DIMS), np.float32) for name in "ab"}
        yield t


def facts(table, statement="SCORE dot TO $q TOP 3", **options):
    """What the scan of a statement did."""
    def scan(node):
        if node["operator"] == "scan":
            return node["actual"]
        return next(filter(None, map(scan, node.get("inputs", []))), None)

    return scan(table.explain(statement, q=table.q, analyze=True, **options).json["plan"])


def test_a_device_gives_the_same_answers_and_says_what_it_did(scene):
    for statement in ("SCORE cosine TO $q TOP 5 BOTTOM 2", "SCORE dot TO $q MEAN ALL"):
        there = scene.query(statement, q=scene.q)
        here = scene.query(statement, q=scene.q, device="cpu")
        assert there.ids.tolist() == here.ids.tolist() and there.scores.tolist() == here.scores.tolist()
        assert "device" in str(there.plan.json) and "device" not in str(here.plan.json)
    done = facts(scene)
    assert done["device"] and done["staged_bytes"] + done["resident_bytes"] > 2 * ROWS * DIMS
    assert "device" not in facts(scene, device="cpu")


def test_the_device_goes_with_the_database(scene):
    again = pickle.loads(pickle.dumps(scene.database))
    assert (again.device, again.device_memory) == ("staged", 80_000_000)
    assert graddb.open(scene.database.path).device == "cpu"
    with pytest.raises(graddb.QueryError, match="no device 'tpu'; there are auto, cpu, gpu"):
        scene.query("SCORE dot TO $q TOP 1", q=scene.q, device="tpu")
    with pytest.raises(graddb.QueryError, match="device_memory is 1 byte or more"):
        scene.query("SCORE dot TO $q TOP 1", q=scene.q, device_memory=0)
    for wrong in ("4T", "", "-1", "x"):
        with pytest.raises(graddb.QueryError, match="device_memory takes bytes"):
            graddb.open(scene.database.path, device_memory=wrong)
    with pytest.raises(graddb.Error, match="give more by"):
        scene.query("SCORE dot TO $q TOP 1", q=scene.q, device_memory="1M")


# Three quarters of it are for what stays: one of the checkpoints, and most of another one.
SMALL = "20M"
CHECKPOINT_BYTES = 2 * ROWS * DIMS  # and a little more, for norms and the like


def ask(table, checkpoint, **options):
    options = {"device_memory": SMALL, **options}
    return facts(table, f"SCORE dot TO $q ACROSS '{checkpoint}' TOP 3", **options)


def push_out(table):
    """Uses more than fits."""
    for checkpoint in ("c2", "c3", "c2"):
        assert ask(table, checkpoint)["device"]


def test_what_is_kept_is_not_pushed_out(scene):
    with scene.keep("c1", device_memory=SMALL) as kept:
        assert (kept.checkpoint, kept.layers, kept.row_groups) == ("c1", ["a", "b"], ROWS // ROW_GROUP)
        assert CHECKPOINT_BYTES < kept.bytes < 1.1 * CHECKPOINT_BYTES and kept.device in repr(kept)
        for _ in range(3):
            push_out(scene)
            done = ask(scene, "c1")
            assert done["staged_bytes"] == 0 and done["resident_bytes"] >= CHECKPOINT_BYTES
    assert "released" in repr(kept)
    kept.release()
    push_out(scene)
    assert ask(scene, "c1")["staged_bytes"] > CHECKPOINT_BYTES / 4


def test_what_is_kept_twice_is_released_twice(scene):
    first = scene.keep("c1", device_memory=SMALL)
    second = scene.keep("c1", device_memory=SMALL, layers=["a"])
    assert 0.4 < second.bytes / first.bytes < 0.6 and second.layers == ["a"]
    first.release()
    push_out(scene)
    done = ask(scene, "c1", threads=1)
    assert done["resident_bytes"] >= CHECKPOINT_BYTES / 2 and done["staged_bytes"] > 0
    second.release()


def test_what_does_not_fit_is_refused(scene):
    words = (r"cannot keep [\d,]+ bytes: of 20,000,000 that may be used 15,000,000 are for what stays, of "
             r"which [\d,]+ are kept already; let it use more memory, release what it keeps")
    with scene.keep("c1", device_memory=SMALL), pytest.raises(graddb.Error, match=words):
        scene.keep("c2", device_memory=SMALL)
    with scene.keep("c2", device_memory=SMALL) as kept:
        push_out(scene)
        assert ask(scene, "c2")["staged_bytes"] == 0 and kept.bytes > 0


def test_closing_the_database_releases_what_is_kept(scene):
    with graddb.open(scene.database.path) as other:
        kept = other.table("t").keep("c1", device="staged", device_memory=SMALL)
        push_out(scene)
        assert ask(scene, "c1")["staged_bytes"] == 0
    push_out(scene)
    assert ask(scene, "c1")["staged_bytes"] > 0
    kept.release()
    with pytest.raises(graddb.Closed):
        other.table("t").keep(device="staged")


def test_what_cannot_be_kept_is_said(scene):
    with pytest.raises(graddb.QueryError, match="the processor reads tables where they lie"):
        scene.keep(device="cpu")
    with pytest.raises(graddb.QueryError, match="has no checkpoint 'c9'; it has c1, c2, c3"):
        scene.keep("c9")
    with pytest.raises(graddb.QueryError, match="has no layer 'z'; it has a, b"):
        scene.keep(layers=["z"])
    with pytest.raises(graddb.QueryError, match="there are no layers to keep"):
        scene.keep(layers=[])
    flag = graddb.Cancellation()
    flag.cancel()
    with pytest.raises(graddb.Interrupted):
        scene.keep("c1", device_memory=SMALL, cancellation=flag)
    push_out(scene)
    assert ask(scene, "c1")["staged_bytes"] > 0
    empty = scene.database.create_table("empty", layers={"a": (8, "int8")})
    with pytest.raises(graddb.QueryError, match="has no checkpoint yet"):
        empty.keep()
