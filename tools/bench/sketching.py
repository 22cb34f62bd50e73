"""A sketch (format-spec/projectors.md) as a sparse matrix, for many rows at once. Needs torch.

Where elements go, and with which sign, comes from the reference in tools/reader/projectors.py.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "reader"))

import projectors  # noqa: E402


class Projection:
    """Of tensors with `shapes`, in that order. `kind` is sketch or rapidgrad.

    It projects tensors as they come: with `normalise` "tensor" they are taken to be of length 1.
    """

    def __init__(self, dims, seed, shapes, kind="sketch", normalise="tensor"):
        self.dims, self.size = dims, sum(math.prod(shape) for shape in shapes.values())
        self.document = {"kind": kind, "version": 1, "dims": dims, "seed": hex(seed),
                         "normalise": normalise}
        if kind == "rapidgrad":
            self.document["rounds"] = projectors.ROUNDS
        self.document["tensors"] = projectors.described_tensors(shapes)
        places = projectors.hashed_places(self.document, shapes)
        accumulator, sign = (np.concatenate([places[name][n] for name in shapes]) for n in (0, 1))
        order = np.argsort(accumulator, kind="stable")
        starts = np.zeros(dims + 1, np.int64)
        np.cumsum(np.bincount(accumulator, minlength=dims), out=starts[1:])
        self.matrix = torch.sparse_csr_tensor(
            torch.from_numpy(starts), torch.from_numpy(order),
            torch.from_numpy(sign[order].astype(np.float32)), (dims, self.size))

    @property
    def text(self):
        """For a file's metadata."""
        return projectors.canonical(self.document)

    def __call__(self, columns):
        """f32 [elements, rows] to f32 [rows, dims]."""
        return (self.matrix @ columns).T.contiguous().numpy()
