"""A reader beside a writer: asks again and again until a file says stop, and logs what it was told.

    python3 -P load_reader.py KIND DATABASE STATEMENTS STOP LOG SEED

KIND is `query` (a gradctl process for each answer), `named` (the same, of a snapshot by its number),
`shell` (one gradctl for all), or `library` (libgraddb.so in this process, one handle for all;
$GRADDB_LIBRARY, with the package on PYTHONPATH). STATEMENTS has one with `{at}` on each line. LOG gets JSON
lines: when an answer was asked for and had, of which snapshot if one was named, and the answers,
`[[id, score], …]` each. Times are those of the monotonic clock, which all processes share.
"""

import json
import os
import random
import subprocess
import sys
import time

GRADCTL = os.environ.get("GRADCTL")
LONGEST_WAIT = 120


def pairs(lines):
    return [[line["id"], line["score"]] for line in lines]


class Gradctl:
    """A process for each script."""

    def __init__(self, path):
        self.path = path

    def run(self, *arguments, text=""):
        return subprocess.run([GRADCTL, *arguments, "--db", self.path, "--quiet"], text=True,
                              input=text, capture_output=True, timeout=LONGEST_WAIT)

    def ask(self, statements):
        """The answers, all of one snapshot; or None and what went wrong."""
        done = self.run("query", "-", "--format", "json", text="".join(s + ";\n" for s in statements))
        if done.returncode:
            return None, [done.returncode, done.stderr]
        return [pairs(json.loads(line)) for line in done.stdout.splitlines()], None

    def snapshots(self):
        done = self.run("snapshots", "t", "--json")
        if done.returncode:
            raise SystemExit(f"snapshots: {done.returncode} {done.stderr}")
        return [json.loads(line)["snapshot"] for line in done.stdout.splitlines()]


class Shell:
    """One process, which reads statements and answers each in one line."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [GRADCTL, "shell", "--db", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self._send(".mode json\n")

    def _send(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ask(self, statements):
        (statement,) = statements
        self._send(statement + ";\n")
        line = self.process.stdout.readline()
        if not line:
            return None, [self.process.wait(), self.process.stderr.read()]
        return [pairs(json.loads(line))], None


class Library:
    """The package's handle, which lives as long as this process."""

    def __init__(self, path):
        import graddb

        self.table = graddb.open(path).table("t")

    def ask(self, statements):
        (statement,) = statements
        try:
            found = self.table.query(statement)
        except Exception as error:  # All kinds are failures here, and are told.
            return None, [1, repr(error)]
        return [[list(pair) for pair in zip(found.ids.tolist(), found.scores.tolist())]], None


def main(kind, path, statements, stop, log, seed):
    chance = random.Random(seed)
    with open(statements) as file:
        texts = file.read().splitlines()
    reader = {"shell": Shell, "library": Library}.get(kind, Gradctl)(path)
    with open(log, "w", buffering=1) as out:
        while not os.path.exists(stop):
            asked, number = texts, None
            if kind == "named":
                number = chance.choice(reader.snapshots())
            elif kind != "query":
                asked = [chance.choice(texts)]
            at = "" if number is None else f"AT {number}"
            started = time.monotonic()
            answers, error = reader.ask([text.format(at=at) for text in asked])
            out.write(json.dumps({
                "kind": kind, "started": started, "ended": time.monotonic(), "snapshot": number,
                "statements": [texts.index(text) for text in asked], "answers": answers,
                "error": error}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
