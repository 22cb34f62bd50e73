"""`gradctl diff` against a model of the table's history (table_history.py)."""

import numpy as np
import pytest

from graddb import NOT_FOUND, SCALE, USAGE
from table_history import TableHistory
from terminal import run_on_terminal

OPERATIONS = ["ingest", "ingest", "ingest", "delete", "delete", "restore", "recode", "precondition",
              "unprecondition", "tag"]
COMPACTING = [*OPERATIONS, "compact", "compact", "compact"]


def expected(a, b):
    """What diff prints of two snapshots of the model, but for their numbers and hashes."""
    def counted(ours, theirs):
        return len(set(ours) - set(theirs))

    def named(ours, theirs):
        return [ours[key] for key in sorted(set(ours) - set(theirs))]

    def encodings(ours, theirs):
        found = sorted(named(ours, theirs), key=lambda e: (e[0], CODECS.index(e[1])))
        return [{"layer": layer, "codec": codec} for layer, codec in found]

    def checkpoints(ours, theirs):
        return [n for n in sorted(ours, key=lambda n: ours[n][0]) if n not in theirs]

    def blocks(state):
        # A companion's blocks are of its base's rows.
        return {key: size for key, size in state.blocks.items() if key[1] in state.encodings}

    def size(ours, theirs):
        return sum(size for key, size in blocks(ours).items() if key not in blocks(theirs))

    return {
        "rows_added": counted(b.rows, a.rows), "rows_removed": counted(a.rows, b.rows),
        "rows_changed": sum(b.rows[i] != row for i, row in a.rows.items() if i in b.rows),
        "vectors_added": counted(b.live_vectors, a.live_vectors),
        "vectors_removed": counted(a.live_vectors, b.live_vectors),
        "checkpoints_added": checkpoints(b.checkpoints, a.checkpoints),
        "checkpoints_removed": checkpoints(a.checkpoints, b.checkpoints),
        "checkpoints_changed": [
            n for n in sorted(b.checkpoints, key=lambda n: b.checkpoints[n][0])
            if n in a.checkpoints and a.checkpoints[n][1:] != b.checkpoints[n][1:]],
        "fields_added": [], "fields_removed": [],
        "segments_added": counted(b.segments, a.segments),
        "segments_removed": counted(a.segments, b.segments),
        "encodings_added": encodings(b.encodings, a.encodings),
        "encodings_removed": encodings(a.encodings, b.encodings),
        "preconditioners_added": named(b.preconditioners, a.preconditioners),
        "preconditioners_removed": named(a.preconditioners, b.preconditioners),
        "bytes_added": size(b, a), "bytes_removed": size(a, b),
    }


CODECS = ["f32", "f16", "bf16", "int8", "int4", "bit"]


def changes(a, b):
    """The lines of --ids."""
    found = {row: ("changed" if i in a.rows else "added", i) for i, row in b.rows.items()
             if a.rows.get(i) != row}
    found |= {row: ("removed", i) for i, row in a.rows.items() if i not in b.rows}
    return [{"change": change, "id": i} for _, (change, i) in sorted(found.items())]


def compare(history, number, other, *names):
    """Runs diff, and holds it against the model."""
    a, b = history.snapshots[number], history.snapshots[other]
    lines = history.database.json("diff", "t", *(names or (number, other)), "--ids").lines
    *ids, line = lines
    assert ids == changes(a, b)
    for key, value in expected(a, b).items():
        if history.compacted and key.startswith(("segments", "bytes")):
            continue
        assert line[key] == value, (key, number, other, history.log)
    assert (line["table"], line["from"], line["to"]) == ("t", number, other)
    assert line["equal"] == (line["from_hash"] == line["to_hash"])
    if a.content(lambda v: v) == b.content(lambda v: v):
        assert line["equal"], (number, other, history.log)
    elif a.content(lambda v: v[0]) != b.content(lambda v: v[0]):
        assert not line["equal"], (number, other, history.log)
    return line


@pytest.mark.parametrize("part", range(4 * SCALE))
def test_every_pair_of_snapshots_differs_as_the_model_says(database, files, seed, part):
    history = TableHistory(database, files, [seed, part])
    for _ in range(14):
        history.step(COMPACTING if part % 2 else OPERATIONS)
    listed = {line["snapshot"]: line for line in database.snapshots("t")}
    assert set(listed) == set(history.snapshots) - {0}
    numbers = list(history.snapshots)
    pairs = [(a, b) for a in numbers for b in numbers if a <= b]
    for choice in history.random.permutation(len(pairs))[:25]:
        a, b = pairs[choice]
        if history.random.integers(2):
            a, b = b, a
        line = compare(history, a, b)
        for number, key in ((a, "from_hash"), (b, "to_hash")):
            if number:
                assert line[key] == listed[number]["hash"]


def test_both_directions_and_names(database, files):
    history = TableHistory(database, files, 5)
    for operation in ("ingest", "delete", "ingest", "restore", "ingest"):
        history.step([operation])
    newest = max(history.snapshots)
    there, back = compare(history, 1, newest), compare(history, newest, 1)
    for key in there:
        if key.endswith("_added"):
            assert there[key] == back[key.replace("_added", "_removed")]
    database.json("tag", "t", "first", 1)
    time = database.snapshots("t")[0]["time"]
    compare(history, 1, newest, "first", time)
    same = compare(history, newest, newest)
    assert same["equal"]
    empty = compare(history, 0, 0)
    assert empty["equal"] and empty["from_hash"] == compare(history, 0, 1)["from_hash"]


def test_what_is_asked_wrongly_is_refused(database, files):
    history = TableHistory(database, files, 1)
    history.step(["ingest"])
    for arguments in ([], ["1"], ["1", "2"], ["x", "1"], ["1", "2000-01-01"], ["-1", "1"], ["1", "1", "1"]):
        result = database.run("diff", "t", *arguments, "--json").expect(USAGE)
        assert result.stdout == b""
    database.run("diff", "u", "0", "1").expect(NOT_FOUND)
    for operation in ("ingest", "ingest"):
        history.step([operation])
    database.json("expire", "t", "--keep-last", 1)
    assert "has expired" in database.run("diff", "t", 1, 3, "--json").expect(USAGE).error["error"]


def test_integer_ids_and_text(database, files):
    vectors = np.ones((300, 8), np.float32)
    database.create("t", ["grad:8:f32"])
    database.ingest("t", files.grad("v.safetensors", vectors), checkpoint="c")
    database.json("delete", "t", "--where", "id < 100")
    lines = database.json("diff", "t", 1, 2, "--ids").lines
    assert lines[:-1] == [{"change": "removed", "id": i} for i in range(100)]
    screen = run_on_terminal("diff", "t", 0, 2, "--db", database.path)
    text = "\n".join(screen.lines)
    assert max(map(len, screen.lines)) <= 80 and "checkpoints added: c" in text
    assert "snapshot 0 → 2, which differ" in text
    shown = database.run("diff", "t", 1, 2, "--ids").text.splitlines()
    assert shown[0] == "removed  0" and shown[99] == "removed  99"
