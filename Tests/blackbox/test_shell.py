"""The shell: scripts on standard input, and a person at a terminal."""

import ctypes.util
import json
import os
import re
import signal
import stat

import numpy as np
import pytest

from gradient_files import Files
from graddb import BAD_INPUT, INTERRUPTED, NOT_FOUND, OK, USAGE, Database
from terminal import Session

ROWS = 50
ASK = "SELECT s FROM names SCORE dot TO ROW 'r0' TOP 2;"
needs_readline = pytest.mark.skipif(
    ctypes.util.find_library("readline") is None, reason="line editing is GNU Readline's"
)


@pytest.fixture
def table(database, files):
    database.create("names", ["blocks.0-mlp:8:f32", "head:8:f32"], ["s:string", "numbers:int"])
    database.create("other", ["grad:4:f32"])
    vectors = {
        "blocks.0-mlp": np.eye(ROWS, 8, dtype=np.float32),
        "head": np.ones((ROWS, 8), np.float32),
    }
    database.ingest(
        "names",
        files.tensors("v.safetensors", vectors),
        checkpoint="step-1",
        metadata=files.metadata(
            "m.jsonl", [{"id": f"r{n}", "s": "äöü", "numbers": n} for n in range(ROWS)]
        ),
        tag="first",
    )
    database.files = files
    return database


def shell(table, *lines, flags=()):
    return table.run("shell", *flags, stdin="".join(line + "\n" for line in lines).encode())


# Scripts


def test_a_script_prints_its_answers_and_no_prompt(table):
    one, two = ASK, ASK.replace("r0", "r1")
    printed = shell(table, one, two, flags=["--json"]).expect(OK)
    assert printed.lines == [*table.query(one), *table.query(two)]
    assert printed.stderr == b""


def test_statements_may_share_lines_and_span_them(table):
    script = "-- all; of them\n" + ASK.replace("FROM", "/* ; */\nFROM") + ASK + "\n\n;;" + ASK[:-1]
    printed = shell(table, script, flags=["--json"]).expect(OK)
    assert printed.lines == table.query(ASK) * 3


def test_the_last_failure_is_the_status_and_the_rest_still_runs(table):
    wrong, missing = "FROM names SCORE dot TOO $q;", "FROM nmes SCORE dot TO ROW 'r0';"
    printed = shell(table, wrong, ASK, missing, ASK, flags=["--json"]).expect(NOT_FOUND)
    assert printed.lines == table.query(ASK) * 2
    errors = [json.loads(line) for line in printed.stderr.decode().splitlines()]
    assert [error["exit"] for error in errors] == [USAGE, NOT_FOUND]
    assert "did you mean names?" in errors[1]["error"]
    shell(table, missing, wrong, ASK).expect(USAGE)
    shell(table, ASK, "FROM names SCORE dot").expect(USAGE)
    shell(table, ".nothing").expect(USAGE)
    shell(table, ".read /nowhere/at.all", ASK).expect(BAD_INPUT)


def test_a_table_may_be_named_and_must_be_there(table):
    printed = shell(table, "SELECT s SCORE dot TO ROW 'r0' TOP 2;", flags=["names", "--json"])
    assert printed.expect(OK).lines == table.query(ASK)
    assert shell(table, ASK, flags=["nmes"]).expect(NOT_FOUND).stdout == b""


def test_dot_commands(table):
    assert shell(table, ".tables").expect(OK).text == "names\nother\n"
    schema = shell(table, ".schema names").expect(OK).text
    assert schema == table.run("info", "names").expect(OK).text
    help = shell(table, ".help").expect(OK).text
    for word in ".tables .schema .mode .timer .param .read .explain .output .quit".split():
        assert re.search(rf"^\{word}\b", help, re.MULTILINE)
    for mode in ("table", "json", "jsonl", "csv"):
        printed = shell(table, f".mode {mode}", ASK).expect(OK)
        assert printed.text == table.query_result(ASK, format=mode).text
    assert re.match(r"\d+\.\d+ s\n", shell(table, ".timer on", ASK).expect(OK).stderr.decode())
    plan = shell(table, ".explain on", ASK, ".explain off", ASK, flags=["--json"]).expect(OK).lines
    assert "plan" in plan[0] and plan[1:] == table.query(ASK)
    assert shell(table, ASK, ".quit", ASK, flags=["--json"]).expect(OK).lines == table.query(ASK)
    for wrong in (".mode", ".mode npy", ".timer", ".explain maybe", ".read", ".param x"):
        shell(table, wrong).expect(USAGE)


def test_parameters(table):
    ask = "SELECT numbers FROM names SCORE dot TO ROW 'r0' WHERE numbers < $x ALL;"
    script = [".param x 3", ".param", ask, ".param $x 5", ".param x", ask]
    printed = shell(table, *script, flags=["--json"]).expect(OK).text.splitlines()
    assert printed[0] == "$x = 3" and printed[4] == "$x = 5"
    assert [json.loads(line)["numbers"] for line in printed[5:]] == [*range(5)]
    given = shell(table, ask, flags=["--json", "--param", "x=2"]).expect(OK)
    assert len(given.lines) == 2


def test_files_are_read_and_written(table, tmp_path):
    script, output = tmp_path / "script.sql", tmp_path / "out.jsonl"
    script.write_text(f"{ASK}\n.mode jsonl\n{ASK}")
    printed = shell(table, ".mode csv", f".read {script}", ASK).expect(OK).text
    csv, jsonl = (table.query_result(ASK, format=form).text for form in ("csv", "jsonl"))
    assert printed == csv + jsonl + jsonl
    script.write_text(f".read {script}")
    assert b"deep" in shell(table, f".read {script}").expect(USAGE).stderr
    printed = shell(table, ".mode jsonl", f".output {output}", ASK, ASK, ".output", ASK)
    assert printed.expect(OK).text == jsonl
    assert output.read_text() == jsonl * 2


def test_each_statement_sees_the_newest_snapshot(table, files):
    count = "SELECT numbers FROM names SCORE self ALL;"
    with Session("shell", "--db", table.path, "--json", TERM="dumb") as session:
        session.wait_for("graddb> ")
        assert session.ask(count).count('"id"') == ROWS
        more = {name: np.ones((1, 8), np.float32) for name in ("blocks.0-mlp", "head")}
        table.ingest(
            "names",
            files.tensors("w.safetensors", more),
            checkpoint="step-1",
            metadata=files.metadata("n.jsonl", [{"id": "new"}]),
        )
        assert session.ask(count).count('"id"') == ROWS + 1


# At a terminal


@pytest.fixture
def session(table, tmp_path):
    history = tmp_path / "history"
    with Session("shell", "--db", table.path, GRADDB_HISTORY=str(history)) as session:
        session.history = history
        session.wait_for("graddb> ")
        yield session


def test_control_d_leaves(session):
    session.type("\x04")
    assert session.end() == OK


def test_quit_leaves(session):
    session.type(".quit\r")
    assert session.end() == OK


def test_a_statement_may_span_lines(session):
    session.type("SELECT s FROM names\r").wait_for("...> ")
    assert "äöü" in session.ask("SCORE dot TO ROW 'r0' TOP 2;")


def test_a_wrong_statement_is_reported_and_the_next_one_awaited(session):
    assert "column 15: " in session.ask("SELECT s FROM SCORE dot TO ROW 'r0';")
    assert "did you mean .tables?" in session.ask(".tabels")
    assert "äöü" in session.ask(ASK)


def test_control_c_clears_what_was_typed(session):
    session.type("SELECT nonsense FROM\r").wait_for("...> ")
    session.type("more nonsense\x03").wait_for("graddb> ")
    assert "äöü" in session.ask(ASK)
    session.type("half a line\x03").wait_for("graddb> ")
    assert "äöü" in session.ask(ASK)


def test_control_c_stops_the_statement_and_not_the_shell(session, table):
    # Ten million answers to print: it runs for as long as it is let.
    long = "SELECT * FROM names SCORE dot TO ROWS WHERE numbers" + " + 1" * 50 + " > 0 EACH ALL;"
    path = table.files.write("long.sql", long * 400)
    session.type(f".read {path}\r").wait_for("rank")
    session.type("\x03").wait_for("interrupted")
    session.wait_for("graddb> ")
    assert "äöü" in session.ask(ASK)
    session.type("\x04")
    assert session.end() == OK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_ends_the_shell(session, number):
    os.kill(session.process.pid, number)
    assert session.end() == INTERRUPTED


def test_a_dumb_terminal_has_no_line_editing_and_works(table):
    with Session("shell", "--db", table.path, TERM="dumb") as session:
        session.wait_for("graddb> ")
        assert "äöü" in session.ask(ASK)
        session.type("nonsense\x03").wait_for("graddb> ")
        assert "äöü" in session.ask(ASK)
        session.type("\x04")
        assert session.end() == OK


@needs_readline
def test_lines_are_edited(session):
    left, home, end = "\x1b[D", "\x01", "\x05"
    # Typed with mistakes and mended: characters of two bytes are one step to the left.
    text = "ELECT s FROM names SCORE dot TO ROW 'r0' WHERE s = 'äö' TOP 2" + left * 7
    assert "äöü" in session.ask(text + "ü" + home + "S" + end + ";")


@needs_readline
def test_earlier_lines_come_back_in_this_shell_and_the_next(session, table):
    session.type("SELECT s\r").wait_for("...> ")
    assert "äöü" in session.ask("FROM names SCORE dot TO ROW 'r0' TOP 2;")
    session.ask(".tables")
    up = "\x1b[A"
    assert "äöü" in session.ask(up + up)
    session.type("\x04")
    assert session.end() == OK
    assert stat.S_IMODE(session.history.stat().st_mode) == 0o600
    line = "SELECT s FROM names SCORE dot TO ROW 'r0' TOP 2;"
    assert session.history.read_text().splitlines() == [line, ".tables", line]
    history = [f"FROM t{n};" for n in range(1500)] + [line]
    session.history.write_text("\n".join(history))
    path = str(session.history)
    with Session("shell", "--db", table.path, GRADDB_HISTORY=path) as again:
        again.wait_for("graddb> ")
        assert "äöü" in again.ask(up)
        again.ask(".tables")
        again.type("\x04")
        assert again.end() == OK
    assert session.history.read_text().splitlines() == [*history[-999:], ".tables"]


@needs_readline
@pytest.mark.parametrize(
    "typed,whole",
    [
        ("SELECT s FROM na\t", "SELECT s FROM names "),
        ("sele\t", "select "),
        ("EXPL\t", "EXPLAIN "),
        ("SELECT num\t", "SELECT numbers "),
        ("FROM names SCORE dot TO $q WHERE num\t", "WHERE numbers "),
        ("FROM names SCORE dot TO $q WHERE coal\t", "WHERE coalesce "),
        ("FROM names AT 'f\t", "AT 'first'"),
        ("FROM names SCORE dot TO $q LAYERS 'blocks.0-\t", "LAYERS 'blocks.0-mlp'"),
        ("FROM names SCORE dot TO $q ACROSS 'st\t", "ACROSS 'step-1'"),
        ("FROM names SCORE cos\t", "SCORE cosine "),
        (".sch\tna\t", ".schema names "),
        (".mode c\t", ".mode csv "),
    ],
)
def test_names_are_completed(session, typed, whole):
    session.type(typed).wait_for(whole)


@needs_readline
def test_names_of_files_are_completed(session, tmp_path):
    (tmp_path / "questions.npy").write_bytes(b"")
    # A line that is full goes on below, with other characters between: only the end is looked for.
    session.type(f"FROM names SCORE dot TO '{tmp_path}/quest\t").wait_for("npy")
