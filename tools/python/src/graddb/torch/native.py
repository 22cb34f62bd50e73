"""Projections by the library, for gradients that lie in a CPU's memory.

It hashes elements twice as fast as PyTorch's operations do. A tensor that is small beside the
vector is left to them: the library makes, of each tensor by itself, all `dims` sums.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

import graddb

from .._call import call
from .._tensors import RawTensorArray

LEAST_SHEETS = 2  # elements that a tensor has to have, in dims of the vector


class NativeProjection:
    """The library's projectors for one layer, one for each tensor."""

    def __init__(self, document: dict[str, Any]):
        kept = {key: value for key, value in document.items() if key not in ("tensors", "match")}
        self._document, self._dims = kept, document["dims"]
        self._projectors: dict[tuple[str, int], graddb.Projector] = {}

    def add(self, name: str, x: Tensor, out: Tensor) -> bool:
        """Adds f32 [rows, elements] to f32 [rows, dims]; false where this is not its business."""
        if x.device.type != "cpu" or x.shape[1] < LEAST_SHEETS * self._dims or len(x) == 0:
            return False
        key = name, x.shape[1]
        projector = self._projectors.get(key)
        if projector is None:
            projector = self._projectors[key] = graddb.Projector(self._document)
        raw = RawTensorArray({name: x})
        part = torch.empty_like(out, memory_format=torch.contiguous_format)
        try:
            call("graddb_projector_project", projector._handle, raw.array, raw.count, len(x),
                 ctypes.cast(part.data_ptr(), ctypes.POINTER(ctypes.c_float)), part.numel(),
                 torch.get_num_threads(), None)
        except graddb.BadInput:
            return False  # an element is not finite, and so will be the sums
        out += part
        return True
