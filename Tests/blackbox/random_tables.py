"""Random tables with everything in them that has gone wrong in a scan before.

Most rows are normal, some heavy-tailed, some sparse; several are exact duplicates of earlier ones
(next to them and far away, so that ties cross row groups), some are all zero.
"""

from functools import cached_property

import numpy as np

from gradient_files import as_type
from oracle import Truth

# Rows by bucket: `bucket = 13` keeps 1%.
BUCKETS = 100
FIELDS = ["bucket:int", "source:string"]
SOURCES = ["alpaca", "dolly", "howdy"]


def random_vectors(random, count, dims, dtype="F32"):
    """float32 rows that a file of this type holds exactly."""
    rows = random.standard_normal((count, dims))
    kinds = random.integers(0, 10, count)
    rows[kinds == 0] = random.standard_t(3, (int((kinds == 0).sum()), dims))
    if dims >= 256:
        sparse = kinds == 1
        rows[sparse] *= random.random((int(sparse.sum()), dims)) < 0.05
    for row in range(count):
        if row and kinds[row] == 2:
            rows[row] = rows[random.integers(0, row)]
        elif row and kinds[row] == 3:
            rows[row] = rows[row - 1]
        elif row and kinds[row] == 4 and row % 2 == 0:
            rows[row] = 0
    return as_type(rows, dtype)


def random_queries(random, count, dims, dtype="F32"):
    return as_type(random.standard_normal((count, dims)), dtype)


def random_metadata(count):
    return [
        {"id": f"r{row}", "bucket": row % BUCKETS, "source": SOURCES[row % 3]}
        for row in range(count)
    ]


class RandomTable:
    """A table in a database, and the truth about it.

    `layers` maps names to (dims, codec).
    """

    def __init__(self, database, files, name, layers, count, dtype="F32", row_group=None, seed=1):
        random = np.random.default_rng([seed, count, *(dims for dims, _ in layers.values())])
        self.database, self.files, self.name = database, files, name
        self.layers, self.count, self.dtype = layers, count, dtype
        self.vectors = {n: random_vectors(random, count, d, dtype) for n, (d, _) in layers.items()}
        self.queries = {n: random_queries(random, 3, d, dtype) for n, (d, _) in layers.items()}
        self.truth = Truth(self.vectors, {n: codec for n, (_, codec) in layers.items()})
        self.metadata = random_metadata(count)
        self.query_file = files.tensors(f"{name}-queries.safetensors", self.queries, dtype)
        self.one_query_file = files.tensors(f"{name}-query.safetensors", self.query(0, True), dtype)
        words = [f"{n}:{dims}:{codec}" for n, (dims, codec) in layers.items()]
        database.create(name, words, FIELDS, row_group)
        source = files.tensors(f"{name}.safetensors", self.vectors, dtype)
        metadata = files.metadata(f"{name}.jsonl", self.metadata)
        database.ingest(name, source, checkpoint="c1", metadata=metadata)

    @property
    def decodable(self):
        """Whether this side knows what the table's codecs decode to."""
        return all(codec != "int8" for _, codec in self.layers.values())

    def query(self, index, as_rows=False):
        """The vectors of one query, by layer."""
        part = slice(index, index + 1) if as_rows else index
        return {name: queries[part] for name, queries in self.queries.items()}

    def row_query(self, row):
        return {name: vectors[row] for name, vectors in self.vectors.items()}

    @cached_property
    def duplicate_keys(self):
        """Equal for rows whose stored vectors are certainly equal."""
        return [
            b"".join(self._stored(name, vectors[row]) for name, vectors in self.vectors.items())
            for row in range(self.count)
        ]

    def _stored(self, name, vector):
        halved = self.layers[name][1] == "f16"
        # Adding zero turns the two zeros into one.
        return ((vector.astype(np.float16) if halved else vector) + 0).tobytes()

    def candidates(self, keep):
        return [row for row, fields in enumerate(self.metadata) if keep(fields)]
