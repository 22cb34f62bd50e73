"""The scripted run: named steps, one command of gradctl each, on one world (a directory that holds
all that the commands write). It is run once with every call recorded; what it leaves before and
after each step is kept for the tests, which run steps again with faults."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import calls
import worn
from calls import graddb
from gradient_files import Files
from seen import see

DATABASE = "runs/db"
DIMS = 128
ROWS = 40
SHAPES = {"w": (8, 6), "b": (10,)}


@dataclass(frozen=True)
class Step:
    """One command. `{world}` and `{inputs}` in its words are replaced."""

    name: str
    words: str
    # How to run it again when it was not seen to have happened, but may have left something that
    # counts: words to add.
    again: str = ""
    # What its own dry run says when it has happened: that nothing is left to do.
    afterwards: str = ""
    # Whether what it makes is no part of a database that was there: what is done to that later does
    # not make it durable.
    is_outside: bool = False
    # The database, and what makes it, where it is another one.
    database: str = DATABASE
    prepare: Callable | None = None
    # Whether it is run again also when it has happened: there is nothing left to do for it but to tidy.
    is_tidy: bool = False

    def arguments(self, world, inputs):
        return self._fill(self.words, world, inputs)

    def arguments_again(self, world, inputs):
        return self._fill(f"{self.words} {self.again}", world, inputs)

    def arguments_afterwards(self, world, inputs):
        return self._fill(self.afterwards, world, inputs)

    @staticmethod
    def _fill(words, world, inputs):
        return [word.format(world=world, inputs=inputs) for word in words.split()]


# One line adds a step to everything that is tested here.
STEPS = [
    Step("init", "init", is_outside=True),
    Step("create", f"create t --layer grad:{DIMS}:int8 --projector sketch,seed=3 "
         "--field part:int --field text:string --row-group 16"),
    Step("ingest", "ingest t {inputs}/a.safetensors --metadata {inputs}/a.jsonl --checkpoint c1 --weight 0.5"),
    Step("ingest-raw", "ingest t {inputs}/raw.safetensors --metadata {inputs}/b.jsonl --checkpoint c2 --weight 0.25 "
         "--raw --tag second"),
    Step("tag", "tag t kept 1"),
    Step("recode", "recode t --codec bit --beside --tag turned"),
    Step("precondition", "precondition t --name fisher --checkpoint c2"),
    Step("stage-0", "ingest t {inputs}/s0.safetensors --metadata {inputs}/s0.jsonl --checkpoint c3 --weight 1 --rank 0/2",
         again="--resume"),
    Step("stage-1", "ingest t {inputs}/s1.safetensors --metadata {inputs}/s1.jsonl --checkpoint c3 --weight 1 --rank 1/2",
         again="--resume"),
    Step("commit", "commit t --checkpoint c3 --message staged"),
    Step("untag", "tag t kept --delete"),
    Step("delete", "delete t --where part=2"),
    Step("compact", "compact t --all"),
    Step("restore", "restore t --to second"),
    Step("expire", "expire t --keep-last 2"),
    Step("gc", "gc", afterwards="gc --dry-run"),
    Step("backup", "backup create {world}/backups", is_outside=True),
    Step("tag-again", "tag t again"),
    Step("backup-again", "backup create {world}/backups", is_outside=True),
    Step("prune", "backup prune {world}/backups --keep-last 1",
         afterwards="backup prune {world}/backups --keep-last 1 --dry-run"),
    Step("backup-restore", "backup restore {world}/backups --into {world}/runs/restored", is_outside=True),
    Step("export", "export t --out {world}/t.gdba", is_outside=True),
    Step("import", "import {world}/t.gdba --as u"),
    # Of the database as it was before `commit`, and damaged since.
    Step("repair", "repair", is_outside=True, database=worn.DATABASE, prepare=worn.prepare, is_tidy=True),
]  # fmt: skip
NAMES = [step.name for step in STEPS]


@dataclass
class Taken:
    """A step as it went without faults."""

    step: Step
    # The world before it.
    world: Path
    before: dict
    after: dict
    calls: list = field(repr=False)

    @property
    def count(self):
        return len(calls.numbered(self.calls))


class Script:
    """The scripted run, done once."""

    def __init__(self, faults, directory):
        self.faults = faults
        self.directory = Path(directory)
        self.inputs = write_inputs(self.directory / "inputs")
        world = self.world = self.directory / "world"
        world.mkdir()
        shutil.copytree(world, self.directory / "empty")
        self.taken = {}
        before = self.see(world)
        for step in STEPS:
            if step.prepare:
                step.prepare(world, self.taken["commit"].world)
                before = self.see(world)
            start = self.directory / f"before-{step.name}"
            shutil.copytree(world, start)
            log = self.directory / f"{step.name}.calls"
            self.run(step, world, env=faults.environment(world, log=log)).expect()
            after = self.see(world)
            self.taken[step.name] = Taken(step, start, before, after, calls.read(log))
            before = after

    def see(self, world, env=None):
        return see(world, self.inputs / "query.safetensors", env)

    def arguments(self, step, world, again=False):
        make = step.arguments_again if again else step.arguments
        return [*make(world, self.inputs), "--db", database(world, step), "--json"]

    def run(self, step, world, again=False, env=None):
        """Runs a step in a world. Does not look at its status."""
        return graddb.run(*self.arguments(step, world, again), env=env)

    def run_afterwards(self, step, world, env=None):
        arguments = step.arguments_afterwards(world, self.inputs)
        return graddb.run(*arguments, "--db", database(world, step), "--json", env=env)

    def start(self, step, world, again=False, env=None):
        arguments = self.arguments(step, world, again)
        return graddb.start(*arguments, env=env, stdin=graddb.subprocess.DEVNULL)

    def copy(self, name, to):
        """A world as it was before a step."""
        return Path(shutil.copytree(self.taken[name].world, to))


def database(world, step=None):
    # Neither of the directories above is there before `init`.
    return Path(world) / (step.database if step else DATABASE)


def write_inputs(directory):
    directory.mkdir()
    files = Files(directory)
    random = np.random.default_rng(11)

    def vectors(count):
        return random.standard_normal((count, DIMS)).astype(np.float32)

    def rows(first, end):
        return [{"id": f"x{i}", "part": i // 8, "text": f"text {i} " * 4} for i in range(first, end)]

    files.grad("a.safetensors", vectors(ROWS), "F16")
    files.metadata("a.jsonl", rows(0, ROWS))
    files.tensors("raw.safetensors", {
        name: random.standard_normal((ROWS, *shape)).astype(np.float32) for name, shape in SHAPES.items()
    })  # fmt: skip
    files.metadata("b.jsonl", rows(ROWS // 2, ROWS // 2 + ROWS))
    for rank in range(2):
        files.grad(f"s{rank}.safetensors", vectors(ROWS), "F32")
        files.metadata(f"s{rank}.jsonl", rows(ROWS * rank + 10, ROWS * rank + 10 + ROWS))
    files.grad("query.safetensors", vectors(2))
    return directory
