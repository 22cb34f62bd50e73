"""Answers that could be misread: names that collide, sums that overflow, text that commands."""

import csv
import io
import json
import time

import pytest

from graddb import INTERRUPTED, OK, USAGE, finish
from terminal import run_on_terminal

ROWS = [
    {"id": "a", "source": 'x"\u0301,y', "loss": 3.3e-9},
    {"id": "e\u009b31mEVIL\u202e", "source": "two\nlines \x1b]0;title\x07", "loss": 1.0},
]


@pytest.fixture
def table(database, files):
    database.create("t", ["grad:4:f32"], fields=["source:string", "loss:float"])
    for checkpoint in ("c1", "c2"):
        database.ingest(
            "t", files.grad("v.safetensors", [[1, 2, 3, 4], [2, 1, 0, 5]]), checkpoint=checkpoint,
            metadata=files.metadata("m.jsonl", ROWS))
    return database


ASK = "FROM t SCORE dot TO ROW 'a'"


def test_csv_survives_combining_marks_behind_quotes(table):
    said = table.run("query", f"SELECT source {ASK}", "--format", "csv").expect(OK)
    lines = list(csv.DictReader(io.StringIO(said.stdout.decode())))
    assert {line["source"] for line in lines} == {row["source"] for row in ROWS}


@pytest.mark.parametrize(
    "selection", ["source AS score", "loss AS id", "source AS x, loss AS x", "row AS rank"])
def test_a_name_of_the_answer_means_one_thing(table, selection):
    refused = table.run("query", f"SELECT {selection} {ASK}", "--json").expect(USAGE)
    assert "already" in refused.error["error"] and refused.stdout == b""


def test_the_same_column_twice_is_no_collision(table):
    table.run("query", f"SELECT source, source, id, score {ASK}", "--json").expect(OK)


def test_overflowing_weights_are_refused(table):
    refused = table.run("query", f"{ASK} ACROSS 'c1' WEIGHT 1e308, 'c2' WEIGHT -1e308", "--json")
    assert "weights" in refused.expect(USAGE).error["error"]


@pytest.mark.parametrize("text", ["2999-01-01 junk", "2999-01-01T00:00", "2999-02-30"])
def test_half_a_time_is_no_time(table, text):
    table.run("query", f"FROM t AT '{text}' SCORE dot TO ROW 'a'").expect(USAGE)


@pytest.mark.parametrize("statement", ["", " ; ", "-- nothing\n"])
def test_no_statement_is_no_answer(table, statement):
    table.run("query", "--", statement).expect(USAGE)


def test_negative_weights_need_no_equals_sign(database, files):
    database.create("t", ["grad:2:f32"])
    source = files.grad("v.safetensors", [[1, 2]])
    database.run("ingest", "t", source, "--checkpoint", "c", "--weight", "-1e-5").expect(OK)
    assert database.info("t")["checkpoints"][0]["weight"] == -1e-5


def test_data_cannot_command_the_terminal(table):
    shown = run_on_terminal(
        "query", f"SELECT source, loss {ASK}", "--db", table.path, "--no-color").terminal
    for forbidden in ("\x1b", "\x07", "\u009b", "\u202e"):
        assert forbidden not in shown
    assert "3.30000e-09" in shown


def test_an_interrupted_script_is_not_run(table):
    waiting = table.start("query", "-", "--json")
    waiting.stdin.write(f"{ASK};".encode())
    waiting.stdin.flush()
    time.sleep(0.3)  # until it waits for the rest
    waiting.send_signal(2)
    said = finish(waiting).expect(INTERRUPTED)
    assert said.stdout == b""
    assert json.loads(said.stderr.decode().splitlines()[-1])["exit"] == INTERRUPTED
