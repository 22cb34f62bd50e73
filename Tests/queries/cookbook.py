"""Runs the ```console blocks of a document as one session, and compares what they print.

    python3 Tests/queries/cookbook.py docs/cookbook.md        writes what differs into the document

Lines that begin with `$ ` are commands, `> ` goes on with one; the rest is what it prints, where …
stands for any text. Commands run in bash, in a new directory that has `tools` of the repository.
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GRADCTL = Path(os.environ.get("GRADCTL") or ROOT / ".build/release/gradctl").absolute()
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLOAT = re.compile(r"(-?\d+\.\d+(?:e[+-]?\d+)?)")
# Each command starts where and with what variables the last one ended.
SESSION = """cd "$(cat "$SESSION/directory")"; . "$SESSION/variables" 2>/dev/null
. "$SESSION/command"; status=$?; pwd >"$SESSION/directory"; export -p >"$SESSION/variables"; exit $status"""
# What differs from run to run, and what is written for it.
VOLATILE = [(re.compile(r"\b\d[\d.]*( ?(?:µs|us|ms|s|[kKMG]B/s|GMAC/s|rows/s))\b"), r"…\1"),
            (re.compile(r'("(?:seconds|gb_per_s|time)": )[^,}]+'), r"\1…"),
            (re.compile(r"\b(kernel|threads): \S+"), r"\1: …"),
            (re.compile(r"\bseconds [\d.e-]+"), "seconds …")]


@dataclass
class Step:
    command: str
    expected: str
    line: int
    lines: list = field(default_factory=list)  # the command's, as the document has them


def steps(text):
    found = []
    for block in BLOCK.finditer(text):
        line = text[:block.start(1)].count("\n") + 1
        for part in block.group(1).split("\n"):
            if part.startswith("$ "):
                found.append(Step(part[2:], "", line, [part]))
            elif part.startswith("> ") and not found[-1].expected:
                found[-1].command += "\n" + part[2:]
                found[-1].lines.append(part)
            elif part or found[-1].expected:
                found[-1].expected += part + "\n"
            line += 1
        found[-1].expected = found[-1].expected.rstrip("\n") + "\n" * bool(found[-1].expected.strip())
    return found


class Session:
    def __init__(self, directory):
        self.state = directory / "session"
        work = directory / "work"
        self.state.mkdir()
        work.mkdir()
        (work / "tools").symlink_to(ROOT / "tools")
        (self.state / "directory").write_text(str(work))
        bin_directory = directory / "bin"
        bin_directory.mkdir()
        (bin_directory / "gradctl").symlink_to(GRADCTL)
        (bin_directory / "python3").symlink_to(sys.executable)
        self.variables = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}", "NO_COLOR": "1",
                          "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "SESSION": str(self.state),
                          "XDG_CACHE_HOME": str(directory / "cache")}
        self.variables.pop("COLUMNS", None)

    def run(self, command):
        """(status, what it printed)"""
        (self.state / "command").write_text(command + "\n", "utf-8")
        done = subprocess.run(["bash", "-c", SESSION], env=self.variables, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        return done.returncode, done.stdout.decode("utf-8")

    @property
    def directory(self):
        return Path((self.state / "directory").read_text().strip())

    @property
    def database(self):
        found = re.search(r'GRADDB_PATH="(.*)"', (self.state / "variables").read_text())
        return self.directory / found.group(1)


def same(expected, actual):
    """Whether a text is as expected: … is any text, and floats may be off in their last digit."""
    parts = [FLOAT.split(part) for part in expected.split("…")]
    pattern = ".*".join("".join(FLOAT.pattern if n % 2 else re.escape(text) for n, text in enumerate(part))
                        for part in parts)
    found = re.fullmatch(pattern, actual, re.DOTALL)
    wanted = [float(text) for part in parts for text in part[1::2]]
    return found is not None and all(
        abs(float(text) - value) <= 2e-6 * abs(value) + 1e-6 for text, value in zip(found.groups(), wanted))


def statements(steps):
    """(step, words behind `gradctl query`) of all that ask one."""
    for step in steps:
        if step.command.startswith("gradctl query "):
            yield step, shlex.split(step.command)[2:]


def write(path):
    text = path.read_text("utf-8")
    found = steps(text)
    with tempfile.TemporaryDirectory() as directory:
        session = Session(Path(directory))
        for step in found:
            status, printed = session.run(step.command)
            if not same(step.expected, printed):
                print(f"line {step.line}, exit {status}: {step.command}", file=sys.stderr)
                for pattern, instead in VOLATILE:
                    printed = pattern.sub(instead, printed)
                step.expected = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    written = iter(found)

    def block(match):
        count = sum(line.startswith("$ ") for line in match.group(1).split("\n"))
        texts = ["\n".join(step.lines) + "\n" + step.expected for step in itertools.islice(written, count)]
        return "```console\n" + "".join(texts) + "```"

    path.write_text(BLOCK.sub(block, text), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
