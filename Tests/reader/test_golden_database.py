"""Every golden database holds what the JSON beside it says, for the second reader and for gradctl; and
RocksDB's log and deletions count."""

import json
import os
import shutil
import struct

import numpy as np
import pytest

import check
import codec
import garbage
import gradctl
import questions
from content import Content
from database import Database
from rocksdb_log import masked_crc32c

DECODED_TOLERANCE = 1e-7
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "format-spec", "vectors")


def load(name):
    with open(os.path.join(FOLDER, name + ".json")) as file:
        return json.load(file)


# Golden databases by their paths within FOLDER, those of releases and the present one, `database`.
DATABASES = sorted(os.path.relpath(folder, FOLDER) for folder, _, files in os.walk(FOLDER)
                   if "CURRENT" in files)
GOLDEN = {name: load(name) for name in DATABASES}
TABLES = [(name, table) for name in DATABASES for table in sorted(GOLDEN[name]["tables"])]
QUESTIONS = [
    pytest.param(name, question, id=f"{name}-{i}-{question['table']}-{question['measure']}")
    for name in DATABASES for i, question in enumerate(GOLDEN[name]["questions"])]
every_table = pytest.mark.parametrize("where,name", TABLES)
every_question = pytest.mark.parametrize("where,question", QUESTIONS)


@pytest.fixture(scope="module")
def databases():
    opened = {name: Database(os.path.join(FOLDER, name)) for name in DATABASES}
    yield opened
    for database in opened.values():
        database.store.close()


def copied(where, tmp_path):
    return shutil.copytree(os.path.join(FOLDER, where), tmp_path / "database")


@pytest.fixture
def copy(tmp_path):
    return copied("database", tmp_path)


def live(golden, snapshot):
    """The row numbers that a snapshot has."""
    return [n for n in range(snapshot["next_row"]) if n not in snapshot["deleted_rows"]]


def test_the_present_format_has_one():
    assert "database" in DATABASES


@pytest.mark.parametrize("where", DATABASES)
def test_it_has_the_tables(databases, where):
    assert sorted(databases[where].tables()) == sorted(GOLDEN[where]["tables"])
    assert garbage.left(databases[where]) == []


@every_table
def test_schemas(databases, where, name):
    table, golden = databases[where].table(name), GOLDEN[where]["tables"][name]
    for key in ("table", "unit", "row_group"):
        assert table.schema[key] == golden[key]
    assert len(table.layers) == len(golden["layers"])
    for number, (layer, expected) in enumerate(zip(table.layers, golden["layers"])):
        said = {key: layer[key] for key in ("name", "dims", "seed")}
        assert layer["number"] == number and said == expected
    assert {field["name"]: field["type"] for field in table.fields} == golden["fields"]


@every_table
def test_ids_and_fields(databases, where, name):
    table, golden = databases[where].table(name), GOLDEN[where]["tables"][name]
    assert table.column("id") == golden["ids"]
    for field, column in golden["field_values"].items():
        assert repr(table.column(field)) == repr(column)
    for snapshot in golden["snapshots"]:
        at, rows = databases[where].table(name, snapshot["snapshot"]), live(golden, snapshot)
        ids = [golden["ids"][n] for n in rows]
        assert [at.find(row_id) for row_id in ids] == rows
        assert {at.find(i) for i in {*golden["ids"], "no such id"} - {*ids, None}} <= {None}
        assert list(at.records()) == [
            (n, golden["ids"][n],
             {field: column[n] for field, column in golden["field_values"].items()})
            for n in rows]


@every_table
def test_snapshots_and_tags(databases, where, name):
    table, golden = databases[where].table(name), GOLDEN[where]["tables"][name]
    assert table.tags == golden["tags"]
    assert sorted(table.snapshots) == [snapshot["snapshot"] for snapshot in golden["snapshots"]]
    for expected in golden["snapshots"]:
        at = databases[where].table(name, expected["snapshot"])
        names = {doc["checkpoint"]: doc["name"] for doc in at.checkpoints.values()}
        document = {"restored": None} | at.document
        document["checkpoint"] = names.get(document.get("checkpoint"))
        document["codecs"] = {layer["name"]: [encoding["codec"] for encoding in at.encodings(layer)]
                              for layer in at.layers}
        document["deleted_rows"] = np.flatnonzero(~at.live).tolist()
        assert {key: document[key] for key in expected} == expected
        assert Content(at).hash == expected["hash"]


@every_table
def test_vectors(databases, where, name):
    table, golden = databases[where].table(name), GOLDEN[where]["tables"][name]
    assert set(table.checkpoints) == set(golden["checkpoints"])
    for checkpoint, expected in golden["checkpoints"].items():
        document = table.checkpoints[checkpoint]
        assert [document.get(key) for key in ("step", "weight")] == [
            expected["step"], expected["weight"]]
        for layer in table.layers:
            numbers, vectors = table.vectors(checkpoint, layer)
            wanted = np.array(expected["vectors"][layer["name"]]).reshape(-1, layer["dims"])
            tolerance = DECODED_TOLERANCE if layer["codec"] in codec.ROTATED else 0
            assert numbers == expected["rows"]
            assert (np.abs(vectors - wanted) <= tolerance).all()


@every_table
def test_its_parts_agree(databases, where, name):
    for snapshot in databases[where].table(name).snapshots:
        assert check.problems(databases[where].table(name, snapshot)) == []


@every_question
def test_scores_are_exact(databases, where, question):
    assert questions.answer(databases[where], question) == question["answers"]


def assert_gradctl_answers(database, where, tmp_path):
    for number, question in enumerate(GOLDEN[where]["questions"]):
        parameters = {}
        if "row" not in question["query"]:
            parameters["q"] = tmp_path / f"q{number}.safetensors"
            gradctl.write_safetensors(parameters["q"], {
                name: np.array(rows, np.float32) for name, rows in question["query"].items()})
        said = gradctl.answers(database, [question["statement"]], parameters)[0]
        assert questions.split_answer(said) == question["answers"], question["statement"]


def assert_gradctl_has_the_snapshots(database, where):
    for name, golden in GOLDEN[where]["tables"].items():
        lines = {line["snapshot"]: line for line in gradctl.run(database, "snapshots", name)}
        for expected in golden["snapshots"]:
            line = lines[expected["snapshot"]]
            wanted = {key: expected[key] for key in (
                "parent", "operation", "restored", "checkpoint", "message", "segments", "deleted",
                "hash")}
            assert {key: line[key] for key in wanted} == wanted
            assert line["rows"] == expected["next_row"] - expected["deleted"]
            assert set(line["tags"]) == {tag for tag, to in golden["tags"].items()
                                         if to == expected["snapshot"]}


@pytest.mark.parametrize("where", DATABASES)
def test_gradctl_gives_the_same_and_leaves_no_file(tmp_path, need_gradctl, where):
    copy = copied(where, tmp_path)
    before = sorted(os.listdir(copy))
    assert_gradctl_answers(copy, where, tmp_path)
    assert_gradctl_has_the_snapshots(copy, where)
    assert gradctl.run(copy, "check", "--deep")[-1]["ok"]
    assert sorted(os.listdir(copy)) == before


@pytest.mark.parametrize("where", DATABASES)
def test_gradctl_restores_and_cleans_up_and_the_rest_stays(tmp_path, need_gradctl, where):
    copy = copied(where, tmp_path)
    for name, golden in GOLDEN[where]["tables"].items():
        for snapshot in golden["snapshots"]:
            said = gradctl.run(copy, "restore", name, "--to", snapshot["snapshot"])[0]
            assert said["hash"] == snapshot["hash"]
        gradctl.run(copy, "compact", name, "--all")
        assert gradctl.run(copy, "snapshots", name)[0]["hash"] == snapshot["hash"]
    gradctl.run(copy, "gc")
    # What is asked without a snapshot is asked of the last one restored, which was the newest.
    assert_gradctl_answers(copy, where, tmp_path)
    assert_gradctl_has_the_snapshots(copy, where)
    with Database(copy) as opened:
        for name in opened.tables():
            for number in opened.table(name).snapshots:
                assert check.problems(opened.table(name, number)) == []
        assert garbage.left(opened) == []


def test_gradctl_still_writes_to_it(copy, tmp_path, need_gradctl):
    rows = {"grad": np.ones((1, 24), np.float32)}
    gradctl.ingest(copy, "examples", tmp_path, rows, "step-500", ["new"])
    with Database(copy) as written:
        table = written.table("examples")
        assert table.snapshot == 4 and table.find("new") == 7
        assert check.problems(table) == []
        assert check.problems(written.table("examples", 3)) == []
        for question in GOLDEN["database"]["questions"]:
            assert questions.answer(written, question) == question["answers"]


def text(data):
    return bytes([len(data)]) + data


def write_log(database, operations):
    """A write-ahead log with one batch; operations are (tag, family name, key, value or None)."""
    with Database(database) as opened:
        numbers = {name: i for i, name in enumerate(opened.store.families)}
    record = struct.pack("<QI", 1 << 40, len(operations))
    for tag, family, key, value in operations:
        record += bytes([tag, numbers[family]]) + text(key)
        record += b"" if value is None else text(value)
    with open(os.path.join(database, "999999.log"), "wb") as log:
        # Cut in two, as it is at the end of a log's block.
        for kind, part in ((2, record[:20]), (4, record[20:])):
            log.write(struct.pack("<IHB", masked_crc32c(bytes([kind]) + part), len(part), kind))
            log.write(part)


def test_what_is_in_the_write_ahead_log_counts(copy):
    number, key = 1, b"tag/00000001/"
    write_log(copy, [(5, "catalog", key + b"new", b'{"snapshot":2}'),
                     (4, "catalog", key + b"first", None),
                     (14, "rows", struct.pack(">IQ", number, 1), struct.pack(">IQ", number, 3))])
    with Database(copy) as opened:
        table = opened.table("examples")
        assert table.tags == {"final": 3, "new": 2}
        assert [row for row, _, _ in table.records()] == [0, 3, 4, 5, 6]


def test_a_damaged_end_of_the_write_ahead_log_is_left_out(copy):
    write_log(copy, [(4, "catalog", b"tag/00000001/first", None)])
    log = os.path.join(copy, "999999.log")
    os.truncate(log, os.path.getsize(log) - 1)
    with Database(copy) as opened:
        assert opened.table("examples").tags == {"first": 1, "final": 3}


def test_every_damaged_table_file_is_noticed(copy):
    names = sorted(name for name in os.listdir(copy) if name.endswith(".sst"))
    for name in names:
        path = os.path.join(copy, name)
        with open(path, "r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
            file.flush()
            with pytest.raises(ValueError):
                with Database(copy) as opened:
                    for family in opened.store.families:
                        list(opened.store.scan(family))
            file.seek(0)
            file.write(first)


def test_a_newer_format_is_refused(copy):
    about = {"format": "graddb", "format_version": 2, "reader_features": [], "writer_features": []}
    write_log(copy, [(5, "catalog", b"database", json.dumps(about).encode())])
    with pytest.raises(ValueError, match="too new"):
        Database(copy)
