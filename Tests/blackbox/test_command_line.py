"""The shape of the command line: global flags, documented objects, help, completions."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from graddb import NOT_FOUND, OK, environment, run

COMMANDS = [
    "init", "create", "project", "ingest", "commit", "staged", "recode", "precondition", "query", "explain", "shell",
    "info", "snapshots", "tag", "diff", "restore", "delete", "compact", "expire", "gc", "repair", "select",
    "duplicates", "drift", "backup", "export", "import", "check", "bench", "devices",
]  # fmt: skip


@pytest.fixture
def table(database, files):
    database.create("t", ["grad:8"])
    database.ingest("t", files.grad("v.safetensors", np.ones((3, 8))), checkpoint="c")
    return database


def test_global_flags_stand_before_or_after_the_command(table):
    expected = run("info", "t", "--db", table.path, "--json").expect(OK).stdout
    for words in (
        ["--db", table.path, "--json", "info", "t"],
        ["--json", "info", "--db", table.path, "t"],
        ["--quiet", "info", "t", "--no-color", "--json", "--threads", "1", "--db", table.path],
        ["--threads", "2", "--no-color", "--db", table.path, "info", "t", "--json", "--quiet"],
    ):
        assert run(*words).expect(OK).stdout == expected, words
    query = "FROM t SCORE dot TO ROW 0"
    after = run("query", query, "--db", table.path, "--json", "--threads", "2").expect(OK).stdout
    before = run("--threads", "2", "--json", "--db", table.path, "query", query).expect(OK).stdout
    assert before == after


def test_the_database_is_the_flag_or_the_variable(table, tmp_path):
    expected = table.json("info", "t").stdout
    variable = environment(GRADDB_PATH=table.path)
    assert run("info", "t", "--json", env=variable).expect(OK).stdout == expected
    other = environment(GRADDB_PATH=tmp_path / "nowhere")
    assert run("info", "t", "--json", "--db", table.path, env=other).expect(OK).stdout == expected
    run("info", env=other).expect(NOT_FOUND)


def test_init_and_create_print_what_they_made(gradctl, tmp_path):
    made = run("init", "--db", tmp_path / "db", "--json").expect(OK).line
    assert made["database"].endswith("db") and made["format_version"] == 1
    words = ["--layer", "grad:65536", "--layer", "mlp.0-x:7:f16", "--field", "source:string"]
    created = run("create", "alpaca", *words, "--db", tmp_path / "db", "--json").expect(OK).line
    assert created == {
        "table": "alpaca",
        "unit": "example",
        "layers": [
            {"name": "grad", "dims": 65536, "codec": "int8", "codecs": ["int8"]},
            {"name": "mlp.0-x", "dims": 7, "codec": "f16", "codecs": ["f16"]},
        ],
        "fields": [{"name": "source", "type": "string"}],
        "row_group": 1024,
    }
    words = ["--layer", "g:4:f32", "--unit", "token", "--row-group", "7"]
    created = run("create", "b", *words, "--db", tmp_path / "db", "--json").expect(OK).line
    assert (created["unit"], created["row_group"], created["fields"]) == ("token", 7, [])


def test_an_empty_directory_may_become_a_database(gradctl, tmp_path):
    (tmp_path / "empty").mkdir()
    run("init", "--db", tmp_path / "empty").expect(OK)
    assert run("info", "--db", tmp_path / "empty", "--json").expect(OK).line["tables"] == []
    assert run("check", "--deep", "--db", tmp_path / "empty", "--json").expect(OK).line["ok"]


def test_an_empty_table_answers_with_no_rows(database, files):
    database.create("t", ["grad:8"])
    info = database.info("t")
    assert (info["rows"], info["segments"], info["checkpoints"]) == (0, 0, [])
    query = files.grad("q.safetensors", np.ones((1, 8)))
    asked = database.run("query", "FROM t SCORE dot TO $q", "--param", f"q={query}", "--json")
    # There is no newest checkpoint to ask; saying so is as good as an empty answer.
    assert asked.expect(OK, 64).stdout == b""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(gradctl, command):
    shown = run(command, "--help").expect(OK)
    assert re.search("(?i)example", shown.text)
    assert f"gradctl {command} " in shown.text
    assert shown.stderr == b""


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_examples_can_be_copied_from_a_narrow_terminal(gradctl, command):
    """What is too long is wrapped: examples are not, or their second half would be another command."""
    shown = run(*command, "--help", env=environment(COLUMNS=80)).expect(OK).text
    about = shown.partition("USAGE:")[0].splitlines()
    assert max(map(len, about)) <= 80
    for line, following in zip(about, about[1:]):
        assert not line.startswith("  ") or not following or following.startswith("  "), line


def test_help_lists_every_command(gradctl):
    shown = run("--help").expect(OK)
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\b", shown.text, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid(gradctl, tmp_path, shell):
    script = run("--generate-completion-script", shell).expect(OK).text
    assert all(command in script for command in COMMANDS)
    if not shutil.which(shell):
        return
    path = tmp_path / "completion"
    path.write_text(script)
    subprocess.run([shell, "-n", path], check=True, timeout=60)
