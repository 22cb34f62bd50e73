"""The golden database holds what database.json says, and RocksDB's log and deletions count."""

import json
import os
import shutil
import struct

import numpy as np
import pytest

import check
import codec
import gradctl
import questions
from database import Database
from rocksdb_log import masked_crc32c

DECODED_TOLERANCE = 1e-7
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "format-spec", "vectors")
with open(os.path.join(FOLDER, "database.json")) as file:
    GOLDEN = json.load(file)
TABLES = sorted(GOLDEN["tables"])
QUESTIONS = [pytest.param(question, id=f"{i}-{question['table']}-{question['measure']}")
             for i, question in enumerate(GOLDEN["questions"])]


@pytest.fixture(scope="module")
def database():
    with Database(os.path.join(FOLDER, "database")) as opened:
        yield opened


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(os.path.join(FOLDER, "database"), tmp_path / "database")


def test_it_has_the_tables(database):
    assert sorted(database.tables()) == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_schemas(database, name):
    table, golden = database.table(name), GOLDEN["tables"][name]
    for key in ("table", "unit", "row_group"):
        assert table.schema[key] == golden[key]
    assert len(table.layers) == len(golden["layers"])
    for number, (layer, expected) in enumerate(zip(table.layers, golden["layers"])):
        said = {key: layer[key] for key in ("name", "dims", "seed")}
        assert layer["number"] == number and said == expected
    assert {field["name"]: field["type"] for field in table.fields} == golden["fields"]


@pytest.mark.parametrize("name", TABLES)
def test_ids_and_fields(database, name):
    table, golden = database.table(name), GOLDEN["tables"][name]
    assert table.column("id") == golden["ids"]
    assert [table.find(row_id) for row_id in golden["ids"]] == list(range(len(golden["ids"])))
    for field, column in golden["field_values"].items():
        assert repr(table.column(field)) == repr(column)
    assert list(table.records()) == [
        (i, row_id, {field: column[i] for field, column in golden["field_values"].items()})
        for i, row_id in enumerate(golden["ids"])
    ]


@pytest.mark.parametrize("name", TABLES)
def test_snapshots_and_tags(database, name):
    table, golden = database.table(name), GOLDEN["tables"][name]
    assert table.tags == golden["tags"]
    assert sorted(table.snapshots) == [snapshot["snapshot"] for snapshot in golden["snapshots"]]
    names = {doc["checkpoint"]: doc["name"] for doc in table.checkpoints.values()}
    for expected in golden["snapshots"]:
        document = dict(table.snapshots[expected["snapshot"]])
        document["checkpoint"] = names.get(document.get("checkpoint"))
        at = database.table(name, expected["snapshot"])
        document["codecs"] = {layer["name"]: [encoding["codec"] for encoding in at.encodings(layer)]
                              for layer in at.layers}
        assert {key: document[key] for key in expected} == expected
        assert database.table(name, expected["snapshot"]).rows == expected["next_row"]


@pytest.mark.parametrize("name", TABLES)
def test_vectors(database, name):
    table, golden = database.table(name), GOLDEN["tables"][name]
    assert set(table.checkpoints) == set(golden["checkpoints"])
    for checkpoint, expected in golden["checkpoints"].items():
        document = table.checkpoints[checkpoint]
        assert [document.get(key) for key in ("step", "weight")] == [
            expected["step"], expected["weight"]]
        for layer in table.layers:
            numbers, vectors = table.vectors(checkpoint, layer)
            wanted = np.array(expected["vectors"][layer["name"]])
            tolerance = DECODED_TOLERANCE if layer["codec"] in codec.ROTATED else 0
            assert numbers == expected["rows"]
            assert np.abs(vectors - wanted).max() <= tolerance


@pytest.mark.parametrize("name", TABLES)
def test_its_parts_agree(database, name):
    for snapshot in database.table(name).snapshots:
        assert check.problems(database.table(name, snapshot)) == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_scores_are_exact(database, question):
    assert questions.answer(database, question) == question["answers"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_gradctl_gives_the_same_and_leaves_no_file(copy, tmp_path, need_gradctl, question):
    before = sorted(os.listdir(copy))
    parameters = {}
    if "row" not in question["query"]:
        parameters["q"] = tmp_path / "q.safetensors"
        gradctl.write_safetensors(parameters["q"], {
            name: np.array(rows, np.float32) for name, rows in question["query"].items()})
    said = gradctl.answers(copy, [question["statement"]], parameters)[0]
    assert questions.split_answer(said) == question["answers"]
    assert sorted(os.listdir(copy)) == before


def test_gradctl_still_writes_to_it(copy, tmp_path, need_gradctl):
    rows = {"grad": np.ones((1, 24), np.float32)}
    gradctl.ingest(copy, "examples", tmp_path, rows, "step-500", ["new"])
    with Database(copy) as written:
        table = written.table("examples")
        assert table.snapshot == 4 and table.find("new") == 7
        assert check.problems(table) == []
        assert check.problems(written.table("examples", 3)) == []
        for question in GOLDEN["questions"]:
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
