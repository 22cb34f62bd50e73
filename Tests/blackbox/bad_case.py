"""What a bad-input case is, and the small database that each one is tried on."""

import shutil
from dataclasses import dataclass
from typing import Callable

import numpy as np

from gradient_files import Files, raw_safetensors, safetensors
from graddb import Database, ingest_arguments

DIMS = 8
ROWS = 10
GOOD = np.random.default_rng(20).integers(-9, 10, (ROWS, DIMS)).astype(np.float32)
GOOD[3] = 0


@dataclass
class Case:
    """One refusal: the exit status, what the message must name, and the command.

    `words` are regular expressions searched in the message; `arguments` is called with the
    `Workspace`, writes what files it needs there and returns gradctl's arguments.
    """

    name: str
    status: int
    words: list
    arguments: Callable
    stdin: bytes = None
    flags: tuple = ("--db", "db")


class Workspace:
    """A directory with a database `db`, in which gradctl runs.

    Table `t` has one f32 layer, the rows known-0 … known-9 (known-3 is zero) in checkpoint `c1`
    and the tag `kept`; table `two` has two layers and counted ids.
    """

    FIELDS = ["source:string", "tokens:int", "weight:float", "flagged:bool"]

    def __init__(self, directory):
        self.directory = directory
        self.files = Files(directory)
        self.database = Database("db")

    @classmethod
    def template(cls, directory):
        space = cls(directory)
        database = Database(directory / "db").init()
        database.create("t", [f"grad:{DIMS}:f32"], cls.FIELDS, row_group=4)
        database.create("counted", [f"grad:{DIMS}:f32"])
        database.create("two", ["a:4:f32", "b:3:int8"])
        source = space.files.grad("known.safetensors", GOOD)
        rows = [
            {"id": f"known-{i}", "source": "alpaca", "tokens": i, "weight": i / 4, "flagged": False}
            for i in range(ROWS)
        ]
        metadata = space.files.metadata("known.jsonl", rows)
        database.ingest("t", source, checkpoint="c1", metadata=metadata, tag="kept")
        database.ingest("counted", source, checkpoint="c1")
        layers = {"a": GOOD[:, :4], "b": GOOD[:, :3]}
        database.ingest("two", space.files.tensors("two.safetensors", layers), checkpoint="c1")
        return space

    def copy(self, directory):
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return Workspace(directory)

    def state(self):
        fields = "row, source, tokens, weight, flagged"
        statement = f"SELECT {fields} FROM t SCORE dot TO ROW 'known-1' TOP 100 BOTTOM 100"
        return self.database.state("t", statement, cwd=self.directory)

    def contents(self):
        """Every byte of the database. Where it is what it was, nothing can have changed."""
        paths = sorted(p for p in (self.directory / "db").rglob("*") if p.is_file())
        return [(path.relative_to(self.directory), path.read_bytes()) for path in paths]

    def check(self):
        self.database.run("check", "--deep", cwd=self.directory).expect()

    def good_file(self, name="good.safetensors", count=ROWS):
        return self.files.grad(name, GOOD[:count]).name

    def ids(self, *ids, name="ids.jsonl"):
        return self.files.metadata(name, [{"id": i} for i in ids]).name


def ingest_file(name, content, table="counted", **options):
    """Arguments of a case that ingests one file of given bytes."""

    def arguments(space):
        space.files.write(name, content() if callable(content) else content)
        return ingest_arguments(table, name, checkpoint="c2", **options)

    return arguments


def header_entry(**changes):
    """The header of a good file of two rows, with the entry of `grad` changed (None removes)."""
    entry = {"dtype": "F32", "shape": [2, DIMS], "data_offsets": [0, 2 * DIMS * 4]}
    entry.update(changes)
    return {"grad": {key: value for key, value in entry.items() if value is not None}}


def document(**changes):
    return raw_safetensors(header_entry(**changes), GOOD[:2].tobytes())


def good_document(count=2):
    return safetensors({"grad": GOOD[:count]})


def with_value(value, row, dtype="F32", count=ROWS):
    """A file whose row has one odd value."""
    vectors = GOOD[:count].copy()
    vectors[row, 5] = value
    return safetensors({"grad": vectors}, dtype)
