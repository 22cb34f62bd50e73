"""Backups of tables, and whether what is restored of them is the same."""

import importlib.util

import numpy as np

from graddb import CORRUPT, OK, REPOSITORY, Database, run

FIELDS = ["part:int", "text:string"]
WORDS = ["gradient", "influence", "training", "example", "poison", "token", "layer", "step"]


class Rows:
    """Rows with random string ids, text and vectors; no two parts have a row in common."""

    def __init__(self, files, dims, seed):
        self.files = files
        self.dims = dims
        self.random = np.random.default_rng(seed)
        self.parts = 0

    def ids(self, count):
        return [self.random.bytes(8).hex() for _ in range(count)]

    def write(self, count):
        """A file of vectors and one of metadata; returns their paths."""
        part, self.parts = self.parts, self.parts + 1
        vectors = self.random.standard_normal((count, self.dims)).astype(np.float32)
        rows = [
            {"id": id, "part": part, "text": " ".join(self.random.choice(WORDS, 20)) + id[:6]}
            for id in self.ids(count)
        ]
        return (
            self.files.grad(f"part-{part}.safetensors", vectors, "F16"),
            self.files.metadata(f"part-{part}.jsonl", rows),
        )

    def ingest(self, database, count, checkpoint="c"):
        vectors, metadata = self.write(count)
        return database.ingest("t", vectors, checkpoint=checkpoint, metadata=metadata)


class Backups:
    """A backup directory, and the commands on it."""

    def __init__(self, path):
        self.path = path

    def create(self, database, *flags):
        return database.json("backup", "create", self.path, *flags).line

    def list(self):
        return run("backup", "list", self.path, "--json").expect().lines

    def verify(self, *arguments, expect=OK):
        """Problems, and the summary."""
        result = run("backup", "verify", self.path, *arguments, "--json").expect(expect)
        *problems, summary = result.lines
        assert summary["ok"] == (expect == OK) and summary["problems"] == len(problems)
        if expect == CORRUPT:
            assert problems and result.error["kind"] == "corrupt"
        return problems, summary

    def restore(self, into, *backup):
        done = run("backup", "restore", self.path, *backup, "--into", into, "--json").expect().line
        assert done["into"] == str(into)
        return Database(into)

    def prune(self, keep):
        return run("backup", "prune", self.path, "--keep-last", keep, "--json").expect().line

    @property
    def manifests(self):
        return sorted((self.path / "backups").iterdir())

    @property
    def objects(self):
        return sorted(path for path in (self.path / "objects").rglob("*") if path.is_file())

    @property
    def bytes(self):
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def answers(database, query, snapshot=None):
    """Every row with its fields and every digit of its score, for each query of a file."""
    at = "" if snapshot is None else f"AT {snapshot}"
    statement = f"SELECT id, row, score, part, text FROM t {at} SCORE dot TO '{query}' EACH ALL"
    return database.query_result(statement, "--threads", 1).stdout


def history(database):
    return database.json("snapshots", "t").text


def _module(name):
    path = REPOSITORY / "tools/reader" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"reader_{name}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


xxh3 = _module("xxh3").xxh3


def checksum(data):
    """XXH3 of the XXH3s, as u64, of the successive MiB."""
    pieces = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]
    return xxh3(b"".join(xxh3(piece).to_bytes(8, "little") for piece in pieces))


def sealed_manifest(lines):
    """The bytes of a manifest of these lines, with the right checksum at the end."""
    body = b"".join(line + b"\n" for line in lines)
    return body + b'{"checksum":"%016x"}\n' % checksum(body)
