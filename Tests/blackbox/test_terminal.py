"""What a person sees: tables that fit the terminal, colour and progress only there."""

import json
import re

import numpy as np
import pytest

from gradient_files import Files
from graddb import OK, USAGE, Database
from terminal import display_width, run_on_terminal

LONG = [
    "short",
    "a sentence that is much longer than any terminal is wide, " * 5,
    "漢字の列は二倍の幅を取る。" * 12,
    "😀 emoji and combining e\u0301 marks, " * 6,
    "one\nof\r\nmany\tlines \x1b[31mand\x1b[0m escapes\x07",
]
ASK = "SELECT text, source, tokens, row FROM t SCORE dot TO ROW 'r0' TOP 9 BOTTOM 9"


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("terminal")
    files = Files(directory)
    database = Database(directory / "db").init()
    database.create("t", ["grad:8:f32"], ["text:string", "source:string", "tokens:int"])
    rows = [
        {"id": f"r{i}", "text": text, "source": "s" * 30, "tokens": 10**i}
        for i, text in enumerate(LONG)
    ]
    vectors = np.random.default_rng(50).standard_normal((len(LONG), 8)).astype(np.float32)
    database.ingest(
        "t",
        files.grad("v.safetensors", vectors),
        checkpoint="c",
        metadata=files.metadata("m.jsonl", rows),
    )
    return database


def on_terminal(table, *arguments, **options):
    return run_on_terminal(*arguments, "--db", table.path, **options)


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(table, columns):
    screen = on_terminal(table, "query", ASK, columns=columns)
    assert screen.status == OK, screen
    assert len(screen.lines) >= 2 * len(LONG)
    for line in screen.lines:
        assert display_width(line) <= columns, line
    for row in range(len(LONG)):
        assert any(re.search(rf"\br{row}\b", line) for line in screen.lines)


def test_text_cannot_steer_the_terminal(table):
    """Line ends and escape sequences in a field stay inside their cell."""
    screen = on_terminal(table, "query", ASK, "--no-color")
    assert screen.status == OK
    assert "\x1b" not in screen.terminal and "\x07" not in screen.terminal
    assert not any(line.strip() in ("of", "many") for line in screen.lines)
    piped = table.run("query", ASK, "--format", "table").expect(OK)
    assert b"\x1b" not in piped.stdout


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_formats_for_programs_are_the_same_on_a_terminal(table, format):
    piped = table.run("query", ASK, "--format", format).expect(OK)
    screen = on_terminal(table, "query", ASK, "--format", format)
    # The terminal itself turns line feeds into both characters, and nothing else.
    assert screen.terminal.replace("\r\n", "\n") == piped.text


def test_colour_needs_a_terminal_and_no_refusal(table):
    commands = (["query", ASK], ["info"], ["info", "t"], ["snapshots", "t"], ["check"])
    wrong = ["query", "SELECT id FROM t SCORE dot TOO ROW 'r0' TOP 3"]
    for command in (*commands, wrong):
        piped = table.run(*command)
        assert b"\x1b" not in piped.stdout + piped.stderr, command
        for stream in ("stdout", "stderr"):
            plain = on_terminal(table, *command, "--no-color", stream=stream)
            asked = on_terminal(table, *command, stream=stream, NO_COLOR="1")
            for screen in (plain, asked):
                assert "\x1b[3" not in screen.terminal and "\x1b[1" not in screen.terminal
                assert b"\x1b" not in screen.pipe
    assert table.run(*wrong).status == USAGE


def test_progress_needs_a_terminal_and_no_quiet(database, files):
    database.create("t", ["grad:4096"])
    values = np.random.default_rng(51).standard_normal((500, 4096)).astype(np.float32)
    source = files.grad("v.safetensors", values)
    ingest = ["ingest", "t", source, "--json", "--checkpoint"]
    piped = database.run(*ingest, "c1").expect(OK)
    assert b"\r" not in piped.stderr and b"\x1b" not in piped.stderr
    loud = on_terminal(database, *ingest, "c2", stream="stderr")
    quiet = on_terminal(database, *ingest, "c3", "--quiet", stream="stderr")
    assert (loud.status, quiet.status) == (OK, OK)
    assert quiet.terminal == ""
    for screen in (loud, quiet):
        assert json.loads(screen.pipe)["rows"] == 500
    for line in re.split(r"[\r\n]+", "\n".join(loud.lines)):
        assert display_width(line) <= 80
