"""Preconditioners: their stored numbers, H⁻¹q and gᵀH⁻¹g (format-spec/preconditioners.md).

In double throughout. LAPACK's triangular solves are numpy's here, so results agree with others to
rounding, not bit for bit.
"""

import struct

import numpy as np

from versions import has
from zstd import decompress

PIECE = 1 << 19


class Part:
    """The matrix of one layer at one checkpoint; vectors are the rows of [n, dims]."""

    def __init__(self, document: dict, dims: int, numbers):
        self.document, self.kind, self.dims = document, document["kind"], dims
        rank = document["rank"]
        if self.kind == "dense":
            self.factor = np.zeros((dims, dims))
            self.factor[np.tril_indices(dims)] = numbers
            if not (np.diag(self.factor) > 0).all():
                raise ValueError("a factor's diagonal is not positive")
        elif self.kind == "diagonal":
            self.diagonal = numbers
            if not (numbers > 0).all():
                raise ValueError("a diagonal is not positive")
        else:
            self.shift, self.spectrum = numbers[0], numbers[1 : 1 + rank]
            self.directions = numbers[1 + rank :].reshape(rank, dims)
            if not self.shift > 0 or not (self.spectrum >= 0).all():
                raise ValueError("a spectrum is not positive")

    def matrix(self) -> np.ndarray:
        """H."""
        if self.kind == "dense":
            return self.factor @ self.factor.T
        if self.kind == "diagonal":
            return np.diag(self.diagonal)
        low = self.directions.T @ (self.spectrum[:, None] * self.directions)
        return low + self.shift * np.eye(self.dims)

    def apply(self, rows) -> np.ndarray:
        """H⁻¹ of each row."""
        rows = np.asarray(rows, np.float64)
        if self.kind == "dense":
            return np.linalg.solve(self.factor.T, np.linalg.solve(self.factor, rows.T)).T
        if self.kind == "diagonal":
            return rows / self.diagonal
        shares = self.spectrum / (self.spectrum + self.shift)
        return (rows - rows @ self.directions.T * shares @ self.directions) / self.shift

    def squared_norms(self, rows) -> np.ndarray:
        """gᵀH⁻¹g of each row g."""
        rows = np.asarray(rows, np.float64)
        return (rows * self.apply(rows)).sum(axis=1)


class Preconditioner:
    """One of a table's snapshot."""

    def __init__(self, table, document: dict):
        self.table, self.document = table, document
        self.number = document["preconditioner"]

    def _numbers(self, key, count) -> np.ndarray:
        value = self.table.store.get("fields", key)
        if value is None:
            raise ValueError(f"preconditioner {self.number} lacks the value {key.hex()}")
        data = decompress(value)
        if len(data) != 8 * count:
            raise ValueError(f"the value {key.hex()} is not of its size")
        return np.frombuffer(data, "<f8")

    def part(self, layer: str, checkpoint: str) -> Part:
        """- Raises KeyError where it has none."""
        dims = self.table.layer(layer)["dims"]
        for document in self._parts(checkpoint):
            if self.table.layers[document["layer"]]["name"] == layer:
                break
        else:
            raise KeyError(f"{self.document['name']} has no part for {layer} at {checkpoint}")
        rank = document["rank"]
        count = {"dense": dims * (dims + 1) // 2, "diagonal": dims,
                 "woodbury": 1 + rank + rank * dims}[document["kind"]]
        if document["bytes"] != 8 * count:
            raise ValueError("a part's document has other bytes than its numbers")
        pieces = [
            self._numbers(struct.pack(">IBIII", self.table.number, 3, self.number,
                                      document["part"], piece),
                          min(PIECE, count - piece * PIECE))
            for piece in range(-(-count // PIECE))
        ]
        return Part(document, dims, np.concatenate(pieces))

    def _parts(self, checkpoint):
        number = self.table.checkpoints[checkpoint]["checkpoint"]
        return [part for part in self.document["parts"] if part["checkpoint"] == number]

    def norms(self, checkpoint: str, layer: str) -> np.ndarray:
        """gᵀH⁻¹g of the rows of a checkpoint, in stored order: stored, or of later rows computed."""
        found, table = [], self.table
        parts = [table.layers[part["layer"]]["name"] for part in self._parts(checkpoint)]
        for segment in table.checkpoint_segments(checkpoint):
            for group in range(segment["row_groups"]):
                kept = table.live[np.array(table.row_map(segment["segment"], group))]
                if not (self.number in segment.get("norms", [])
                        or has(segment, self.document["snapshot"])):
                    rows = table.decoded_group(segment, group, table.layer(layer))
                    found.append(self.part(layer, checkpoint).squared_norms(rows)[kept])
                    continue
                key = struct.pack(">IBIQI", table.number, 4, self.number, segment["segment"],
                                  group)
                stored = self._numbers(key, len(kept) * len(parts)).reshape(len(parts), len(kept))
                found.append(stored[parts.index(layer)][kept])
        return np.concatenate([np.zeros(0), *found])
