"""Tables whose checkpoint several ranks write, and the same rows ingested by one process."""

import numpy as np

from graddb import Database

DIMS = 512
LAYERS = [f"grad:{DIMS}:f32", f"turned:{DIMS}:int8+bit", f"signs:{DIMS}:bit", "head:33:f16"]
FIELDS = ["part:int", "text:string"]
# Every stored row, with every digit of its score: two tables that agree here hold the same bits.
ASK = (
    "SELECT id, row, score, part, text FROM t SCORE dot TO '{query}' LAYERS '{layer}' "
    "TOP {rows} EXACT"
)


def rows(rank, count):
    return [
        {"id": f"r{rank}-{i}", "part": rank, "text": f"text {i % 7}"} for i in range(count)
    ]


def vectors(rank, count):
    random = np.random.default_rng(1000 + rank)
    return {
        name: random.standard_normal((count, int(dims))).astype(np.float32)
        for name, dims, _ in (layer.split(":") for layer in LAYERS)
    }


class Parts:
    """Inputs of each rank: a file, or a directory of several."""

    def __init__(self, files, ranks, count, pieces=1):
        self.files = files
        self.ranks = ranks
        self.count = count
        self.inputs = [self._write(rank, pieces) for rank in range(ranks)]
        self.metadata = [
            files.metadata(f"part-{rank}.jsonl", rows(rank, count)) for rank in range(ranks)
        ]
        self.all_metadata = files.metadata(
            "all.jsonl", [row for rank in range(ranks) for row in rows(rank, count)]
        )
        self.query = files.tensors("query.safetensors", vectors(999, 1))

    def _write(self, rank, pieces):
        whole = vectors(rank, self.count)
        if pieces == 1:
            return self.files.tensors(f"part-{rank}.safetensors", whole)
        for piece in range(pieces):
            rows = slice(self.count * piece // pieces, self.count * (piece + 1) // pieces)
            tensors = {name: values[rows] for name, values in whole.items()}
            file = self.files.tensors(f"part-{rank}/{piece:04}.safetensors", tensors)
        return file.parent

    @property
    def total(self):
        return self.ranks * self.count

    def create(self, path, row_group=64):
        database = Database(path).init()
        database.create("t", LAYERS, FIELDS, row_group=row_group)
        return database

    def arguments(self, rank, *more, ranks=None):
        return [
            "ingest", "t", self.inputs[rank], "--checkpoint", "c", "--metadata",
            self.metadata[rank], "--rank", f"{rank}/{ranks or self.ranks}", "--json", *more,
        ]  # fmt: skip

    def answers(self, database, by_row=True):
        """Of all rows, sorted by id; row numbers are left out where ranks came in another order."""
        found = {}
        for layer in (layer.split(":")[0] for layer in LAYERS):
            lines = database.query(ASK.format(layer=layer, query=self.query, rows=self.total + 5))
            for line in lines:
                del line["rank"]
                if not by_row:
                    del line["row"]
            found[layer] = sorted(lines, key=lambda line: line["id"])
            assert len({line["id"] for line in lines}) == len(lines) == self.total
        return found

    def ingested(self, path, row_group=64):
        """The answers of a table that one process has written."""
        database = self.create(path, row_group)
        done = database.ingest("t", *self.inputs, checkpoint="c", metadata=self.all_metadata)
        assert done["rows"] == self.total
        return self.answers(database)


def commit(database, *more):
    return database.json("commit", "t", "--checkpoint", "c", *more).line


def staged(database):
    return database.json("staged").lines
