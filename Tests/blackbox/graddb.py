"""Runs gradctl as a user would: arguments in, exit status, standard output and error out.

Everything here goes through the documented command line; nothing looks inside the engine. A
process that dies of a signal is a failure everywhere except where a test sent the signal itself,
so `run` checks it once for all.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# How many times as many kills and flipped bits as usual; tools/test.sh --nightly says 10.
SCALE = int(os.environ.get("GRADDB_TEST_SCALE") or 1)
GRADCTL = Path(os.environ.get("GRADCTL") or REPOSITORY / ".build/release/gradctl").absolute()

# Nothing here takes a minute; the limit only turns a hang into a failure.
TIMEOUT_SECONDS = 180

OK, FAILED, NOT_FOUND, LOCKED, CORRUPT = 0, 1, 10, 11, 12
USAGE, BAD_INPUT, IO, INTERRUPTED = 64, 65, 74, 130

KINDS = {
    FAILED: "failed",
    NOT_FOUND: "not_found",
    LOCKED: "locked",
    CORRUPT: "corrupt",
    USAGE: "usage",
    BAD_INPUT: "bad_input",
    IO: "io",
    INTERRUPTED: "interrupted",
}


def environment(**changes):
    """The environment of a run: the caller's, without what would change gradctl's behaviour.

    A change to None removes the variable.
    """
    clean = dict(os.environ, LC_ALL="C.UTF-8")
    for name in ("GRADDB_PATH", "NO_COLOR", "COLUMNS", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"):
        clean.pop(name, None)
    for name, value in changes.items():
        if value is None:
            clean.pop(name, None)
        else:
            clean[name] = str(value)
    return clean


@dataclass
class Result:
    """What one run of gradctl left behind."""

    arguments: list
    status: int
    stdout: bytes
    stderr: bytes

    def __str__(self):
        return (
            f"gradctl {' '.join(map(str, self.arguments))}\nexit {self.status}\n"
            f"stdout: {self.stdout[-2000:].decode(errors='replace')}\n"
            f"stderr: {self.stderr[-2000:].decode(errors='replace')}"
        )

    def expect(self, *statuses):
        assert self.status in (statuses or (OK,)), f"expected exit {statuses or (OK,)}\n{self}"
        return self

    @property
    def text(self):
        return self.stdout.decode("utf-8")

    @property
    def lines(self):
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self):
        (only,) = self.lines
        return only

    @property
    def error(self):
        """The JSON object that a failure under --json prints as its last line."""
        return json.loads(self.stderr.decode("utf-8").rstrip("\n").split("\n")[-1])


def run(*arguments, stdin=None, cwd=None, env=None, timeout=TIMEOUT_SECONDS):
    """Runs gradctl to its end. `stdin` is bytes; None is an empty standard input."""
    arguments = [os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments]
    done = subprocess.run(
        [str(GRADCTL), *arguments],
        input=stdin if stdin is not None else b"",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env or environment(),
        timeout=timeout,
    )
    result = Result(arguments, done.returncode, done.stdout, done.stderr)
    assert result.status >= 0, f"died of signal {-result.status}\n{result}"
    return result


def start(*arguments, cwd=None, env=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE):
    """Starts gradctl and returns the process, for tests that feed, signal or kill it."""
    return subprocess.Popen(
        [str(GRADCTL), *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env or environment(),
    )


def finish(process, timeout=TIMEOUT_SECONDS):
    """Closes a started process's input, waits for it and returns its `Result`, whatever it is."""
    if process.stdin and process.stdin.closed:
        process.stdin = None
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Result(process.args[1:], process.returncode, stdout or b"", stderr or b"")


def wait_for_exit(process, timeout=TIMEOUT_SECONDS):
    """Waits while the process's input stays open. Only for processes that print little."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


class Database:
    """A database directory, and the commands on it."""

    def __init__(self, path):
        self.path = Path(path)

    def run(self, *arguments, **options):
        return run(*arguments, "--db", self.path, **options)

    def json(self, *arguments, **options):
        return self.run(*arguments, "--json", **options).expect(OK)

    def start(self, *arguments, **options):
        return start(*arguments, "--db", self.path, **options)

    def init(self):
        self.json("init")
        return self

    def create(self, table, layers, fields=(), row_group=None, unit=None):
        """`layers` and `fields` are lists of the command's own words: "grad:64:f32"."""
        return self.json("create", *create_arguments(table, layers, fields, row_group, unit)).line

    def ingest(self, table, *inputs, checkpoint, stdin=None, **options):
        """Ingests and returns the acknowledgement. Options are flags: metadata=…, resume=True."""
        arguments = ingest_arguments(table, *inputs, checkpoint=checkpoint, **options)
        return self.json(*arguments, stdin=stdin).line

    def recode(self, table, codec, **options):
        """Recodes and returns the acknowledgement. Options are flags: layer=…, beside=True."""
        return self.json(*recode_arguments(table, codec, **options)).line

    def query(self, statement, *flags, params=None, **options):
        """The result rows of one statement."""
        return self.query_result(statement, *flags, params=params, **options).lines

    def query_result(self, statement, *flags, params=None, format="jsonl", **options):
        arguments = ["query", statement, "--format", format, *flags]
        for name, file in (params or {}).items():
            arguments += ["--param", f"{name}={file}"]
        return self.run(*arguments, **options).expect(OK)

    def info(self, *table):
        return self.json("info", *table).line

    def snapshots(self, table):
        return self.json("snapshots", table).lines

    def check(self, *flags, expect=OK):
        """Runs check --deep and returns its summary."""
        summary = self.run("check", "--deep", "--json", *flags).expect(expect).lines[-1]
        assert summary["ok"] == (expect == OK), summary
        return summary

    def state(self, table, *statements, cwd=None):
        """All that a user can see of a table, for comparing before and after.

        The database's path and its size on disk are left out: a log file that RocksDB turned over
        changes the one, and copies of a database differ in the other.
        """
        database = self.json("info", cwd=cwd).line
        del database["database"], database["bytes"], database["amplification"]
        seen = {
            "database": database,
            "table": self.json("info", table, cwd=cwd).line,
            "snapshots": self.json("snapshots", table, cwd=cwd).text,
        }
        for statement in statements:
            seen[statement] = self.query_result(statement, cwd=cwd).stdout
        return seen


def create_arguments(table, layers, fields=(), row_group=None, unit=None):
    arguments = [table]
    for layer in layers:
        arguments += ["--layer", layer]
    for field in fields:
        arguments += ["--field", field]
    if row_group is not None:
        arguments += ["--row-group", row_group]
    if unit is not None:
        arguments += ["--unit", unit]
    return arguments


def ingest_arguments(table, *inputs, checkpoint, **options):
    return ["ingest", table, *inputs, "--checkpoint", checkpoint, *flag_arguments(options)]


def recode_arguments(table, codec, **options):
    return ["recode", table, "--codec", codec, *flag_arguments(options)]


def flag_arguments(options):
    arguments = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not None and value is not False:
            arguments += [flag, value]
    return arguments
