"""Sizes and counts of `gradctl info`, against a model of the table's history (table_history.py)."""

import json

import pytest

from graddb import SCALE
from table_history import DIMS, ROW_BYTES, TableHistory
from terminal import run_on_terminal

OPERATIONS = ["ingest", "ingest", "ingest", "delete", "restore", "recode", "precondition", "tag"]


def sizes(history):
    """What the model knows of the newest snapshot, and of all of them."""
    newest = history.newest
    active = newest.encodings
    by_codec = {}
    for (_, encoding), size in newest.blocks.items():
        if encoding in active:
            codec = active[encoding][1]
            by_codec[codec] = by_codec.get(codec, 0) + size
    for _, codec in active.values():
        by_codec.setdefault(codec, 0)
    vectors = len(newest.live_vectors)
    stored = {key: size for state in history.snapshots.values() for key, size in state.blocks.items()}
    matrices = sum(line["bytes"] for line in history.made)
    return {
        "rows": len(newest.rows), "deleted": history.numbers["row"] - len(newest.rows), "vectors": vectors,
        "snapshots": len(history.snapshots) - 1, "segments": len(newest.segments),
        "bytes": sum(by_codec.values()), "codec_bytes": by_codec,
        "live_bytes": vectors * sum(ROW_BYTES[codec](DIMS[layer]) for layer, codec in active.values()),
        "stored_bytes": sum(stored.values()) + matrices,
    }


class MeasuredHistory(TableHistory):
    """Keeps what preconditioners came to: their sizes the model does not know."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.made = []

    def precondition(self, state):
        made = super().precondition(state)
        if made is not None:
            self.made.append(next(line for line in self.database.json("precondition", "t").lines
                                  if line["added"] == made))
        return made


@pytest.mark.parametrize("part", range(2 * SCALE))
def test_sizes_are_those_of_what_there_is(database, files, seed, part):
    history = MeasuredHistory(database, files, [seed, part])
    for _ in range(12):
        history.step(OPERATIONS)
        expected = sizes(history)
        info = database.info("t")
        for key, value in expected.items():
            assert info[key] == value, (key, history.log)
        assert list(info["codec_bytes"]) == sorted(
            info["codec_bytes"], key=["f32", "f16", "int8", "int4", "bit"].index)
        assert info["garbage_bytes"] == 0
        if expected["live_bytes"]:
            assert info["amplification"] == expected["stored_bytes"] / expected["live_bytes"]
        else:
            assert info["amplification"] is None
    whole = database.info()
    (table,) = whole["tables"]
    assert table == {key: info[key] for key in ("table", "rows", "snapshot", "deleted", "bytes")}
    assert (whole["live_bytes"], whole["garbage_bytes"]) == (info["live_bytes"], 0)
    files_bytes = sum(file.stat().st_size for file in database.path.glob("*.sst"))
    assert whole["bytes"] == files_bytes
    if whole["live_bytes"]:
        assert whole["amplification"] == files_bytes / whole["live_bytes"]


def test_garbage_is_what_a_clean_up_removes(database, files):
    history = MeasuredHistory(database, files, 11)
    for operation in ("ingest", "ingest", "ingest", "delete", "compact", "recode", "recode"):
        history.step([operation])
    before = database.info("t")
    database.json("expire", "t", "--keep-last", 1)
    info = database.info("t")
    assert info["snapshots"] == 1 and info["stored_bytes"] == before["stored_bytes"]
    dry = database.json("gc", "--dry-run").line
    assert info["garbage_bytes"] == dry["bytes"] > 0
    assert database.info()["garbage_bytes"] == dry["bytes"]
    assert database.json("gc").line["bytes"] == dry["bytes"]
    after = database.info("t")
    assert after["garbage_bytes"] == 0
    assert after["stored_bytes"] == info["stored_bytes"] - dry["bytes"]
    assert after["amplification"] < info["amplification"]


def test_an_empty_table_and_text(database, files):
    layers = [f"layers.{i}.attention.weight:16:int8" for i in range(20)]
    database.create("wide", layers, [f"field_of_a_long_name_{i}:string" for i in range(9)])
    info = database.info("wide")
    assert (info["live_bytes"], info["stored_bytes"], info["amplification"]) == (0, 0, None)
    assert database.info()["amplification"] is None
    history = TableHistory(database, files, 3)
    for operation in ("ingest", "delete", "ingest"):
        history.step([operation])
    for arguments in ([], ["wide"], ["t"]):
        screen = run_on_terminal("info", *arguments, "--db", database.path)
        assert screen.status == 0
        assert max(len(line) for line in screen.lines if str(database.path) not in line) <= 80
    text = database.run("info", "t").text
    info = database.info("t")
    assert f"{info['deleted']} deleted, {info['vectors']} vectors" in text
    assert "garbage" in text and "codecs: f32" in text
    assert json.loads(database.run("info", "t", "--json").text) == info
