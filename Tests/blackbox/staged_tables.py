"""Tables whose checkpoint several ranks write, and the same rows ingested by one process."""

import numpy as np

from graddb import Database

DIMS = 512
LAYERS = [f"grad:{DIMS}:f32+int8+bit", "head:33:f16"]
FIELDS = ["part:int", "text:string"]
# Every stored row, with every digit of its score: two tables that agree here hold the same bits.
ASK = "SELECT id, row, score, part, text FROM t LAYERS '{layer}' SCORE dot TO '{query}' TOP {rows} EXACT"


def rows(rank, count):
    return [
        {"id": f"r{rank}-{i}", "part": rank, "text": f"text {i % 7}"} for i in range(count)
    ]


def vectors(rank, count):
    random = np.random.default_rng(1000 + rank)
    return {
        "grad": random.standard_normal((count, DIMS)).astype(np.float32),
        "head": random.standard_normal((count, 33)).astype(np.float32),
    }


class Parts:
    """Inputs of each rank, in one directory."""

    def __init__(self, files, ranks, count):
        self.files = files
        self.ranks = ranks
        self.count = count
        self.inputs = [
            files.tensors(f"part-{rank}.safetensors", vectors(rank, count)) for rank in range(ranks)
        ]
        self.metadata = [
            files.metadata(f"part-{rank}.jsonl", rows(rank, count)) for rank in range(ranks)
        ]
        self.all_metadata = files.metadata(
            "all.jsonl", [row for rank in range(ranks) for row in rows(rank, count)]
        )
        self.query = files.tensors("query.safetensors", vectors(999, 1))

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
        for layer in ("grad", "head"):
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
