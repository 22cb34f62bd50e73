"""A table of f32 vectors over layers and checkpoints, and in float64 what statements over it must score.

Rows are missing at some checkpoints, fields are NULL in some rows, and there are zero rows and a
query that is zero in one layer: everything that the definitions say something about.
"""

import math

import numpy as np

from gradient_files import Files
from graddb import Database

LAYERS = {"first": 24, "second": 7, "third": 40}
WEIGHTS = {"early": 0.5, "middle": -2.0, "late": 3.0}
ROWS = 150
QUERIES = 7
SOURCES = ["alpaca", "dolly", "o'asst", "\u00e9", "e\u0301", None]
FIELDS = ["source:string", "length:int", "loss:float", "flagged:bool", "rows:int"]


class ScoredTable:
    """`vectors[checkpoint][layer]` and `queries[checkpoint][layer]` are float64; `has` says which rows
    a checkpoint has. Rows are in the order of their numbers."""

    def __init__(self, directory, codec="f32", seed=5):
        self.files = Files(directory)
        self.directory = directory
        self.database = Database(directory / "db").init()
        layers = [f"{name}:{dims}:{codec}" for name, dims in LAYERS.items()]
        self.database.create("t", layers, FIELDS, row_group=16)
        random = self.random = np.random.default_rng(seed)
        self.fields = [self._fields(row) for row in range(ROWS)]
        self.ids = [f"r{row}" for row in range(ROWS)]
        self.vectors, self.queries, self.has = {}, {}, {}
        for number, (name, weight) in enumerate(WEIGHTS.items()):
            # Every row is somewhere, and the first checkpoint sees them in the order of their numbers.
            has = np.ones(ROWS, bool) if number == 0 else random.random(ROWS) < 0.7
            if number == 0:
                has[ROWS - 20:] = False
            if number == 1:
                has[ROWS - 20:] = True
            rows = np.flatnonzero(has)
            vectors = {layer: random.standard_normal((ROWS, dims)).astype(np.float32)
                       for layer, dims in LAYERS.items()}
            for layer in vectors:
                vectors[layer][3] = 0
                vectors[layer][7] = vectors[layer][5]
            metadata = self.files.metadata(
                f"{name}.jsonl", [{"id": self.ids[row], **self.fields[row]} for row in rows])
            source = self.files.tensors(
                f"{name}.safetensors", {layer: v[rows] for layer, v in vectors.items()})
            self.database.ingest("t", source, checkpoint=name, weight=weight, metadata=metadata)
            queries = {layer: random.standard_normal((QUERIES, dims)).astype(np.float32)
                       for layer, dims in LAYERS.items()}
            queries["second"][2] = 0
            self.files.tensors(f"q-{name}.safetensors", queries)
            self.has[name] = has
            self.vectors[name] = {k: v.astype(np.float64) for k, v in vectors.items()}
            self.queries[name] = {k: v.astype(np.float64) for k, v in queries.items()}
        self.file = directory / "q-late.safetensors"
        self.file_of_each = directory / "q-{checkpoint}.safetensors"

    def _fields(self, row):
        fields = {"source": SOURCES[row % 11 % 6], "length": int(row % 4), "loss": row % 3 / 2 - 0.5,
                  "flagged": bool(row % 5 < 2), "rows": int(row % 2)}
        if row % 13 == 0:
            fields["length"] = fields["flagged"] = None
        return {name: value for name, value in fields.items() if value is not None}

    def value(self, row, field):
        return self.fields[row].get(field)

    # What must come out.

    def of_checkpoint(self, measure, checkpoint, queries, layers):
        """[queries, rows], NaN where the checkpoint has no such row."""
        vectors = self.vectors[checkpoint]
        if measure == "self":
            scores = sum((vectors[layer] ** 2).sum(axis=1) for layer in layers)[None]
        else:
            scores = sum(np.array([[math.fsum(row) for row in vectors[layer] * query]
                                   for query in queries[layer]]) for layer in layers)
        if measure == "cosine":
            rows = np.sqrt(sum((vectors[layer] ** 2).sum(axis=1) for layer in layers))
            asked = np.sqrt(sum((queries[layer] ** 2).sum(axis=1) for layer in layers))
            product = asked[:, None] * rows
            scores = np.divide(scores, product, out=np.zeros_like(scores), where=product > 0)
        return np.where(self.has[checkpoint], scores, np.nan)

    def scores(self, measure, reduction="EACH", checkpoints=None, layers=None, queries=None):
        """[answers, rows], NaN where a row has no score. `checkpoints` maps names to weights; without
        it the newest counts. `queries` maps checkpoints to query vectors by layer."""
        weights = checkpoints or {"late": 1.0}
        layers = list(LAYERS) if layers is None else layers
        total, present = 0.0, np.zeros(ROWS, bool)
        for checkpoint, weight in weights.items():
            asked = queries[checkpoint] if queries else self.queries["late"]
            part = self.of_checkpoint(measure, checkpoint, asked, layers)
            present |= self.has[checkpoint]
            total = total + weight * np.nan_to_num(part)
        if measure != "self":
            if reduction == "MEAN":
                total = total.sum(axis=0, keepdims=True) / len(total)
            elif reduction == "SUM":
                total = total.sum(axis=0, keepdims=True)
            elif reduction == "MAX":
                total = total.max(axis=0, keepdims=True)
        return np.where(present, total, np.nan)


def across(weights):
    """The clause, for the table's checkpoints with these weights."""
    return "ACROSS " + ", ".join(f"'{name}' WEIGHT {weight!r}" for name, weight in weights.items())


def groups(scores, values, reduction):
    """One answer's groups as [(value, rows, score, first row)], in the order of first rows."""
    members = {}
    for row, score in enumerate(scores):
        if not math.isnan(score):
            members.setdefault((type(values[row]), values[row]), []).append(row)
    reduce = {"sum": math.fsum, "mean": lambda s: math.fsum(s) / len(s), "max": max, "min": min,
              "count": len}[reduction]
    return [(value, len(rows), float(reduce([scores[row] for row in rows])), rows[0])
            for (_, value), rows in members.items()]


def ranked(items, end):
    """[(score, number, …)], best first; equal ones by number."""
    return sorted(items, key=lambda item: (-item[0] if end == "top" else item[0], item[1]))


def close(found, expected, tolerance=1e-9):
    return abs(found - expected) <= tolerance * max(1.0, abs(expected))
