"""The tables that the statements ask: as the oracle knows them, and as gradctl stores them.

Vectors are eighths of small integers, so that dot products are exact and ties are real ones. A
table is made when the first statement asks for it.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from query_oracle import Checkpoint, Table, preconditioner

sys.path.append(str(Path(__file__).resolve().parents[1] / "blackbox"))
import gradient_files  # noqa: E402
import graddb  # noqa: E402

LAYERS = {"layers.0.attn": 4, "layers.0.mlp": 3, "layers.1.mlp": 5, "head": 2}
FIELDS = {"source": "string", "text": "string", "tokens": "int", "loss": "float", "flagged": "bool"}
# id, source, text, tokens, loss, flagged; None is NULL
ROWS = [
    ("web-0", "web", "howdy", 12, 0.5, False),
    ("web-1", "web", "Howdy, partner", 16, 2.25, False),
    ("web-2", "web", "  spaces around\t", 512, 2.5, True),
    ("web-3", "web", None, 100, None, None),
    ("book-0", "book", "größe", 17, 1.0, False),
    ("book-1", "book", "gro\u0308ße", 17, 1.5, True),
    ("book-2", "book", "STRASSE", -7, -1.5, False),
    ("book-3", "book", "straße", 7, 0.0, None),
    ("book-4", "book", "100% sure", 0, -0.0, False),
    ("code-0", "code", "a_b", 64, 2.0, True),
    ("code-1", "code", "axb", 65, 1e300, False),
    ("code-2", "code", "it's", 3, 3.5, False),
    ("code-3", "code", "two\nlines", 9007199254740993, 9007199254740992.0, True),
    ("code-4", "code", "", -9223372036854775808, -2.5, False),
    ("none-0", None, "漢字仮名", None, 0.1, True),
    ("none-1", None, "\u2003wide\u2003", 1, 7.0, False),
    ("none-2", None, None, None, None, None),
    ("Web-0", "Web", "CASE", 2, 0.5, False),
    ("late-0", "late", "late", 33, 0.25, True),
    ("late-1", "late", "later", 34, 0.75, False),
]
WEIGHTS = {"step-1": 0.5, "step-2": 0.25, "step-3": 0.125}
MISSING = {"step-1": [18, 19], "step-2": [4], "step-3": [4, 11]}


def eighths(rows, dims, *key):
    """The same small dyadic numbers for the same key, on every machine."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "little")
    return np.random.RandomState(seed).randint(-40, 41, (rows, dims)) / 8


def small_rows():
    return [{"id": row[0], **dict(zip(FIELDS, row[1:]))} for row in ROWS]


def small_checkpoints():
    found = []
    for name, weight in WEIGHTS.items():
        vectors = {layer: eighths(len(ROWS), dims, name, layer) for layer, dims in LAYERS.items()}
        for values in vectors.values():
            values[9] = values[2]  # duplicates
        if name == "step-3":
            for values in vectors.values():
                values[7] = 0
        vectors["head"][13] = 0
        has = np.array([row not in MISSING[name] for row in range(len(ROWS))])
        found.append(Checkpoint(name, weight, vectors, has))
    return found


def seen(table, checkpoints):
    """The table when only its first checkpoints were there."""
    there = table.checkpoints[:checkpoints]
    rows = max(np.flatnonzero(c.has).max() + 1 for c in there)
    cut = [Checkpoint(c.name, c.weight, {k: v[:rows] for k, v in c.vectors.items()}, c.has[:rows])
           for c in there]
    return Table(table.name, table.layers, table.fields, table.rows[:rows], cut, table.unit)


def small(name):
    table = Table(name, list(LAYERS), FIELDS, small_rows(), small_checkpoints())
    table.snapshots = {1: seen(table, 1), 2: seen(table, 2), 3: seen(table, 3)}
    table.tags = {"first": 1, "final": 3}
    return table


# name: the kind, damping, layers and checkpoints that it is made for; see `preconditioner`
PRECONDITIONERS = {
    "fisher": ("dense", None, None, list(WEIGHTS)),
    "damped": ("dense", 2.5, None, ["step-3"]),
    "diagonal": ("diagonal", 0.5, None, list(WEIGHTS)),
    "directions": ("woodbury", None, None, ["step-3"]),
    "partial": ("dense", None, ["head", "layers.0.mlp"], ["step-3"]),
}
EXAMPLE_PRECONDITIONERS = {"fisher": ("dense", None, None, ["ckpt-100", "ckpt-300"])}


def conditioned():
    table = small("conditioned")
    for name, (kind, damping, layers, checkpoints) in PRECONDITIONERS.items():
        table.preconditioners[name] = preconditioner(table, kind, damping, layers, checkpoints)
    last = len(table.checkpoints) + len(PRECONDITIONERS)
    table.snapshots[last], table.tags["prepared"] = table, last
    return table


# ---- those of the examples in format-spec/query-language.md ----

EXAMPLE_LAYERS = {"layers.0.mlp.up": 5, "layers.1.mlp.up": 5, "head": 3}
TEXTS = ["howdy", "Howdy!", "hi howdy", "good day", "good night", "100%", "100% sure", "yes", "no", "maybe"]


def example(name):
    """A table as the examples speak of it, small."""
    rows = [{"id": f"{name}-{n + 8}", "source": ["alpaca", "dolly", "web"][n % 3], "tokens": (n * 37) % 90,
             "text": TEXTS[n], "label": None if n % 4 == 0 else TEXTS[9 - n], "loss": (n * 7 % 20) / 4,
             "flagged": n % 4 == 1} for n in range(10)]
    fields = {"source": "string", "tokens": "int", "text": "string", "flagged": "bool"}
    if name == "t":
        fields |= {"label": "string", "loss": "float"}
    checkpoints = [
        Checkpoint(checkpoint, weight, {layer: eighths(10, dims, name, checkpoint, layer)
                                        for layer, dims in EXAMPLE_LAYERS.items()}, np.ones(10, bool))
        for checkpoint, weight in (("ckpt-100", 2e-5), ("ckpt-300", 1e-5))]
    rows = [{key: row[key] for key in ("id", *fields)} for row in rows]
    table = Table(name, list(EXAMPLE_LAYERS), fields, rows, checkpoints)
    table.snapshots = {1: seen(table, 1), 2: seen(table, 2)}
    if name == "alpaca":
        table.preconditioners["fisher"] = preconditioner(table, checkpoints=["ckpt-100", "ckpt-300"])
        table.snapshots[3], table.tags["step-300"] = table, 3
    return table


def example_files():
    found = {path: {layer: eighths(rows, dims, path, layer) for layer, dims in EXAMPLE_LAYERS.items()}
             for path, rows in (
                 ("q.safetensors", 1), ("generations.safetensors", 2), ("howdy.safetensors", 3),
                 ("howdy-ckpt-100.safetensors", 2), ("howdy-ckpt-300.safetensors", 2))}
    found["q.safetensors"] |= {"grad": eighths(1, 4, "q"), "out": eighths(1, 3, "q")}  # the table tokens
    return found


# ---- those of one checkpoint ----


def one_checkpoint(name, layers, fields, rows, weight=None, unit="example"):
    vectors = {layer: eighths(len(rows), dims, name, layer) for layer, dims in layers.items()}
    checkpoint = Checkpoint("only", weight, vectors, np.ones(len(rows), bool))
    table = Table(name, list(layers), fields, rows, [checkpoint], unit)
    table.snapshots = {1: table}
    return table


def counted():
    """Integer ids, one layer, no weight."""
    ids = [-5, 0, 3, 7, 10, 2**40, 41, 42]
    rows = [{"id": i, "kind": "even" if i % 2 == 0 else "odd"} for i in ids]
    return one_checkpoint("counted", {"grad": 6}, {"kind": "string"}, rows)


def tokens():
    ids = ["a/0", "a/1", "a/2", "b/0", "b/1", "c/d/0", "c/d/1", "e", "f/x", "a/10", "g/", "g/007"]
    rows = [{"id": i, "text": f"word {n}", "weight": n % 3} for n, i in enumerate(ids)]
    return one_checkpoint(
        "tokens", {"grad": 4, "out": 3}, {"text": "string", "weight": "int"}, rows, 1.0, "token")


def shadow():
    """A table of tokens whose fields have the names of pseudo columns."""
    rows = [{"id": f"{'xy'[n % 2]}/{n}", "example": f"field {n % 3}", "rows": n % 2} for n in range(7)]
    return one_checkpoint("shadow", {"grad": 4}, {"example": "string", "rows": "int"}, rows, 1.0, "token")


def counted_tokens():
    rows = [{"id": n} for n in range(5)]
    return one_checkpoint("counted_tokens", {"grad": 4}, {}, rows, 1.0, "token")


def aligned(name):
    """1,024 dims; the cosines with `axis` of rows 0 to 7 are 0.9, 0.75 … and −0.9, −0.75 …"""
    dims, rows = 1024, 48
    axis = eighths(1, dims, "axis")[0]
    values = eighths(rows, dims, name, "noise")
    values -= np.outer(values @ axis / (axis @ axis), axis)
    values *= np.linalg.norm(axis) / np.linalg.norm(values, axis=1, keepdims=True)
    for row, cosine in enumerate([0.9, 0.7, 0.5, 0.3, -0.9, -0.7, -0.5, -0.3]):
        values[row] = cosine * axis + np.sqrt(1 - cosine**2) * values[row]
    values = values.astype(np.float32).astype(np.float64)
    names = [{"id": f"row-{n}", "half": "even" if n % 2 == 0 else "odd"} for n in range(rows)]
    checkpoint = Checkpoint("only", 1.0, {"grad": values}, np.ones(rows, bool))
    return Table(name, ["grad"], {"half": "string"}, names, [checkpoint])


CODECS = {"bytes": "int8", "bits": "bit", "ladder": "int8+bit"}
PROJECTOR = {"kind": "sketch", "version": 1, "dims": 64, "seed": "0x7", "normalise": "none",
             "tensors": [{"name": "w", "shape": [8, 8]}]}


def projected():
    rows = [{"id": f"p-{n}"} for n in range(6)]
    return one_checkpoint("projected", {"grad": 64}, {}, rows, 1.0)


def all_tables():
    found = [small("small"), conditioned(), counted(), tokens(), shadow(), counted_tokens(), projected(),
             *(aligned(name) for name in CODECS), *map(example, ("alpaca", "my-table", "t"))]
    return {table.name: table for table in found}


def query_files():
    """Path: the tensors that it holds. A file that no statement can use is not here."""
    def random(rows, *key):
        return {layer: eighths(rows, dims, layer, *key) for layer, dims in LAYERS.items()}

    headless = random(1, "q")
    headless["head"] = np.zeros((1, 2))
    found = {
        "one.safetensors": random(1, "q"), "three.safetensors": random(3, "three"),
        "it's.safetensors": random(1, "q"), "headless.safetensors": headless,
        "zero.safetensors": {layer: np.zeros((2, dims)) for layer, dims in LAYERS.items()},
        "wide.safetensors": {**random(1, "q"), "head": np.ones((1, 3))},
        "head.safetensors": {"head": random(2, "q")["head"]},
        "grad.npy": {"grad": eighths(2, 6, "npy")}, "vector.npy": {"grad": eighths(1, 6, "npy")},
        "token.safetensors": {"grad": eighths(2, 4, "t"), "out": eighths(2, 3, "t")},
        "four.safetensors": {"grad": eighths(1, 4, "four")},
        "own.safetensors": {"grad": eighths(2, 64, "own")},
        "silent.safetensors": {"grad": eighths(1, 64, "silent")},
        "uneven-step-1.safetensors": random(2, "q"), "uneven-step-2.safetensors": random(1, "q"),
        "axis.npy": {"grad": eighths(1, 1024, "axis")},
    }
    found |= {f"at-{name}.safetensors": random(2, name) for name in WEIGHTS}
    return found | example_files()


# ---- as gradctl stores them ----


class Stored:
    """A database in a directory, whose tables are made when they are first asked."""

    def __init__(self, directory, tables, files):
        self.files = gradient_files.Files(directory)
        self.database = graddb.Database(directory / "db").init()
        self.tables, self.made = tables, set()
        self.answers = {}  # of test_queries, by file
        for path, tensors in files.items():
            self.write(path, tensors)
        self.write("other.safetensors", files["own.safetensors"])  # by another projector

    def write(self, path, tensors):
        if path.endswith(".npy"):
            return self.files.npy(path, tensors["grad"].astype(np.float32))
        metadata = None
        if path in ("own.safetensors", "other.safetensors", "projected.safetensors"):
            document = PROJECTOR if path != "other.safetensors" else {**PROJECTOR, "seed": "0x8"}
            metadata = {"graddb.projector.grad": json.dumps(document)}
        return self.files.write(path, gradient_files.safetensors(tensors, metadata=metadata))

    def need(self, name):
        if name in self.tables and name not in self.made:
            self.made.add(name)
            self.make(self.tables[name])

    def make(self, table):
        dims = {layer: v.shape[1] for layer, v in table.checkpoints[0].vectors.items()}
        layers = [f"{layer}:{d}:{CODECS.get(table.name, 'f32')}" for layer, d in dims.items()]
        fields = [f"{name}:{kind}" for name, kind in table.fields.items()]
        self.database.create(table.name, layers, fields, row_group=8, unit=table.unit)
        tags = {number: tag for tag, number in table.tags.items()}
        for number, checkpoint in enumerate(table.checkpoints, 1):
            rows = np.flatnonzero(checkpoint.has)
            tensors = {layer: v[rows] for layer, v in checkpoint.vectors.items()}
            vectors = self.write(f"{table.name}.safetensors", tensors)
            metadata = self.files.metadata(f"{table.name}.jsonl", [
                {name: value for name, value in table.rows[row].items() if value is not None}
                for row in rows])
            self.database.ingest(table.name, vectors, checkpoint=checkpoint.name, metadata=metadata,
                                 weight=checkpoint.weight, tag=tags.get(number))
        for number, name in enumerate(table.preconditioners, len(table.checkpoints) + 1):
            self.precondition(table.name, name, tags.get(number))

    def precondition(self, table, name, tag):
        made = EXAMPLE_PRECONDITIONERS if table == "alpaca" else PRECONDITIONERS
        kind, damping, layers, checkpoints = made[name]
        flags = ["--tag", tag] if tag else []
        flags += ["--damping", damping] if damping is not None else []
        flags += ["--rank", 6] if kind == "woodbury" else []
        flags += [word for layer in layers or [] for word in ("--layers", layer)]
        flags += [word for c in checkpoints for word in ("--checkpoint", c)]
        self.database.json("precondition", table, "--name", name, "--kind", kind, *flags)
