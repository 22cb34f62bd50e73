"""Eight readers beside a writer that deletes, compacts, expires and cleans up: every answer is that of
a snapshot that there was when it was asked for, none fails, none waits for the writer.

Ten seconds; tools/test.sh --nightly takes half an hour.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from graddb import GRADCTL, OK, REPOSITORY, SCALE, USAGE, environment, finish, run

SECONDS = 10 if SCALE == 1 else 180 * SCALE
DIMS = 24
# A reader that waits so long is blocked; machines are slow, so this is no measure of speed.
LONGEST_WAIT = 60
READERS = ["query", "query", "query", "named", "named", "shell", "library", "library"]
STATEMENTS = [
    "SELECT row FROM t {at} SCORE dot TO '{q}' MEAN ALL",
    "SELECT row, part FROM t {at} SCORE cosine TO '{q}' MEAN WHERE part % 3 != 1 TOP 30 BOTTOM 5",
    "SELECT part FROM t {at} SCORE dot TO '{q}' SUM GROUP BY part WITH mean ALL",
    "SELECT row FROM t {at} SCORE self WHERE part >= 0 TOP 20%",
]


def library():
    """libgraddb.so as the package finds it, or beside gradctl."""
    for path in [os.environ.get("GRADDB_LIBRARY"), GRADCTL.parent / "libgraddb.so"]:
        if path and Path(path).exists():
            return str(path)
    return None


class Writer:
    """Commits one after the other, and keeps what every snapshot answers.

    `spans[n]` is when the commit that made snapshot n began and when it was acknowledged; a reader
    that asks in between may see it or not.
    """

    def __init__(self, database, files, chance, query):
        self.database, self.files, self.chance = database, files, chance
        self.rng = np.random.default_rng(chance.randrange(1 << 32))
        self.statements = [text.replace("{q}", str(query)) for text in STATEMENTS]
        self.answers, self.spans, self.expired, self.done = {}, {}, {}, []
        self.parts = 0

    def commit(self, *arguments, **options):
        began = time.monotonic()
        said = self.database.json(*arguments, **options).line
        if "snapshot" in said and said["snapshot"] not in self.spans:
            number = said["snapshot"]
            self.spans[number] = began, time.monotonic()
            self.answers[number] = self.ask(number)
        self.done.append(arguments[0])
        return said

    def ask(self, number):
        script = "".join(text.format(at=f"AT {number}") + ";\n" for text in self.statements)
        said = self.database.run("query", "-", "--format", "json", stdin=script.encode()).expect(OK)
        return [[[line["id"], line["score"]] for line in json.loads(answer)]
                for answer in said.stdout.splitlines()]

    def ingest(self):
        self.parts += 1
        rows = self.rng.standard_normal((20, DIMS)).astype(np.float32)
        metadata = [{"id": f"{self.parts}-{i}", "part": self.parts} for i in range(20)]
        self.commit("ingest", "t", self.files.grad("in.safetensors", rows), "--checkpoint", "c",
                    "--metadata", self.files.metadata("in.jsonl", metadata))

    def delete(self):
        keep = self.parts - self.chance.randint(3, 12)
        self.commit("delete", "t", "--where", f"part < {keep} OR part % 7 = 3 AND length(id) > 3")

    def restore(self):
        numbers = [line["snapshot"] for line in self.database.snapshots("t")]
        self.commit("restore", "t", "--to", self.chance.choice(numbers))

    def compact(self):
        self.commit("compact", "t", *self.chance.choice([[], ["--all"]]))

    def expire(self):
        began = time.monotonic()
        for number in self.commit("expire", "t", "--keep-last", self.chance.randint(1, 4))["expired"]:
            self.expired[number] = began

    def gc(self):
        self.commit("gc")

    def recode(self):
        """Between two codecs, of which the table has one."""
        codec = self.database.info("t")["layers"][0]["codec"]
        self.commit("recode", "t", "--codec", "f16" if codec == "f32" else "f32")

    def backup(self):
        self.database.json("backup", "create", self.database.path.parent / "backups")
        self.done.append("backup")


def has_backups():
    return any(line.split()[:1] == ["backup"] for line in run("--help").text.splitlines())


def start_readers(database, statements, stop, logs, seed):
    readers = []
    for place, kind in enumerate(READERS):
        kind = kind if kind != "library" or library() else "shell"
        changes = {"GRADCTL": GRADCTL, "PYTHONPATH": REPOSITORY / "tools/python/src",
                   "GRADDB_LIBRARY": library(), "PYTHONDONTWRITEBYTECODE": 1}
        readers.append(subprocess.Popen(
            [sys.executable, "-P", Path(__file__).with_name("load_reader.py"), kind, database.path,
             statements, stop, logs[place], f"{seed} reader {place}"],
            env=environment(**changes), stderr=subprocess.PIPE, text=True))
    return readers


def test_every_answer_is_that_of_its_snapshot(database, files, seed):
    database.create("t", [f"grad:{DIMS}:f32"], ["part:int"], row_group=16)
    query = files.grad("q.safetensors", np.random.default_rng(5).standard_normal((2, DIMS)))
    writer = Writer(database, files, random.Random(f"{seed} load"), query)
    writer.ingest()
    statements = files.write("statements.txt", "\n".join(writer.statements))
    stop = database.path.parent / "stop"
    logs = [database.path.parent / f"reader-{place}.jsonl" for place in range(len(READERS))]
    operations = [writer.ingest, writer.delete, writer.compact, writer.expire, writer.gc,
                  writer.backup if has_backups() else writer.ingest, writer.restore, writer.ingest,
                  writer.delete, writer.recode, writer.gc, writer.compact, writer.expire]
    readers = start_readers(database, statements, stop, logs, seed)
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            operations[len(writer.done) % len(operations)]()
    finally:
        stop.touch()
        endings = [reader.communicate(timeout=LONGEST_WAIT)[1] for reader in readers]
    assert not any(reader.returncode for reader in readers), endings
    asked = [Asked(json.loads(line)) for log in logs for line in log.read_text().splitlines()]
    for one in asked:
        one.verify(writer)
    kinds = {one.kind for one in asked}
    print(f"{len(asked)} answers, {len(writer.spans)} snapshots, {sorted(kinds)}, "
          f"longest wait {max(one.ended - one.started for one in asked):.2f} s, "
          f"{ {name: writer.done.count(name) for name in sorted(set(writer.done))} }")
    assert kinds >= {"query", "named", "shell" if not library() else "library"}
    assert len({tuple(one.seen) for one in asked}) > 1, "the readers saw nothing come"
    database.check()


class Asked:
    """A line of a reader's log."""

    def __init__(self, line):
        self.__dict__ |= line
        self.seen = []

    def verify(self, writer):
        assert self.ended - self.started < LONGEST_WAIT, "a reader was blocked"
        if self.error and self.snapshot is not None:
            # It was expired between the reader's two commands.
            status, text = self.error
            assert status == USAGE, text
            assert writer.expired[self.snapshot] < self.ended, text
            return
        assert not self.error, self.error
        if self.snapshot is not None:
            self.seen = [self.snapshot]
        else:
            # The newest that was acknowledged before, or any that was being made since.
            first = max((n for n, (_, done) in writer.spans.items() if done <= self.started))
            self.seen = [n for n, (began, _) in writer.spans.items()
                         if n >= first and began <= self.ended]
        wanted = [[writer.answers[number][place] for place in self.statements] for number in self.seen]
        assert self.answers in wanted, f"{self.kind}, snapshots {self.seen}: {self.answers}"


def test_a_reader_keeps_what_it_opened(database, files):
    """A reader that has opened, and is then kept waiting: all that it has still to read is deleted,
    compacted, expired and cleaned up in between."""
    database.create("t", [f"grad:{DIMS}:f32"], ["text:string"], row_group=64)
    rows = np.random.default_rng(6).standard_normal((4000, DIMS)).astype(np.float32)
    metadata = [{"id": i, "text": f"text {i} " * 8} for i in range(len(rows))]
    database.ingest("t", files.grad("rows.safetensors", rows), checkpoint="c",
                    metadata=files.metadata("rows.jsonl", metadata))
    script = (f"SELECT text FROM t SCORE dot TO '{files.grad('q.safetensors', rows[:1])}' ALL;\n"
              f"SELECT text FROM t SCORE self WHERE text LIKE '%7 %' ALL;\n").encode()
    whole = database.run("query", "-", "--format", "jsonl", stdin=script).expect(OK).stdout
    assert len(whole) > 1 << 19
    process = database.start("query", "-", "--format", "jsonl")
    process.stdin.write(script)
    process.stdin.close()
    # What a pipe holds has come, so it is open; the rest has not, and nor has the second statement.
    beginning = process.stdout.read(1000)
    database.json("delete", "t", "--where", "row % 2 = 0")
    database.json("compact", "t")
    database.json("expire", "t", "--keep-last", 1)
    done = database.json("gc").line
    assert done["segments"] == 1 and done["rows"] == 2000
    assert beginning + process.stdout.read() == whole
    assert finish(process).status == OK
    database.check()


def test_expired_while_it_is_asked_for(database, files):
    """A reader that names a snapshot which has gone is told so, and how to go on."""
    database.create("t", ["grad:2:f32"])
    for _ in range(3):
        database.ingest("t", files.grad("v.safetensors", [[1, 2]]), checkpoint="c")
    database.json("expire", "t", "--keep-last", 1)
    for name in ("1", "2"):
        refused = database.run("query", f"FROM t AT {name} SCORE self", "--json").expect(USAGE)
        assert "expired" in refused.error["error"], refused
