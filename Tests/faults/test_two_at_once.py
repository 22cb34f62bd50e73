"""Two commands at once: at each call by which one looks at the file system or changes it, another runs
from its beginning to its end. What they leave, and what they say, is what they would have left and said
one after the other, in one order or the other; or one of them was told that the other holds a lock, and
has done nothing."""

import itertools
import random
import shlex
import shutil
from dataclasses import dataclass

import pytest

from calls import graddb
from script import database
from seen import timeless
from survival import in_parallel

# So many pairs, and calls of each; all in the nightly run.
PAIRS_AT_ONCE, CALLS = (12, 4) if graddb.SCALE == 1 else (1 << 30, 1 << 30)
numbers = itertools.count()


@dataclass(frozen=True)
class Pair:
    """`first` runs in the world as it was before the step `before`; `second`, commands separated by
    ';', within it."""

    before: str
    first: str
    second: str
    database: str = "runs/db"

    def __str__(self):
        return f"{self.first} | {self.second}".replace("{world}/", "").replace("{inputs}/", "")


INGEST = "ingest t {inputs}/s0.safetensors --metadata {inputs}/s0.jsonl --checkpoint c4 --weight 1"
INGEST_OTHER = "ingest t {inputs}/s1.safetensors --metadata {inputs}/s1.jsonl --checkpoint c4 --weight 1"
CREATE = "create t --layer grad:128:int8 --projector sketch,seed=3 --field part:int --field text:string"
STAGE_0 = INGEST.replace("c4", "c3") + " --rank 0/2"
STAGE_1 = INGEST_OTHER.replace("c4", "c3") + " --rank 1/2"
QUERY = "query \"SELECT row, text FROM t SCORE dot TO '{inputs}/query.safetensors' ACROSS ALL ALL EXACT\""
DELETE = "delete t --where part=3"
REWRITE = f"{DELETE}; compact t --all; expire t --keep-last 1; gc"
BACK_UP = "backup create {world}/backups"
PRUNE = "backup prune {world}/backups --keep-last 1"
RESTORE = "backup restore {world}/backups --into {world}/runs/restored"
EXPORT = "export t --out {world}/t.gdba"
IMPORT = "import {world}/t.gdba --as u"
COMMIT = "commit t --checkpoint c3"
ABANDON = "staged t --checkpoint c3 --abandon"

PAIRS = [
    Pair("init", "init", f"init; {CREATE}; {INGEST}"),
    Pair("create", CREATE, f"{CREATE}; {INGEST}"),
    Pair("ingest", INGEST, INGEST_OTHER),
    Pair("delete", INGEST, INGEST),
    Pair("delete", INGEST, DELETE),
    Pair("delete", DELETE, INGEST),
    Pair("delete", DELETE, "delete t --where part=2"),
    Pair("delete", "compact t --all", DELETE),
    Pair("delete", DELETE, "compact t --all"),
    Pair("delete", "recode t --codec f16 --beside", DELETE),
    Pair("precondition", "precondition t --name fisher --checkpoint c2", DELETE),
    Pair("tag", "tag t kept 1", "tag t kept 2"),
    Pair("expire", "expire t --keep-last 2", "tag t kept 1"),
    Pair("expire", "tag t kept 1", "expire t --keep-last 1"),
    Pair("expire", "restore t --to 1", "expire t --keep-last 1; gc"),
    Pair("expire", QUERY, REWRITE),
    Pair("expire", "diff t 1 2", REWRITE),
    Pair("expire", "snapshots t", REWRITE),
    Pair("expire", "check --deep", REWRITE),
    Pair("expire", EXPORT, REWRITE),
    Pair("expire", BACK_UP, REWRITE),
    Pair("gc", "gc", INGEST),
    Pair("gc", INGEST, "gc"),
    Pair("gc", "gc", "gc"),
    Pair("gc", BACK_UP, "gc"),
    Pair("gc", EXPORT, "gc"),
    Pair("gc", "check --deep", "gc"),
    Pair("gc", "info t", "gc"),
    Pair("backup", BACK_UP, BACK_UP),
    Pair("prune", BACK_UP, PRUNE),
    Pair("prune", PRUNE, BACK_UP),
    Pair("prune", PRUNE, PRUNE),
    Pair("prune", RESTORE, PRUNE),
    Pair("prune", "backup verify {world}/backups", PRUNE),
    Pair("prune", "backup list {world}/backups", PRUNE),
    Pair("backup-restore", RESTORE, RESTORE),
    Pair("export", EXPORT, EXPORT),
    Pair("import", IMPORT, IMPORT),
    Pair("stage-0", STAGE_0, STAGE_0),
    Pair("stage-1", STAGE_1, COMMIT),
    Pair("stage-1", STAGE_1, ABANDON),
    Pair("commit", COMMIT, f"{STAGE_1} --resume"),
    Pair("commit", COMMIT, COMMIT),
    Pair("commit", COMMIT, ABANDON),
    Pair("commit", ABANDON, COMMIT),
    Pair("commit", "staged t", COMMIT),
    Pair("commit", "check --deep", COMMIT),
    Pair("commit", "check --deep", ABANDON),
    Pair("repair", "repair", "repair", database="runs/worn"),
    Pair("repair", "repair", "tag t again 1", database="runs/worn"),
    Pair("repair", "tag t again 1", "repair", database="runs/worn"),
]  # fmt: skip


# Where it once went wrong: a pair, and which call of a kind to a path that ends so.
FOUND = [
    # It did not look again, and emptied the catalog of the database that was there by then.
    (PAIRS[0], "rename", 0, "runs/db"),
    # It took the other's backups for something that has none.
    (Pair("backup", BACK_UP, BACK_UP), "list", 0, "/backups"),
    # It had let go of its lock, and the other one removed its files.
    (Pair("backup-restore", RESTORE, RESTORE), "rename", 0, "runs/restored"),
    # It took for missing what it had open, and the other needed no more.
    (Pair("gc", "check --deep", "gc"), "stat", -1, ".sst"),
    # It had found what the other removed before it could be locked.
    (Pair("stage-1", STAGE_1, ABANDON), "make", 0, "/lock"),
]


class Together:
    """A pair of commands, and all that may come of them."""

    def __init__(self, script, between, pair):
        self.script, self.between, self.pair = script, between, pair
        self.directory = script.directory / f"together-{next(numbers)}"
        self.directory.mkdir()
        self.known = {}

    def command(self, words, world):
        words = [word.format(world=world, inputs=self.script.inputs) for word in shlex.split(words)]
        return [*words, "--db", world / self.pair.database, "--json"]

    def commands(self, world):
        seconds = [self.command(words, world) for words in self.pair.second.split(";")]
        return self.command(self.pair.first, world), seconds

    def world(self):
        return self.script.copy(self.pair.before, self.directory / f"{next(numbers)}")

    def calls(self):
        world = self.world()
        found = self.between.calls(self.commands(world)[0], world, f"{world}.calls")
        shutil.rmtree(world)
        return found

    def outcome(self, world, first, seconds):
        statuses = tuple(result.status for result in (first, *seconds))
        answer = first.text if self.pair.first.startswith("query") else None
        return statuses, answer, timeless(self.script.see(world))

    def one_after_the_other(self, refused):
        """All that may be, where those of `refused` (numbers of commands) have not happened."""
        if refused not in self.known:
            self.known[refused] = [
                self._in_order(refused, place) for place in range(len(self.pair.second.split(";")) + 1)
            ]
        return self.known[refused]

    def _in_order(self, refused, place):
        world = self.world()
        first, seconds = self.commands(world)
        numbered = list(enumerate([first, *seconds]))
        order = [*numbered[1 : place + 1], numbered[0], *numbered[place + 1 :]]
        nothing = graddb.Result([], graddb.LOCKED, b"", b"")
        results = {number: nothing if number in refused else graddb.run(*command) for number, command in order}
        outcome = self.outcome(world, results[0], [results[number] for number, _ in numbered[1:]])
        shutil.rmtree(world)
        return outcome

    def verify(self, at):
        world = self.world()
        command, others = self.commands(world)
        first, seconds = self.between.run(command, world, at, others, f"{world}.results")
        if seconds is None:
            # Threads make some calls more or fewer than they did when they were counted.
            return False
        found = self.outcome(world, first, seconds)
        refused = frozenset(number for number, status in enumerate(found[0]) if status == graddb.LOCKED)
        expected = self.one_after_the_other(refused)
        assert found in expected, "\n".join(
            [f"at call {at}: {self.pair}", *map(str, (first, *seconds)), f"{found}", "but not", *map(str, expected)]
        )
        if self.pair.database == "runs/db" and found[2].get("database") is not False:
            graddb.run("check", "--deep", "--db", database(world)).expect()
        shutil.rmtree(world)
        return True


@pytest.mark.parametrize("number", range(min(PAIRS_AT_ONCE, len(PAIRS))))
def test_as_one_after_the_other(script, between, number, seed):
    pair = random.Random(f"{seed} pairs").sample(PAIRS, len(PAIRS))[number]
    together = Together(script, between, pair)
    count = len(together.calls())
    chosen = random.Random(f"{seed} {pair}").sample(range(1, count + 1), min(CALLS, count))
    came_by = in_parallel(together.verify, chosen)
    assert sum(came_by) > len(chosen) / 2
    shutil.rmtree(together.directory)


@pytest.mark.parametrize("pair, kind, which, path", FOUND, ids=str)
def test_where_it_once_went_wrong(script, between, pair, kind, which, path):
    together = Together(script, between, pair)
    calls = enumerate(together.calls(), 1)
    at = [number for number, call in calls if call[0] == kind and call[1].endswith(path)]
    assert together.verify(at[which])
    shutil.rmtree(together.directory)
