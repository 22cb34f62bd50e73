"""Scores over layers, queries and checkpoints, and their order (format-spec/codecs.md)."""

import numpy as np

import codec
from database import Table


class Queries:
    """Query vectors for some layers of a table, encoded: given as {layer name: f32 [n, dims]}.

    With a preconditioner they are H⁻¹q, for one checkpoint.
    """

    def __init__(self, table: Table, vectors: dict, preconditioner=None, checkpoint=None):
        self.layers = [layer for layer in table.layers if layer["name"] in vectors]
        self.encoded, self.norms, self.preconditioner = [], None, preconditioner
        for layer in self.layers:
            rows = np.atleast_2d(np.asarray(vectors[layer["name"]], np.float32))
            if rows.shape[1] != layer["dims"]:
                raise ValueError(f"a query for layer {layer['name']} needs {layer['dims']} dims")
            if preconditioner is not None:
                part = preconditioner.part(layer["name"], checkpoint)
                norms = part.squared_norms(rows)
                self.norms = norms if self.norms is None else self.norms + norms
                rows = part.apply(rows).astype(np.float32)
            self.encoded.append(codec.encode_query(layer["codec"], _seed(layer), rows))
        self.count = len(self.encoded[0].values)

    @classmethod
    def of_row(cls, table: Table, checkpoint: str, row_id) -> "Queries":
        """A stored row as the query for its own checkpoint, in all layers, as it is stored."""
        queries = cls.__new__(cls)
        queries.layers, queries.encoded, queries.count = table.layers, [], 1
        queries.norms, queries.preconditioner = None, None
        row = table.find(row_id)
        for layer in table.layers:
            numbers, rows = table.encoded(checkpoint, layer)
            queries.encoded.append(rows.one(numbers.index(row)))
        return queries

    def one(self, place: int, query: int) -> codec.Encoded:
        """Query number `query` in the layer at `place`."""
        return self.encoded[place].one(query)


def score(table: Table, queries: Queries, checkpoint: str, measure: str = "dot"):
    """(row numbers [n], scores f64 [queries, n]) of all rows of one checkpoint."""
    numbers, dots = None, []
    row_norms, query_norms = 0.0, np.zeros(queries.count)
    for place, layer in enumerate(queries.layers):
        numbers, rows = table.encoded(checkpoint, layer)
        row_norms = row_norms + rows.squared_norms
        query_norms = query_norms + queries.encoded[place].squared_norms
        dots.append([codec.dot(layer["codec"], rows, queries.one(place, query))
                     for query in range(queries.count)])
    if queries.preconditioner is not None:
        query_norms = queries.norms
        row_norms = sum(queries.preconditioner.norms(checkpoint, layer["name"])
                        for layer in queries.layers)
    totals = np.zeros((queries.count, len(numbers)))
    for layer_dots in dots:
        totals = totals + np.array(layer_dots)
    if measure == "cosine":
        if (query_norms == 0).any():
            raise ValueError("a zero query has no cosine")
        divisors = np.sqrt(row_norms) * np.sqrt(query_norms)[:, None]
        totals = np.divide(totals, divisors, out=np.zeros_like(totals), where=divisors != 0)
    elif measure != "dot":
        raise ValueError(f"unknown measure {measure}")
    return np.array(numbers, np.uint64), totals


def mean(scores) -> np.ndarray:
    """The mean over the queries of scores [queries, n], added in order."""
    total = np.zeros(scores.shape[1])
    for row in scores:
        total = total + row
    return total / np.float64(len(scores))


def combine(parts):
    """The sum over checkpoints, as (row numbers, scores [n]) of the rows that any of them has.

    `parts` holds, in the order to add, (weight, row numbers, scores [n]) of each checkpoint: of
    one query, or the mean over all. A checkpoint adds nothing to a row that it does not have.
    """
    every = np.unique(np.concatenate([numbers for _, numbers, _ in parts]))
    total = np.zeros(len(every))
    for weight, numbers, scores in parts:
        total[np.searchsorted(every, numbers)] += np.float64(weight) * scores
    return every, total


def best(numbers, scores, limit: int, end: str = "top"):
    """[(row number, score)]: the highest or lowest scores, equal ones by row number."""
    order = np.lexsort((numbers, -scores if end == "top" else scores))[:limit]
    return [(int(numbers[i]), float(scores[i])) for i in order]


def _seed(layer):
    return int(layer["seed"], 16)
