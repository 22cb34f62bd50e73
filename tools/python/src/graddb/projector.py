"""Projectors: what turns raw gradients into vectors (format-spec/projectors.md)."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Mapping, Sequence

import numpy as np

from . import errors
from ._call import Cancellation, call, call_long, call_text, encode, library
from ._tensors import RawTensorArray, Vectors


class Projector:
    """A linear map of the raw gradient of a row, named tensors, to the vector of a layer.

        p = graddb.Projector("sketch", dims=65536, seed=7, normalise="tensor")
        vectors = p.project({"blocks.0.weight": gradients})     # [rows, ...] -> f32 [rows, dims]

    `kind`: "sketch", "dense", "factored" (with `rank=(k_out, k_in)`) or "rapidgrad" (with `rounds`).
    `normalise`: "none", or "tensor": each tensor of a row to length 1 before it is projected.
    `match`: patterns of the names of the tensors that it takes, all where left out.
    Instead, `kind` may be a whole specification, "sketch,dims=65536,seed=7", or a projector's
    `document`. Raises `QueryError` or `BadInput` for a projector that cannot be.

    Threads may share it. It can be pickled.
    """

    def __init__(self, kind: str | Mapping[str, Any] = "sketch", *, dims: int | None = None,
                 seed: int = 0, normalise: str = "none", rank: Sequence[int] | None = None,
                 rounds: int | None = None, match: str | Sequence[str] | None = None) -> None:
        if isinstance(kind, Mapping):
            text = json.dumps(kind)
        elif "," in kind or kind.lstrip().startswith("{"):
            text = kind
        else:
            document: dict[str, Any] = {
                "kind": kind, "version": 1, "dims": dims, "seed": hex(seed), "normalise": normalise}
            if rank is not None:
                document["rank"] = list(rank)
                document["dims"] = rank[0] * rank[1] if dims is None else dims
            if kind == "rapidgrad":
                document["rounds"] = 20 if rounds is None else rounds
            elif rounds is not None:
                document["rounds"] = rounds
            if match is not None:
                document["match"] = [match] if isinstance(match, str) else list(match)
            if document["dims"] is None:
                raise errors.QueryError("a projector needs dims")
            text = json.dumps(document)
        self._open(text)

    def _open(self, text: str) -> None:
        self._handle = call("graddb_projector_create", encode(text, "a projector"))
        self.dims: int = self._info()["projector"]["dims"]

    def _info(self) -> dict[str, Any]:
        return call_text("graddb_projector_info", self._handle)

    @property
    def document(self) -> dict[str, Any]:
        """The object of format-spec/projectors.md; with `tensors` once it has projected rows."""
        return self._info()["projector"]

    @property
    def hash(self) -> str:
        """16 hexadecimal digits: its identity."""
        return self._info()["hash"]

    @property
    def text(self) -> str:
        """What the metadata of a safetensors file of its vectors say under
        `graddb.projector.<tensor>`."""
        return self._info()["text"]

    def project(self, tensors: Mapping[str, Vectors], *, single: bool = False,
                out: np.ndarray | None = None, threads: int = 0,
                cancellation: Cancellation | None = None) -> np.ndarray:
        """Vectors f32 [rows, dims] of raw gradients by name, each [rows, ...], numpy or torch.

        With `single`, tensors are those of one row, without the axis of rows, and the vector is
        [dims]. `out`: where the vectors go, f32 and contiguous. The first call fixes the names and
        shapes of the tensors. Raises `BadInput` for tensors that it does not take, or that are not
        finite.
        """
        if single:
            tensors = {name: value[None] if hasattr(value, "shape") else np.asarray(value)[None]
                       for name, value in tensors.items()}
        raw = RawTensorArray(tensors)
        rows = raw.rows or 0
        shape = (self.dims,) if single else (rows, self.dims)
        if out is None:
            out = np.empty(shape, np.float32)
        elif (out.shape, out.dtype) != (shape, np.float32) or not out.flags.c_contiguous \
                or not out.flags.writeable:
            raise errors.BadInput(f"out is {out.dtype} {list(out.shape)}; a contiguous array of f32 "
                                  f"{list(shape)} is needed")
        call_long(
            "graddb_projector_project", self._handle, raw.array, raw.count, rows,
            out.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), out.size, threads,
            cancellation=cancellation, keep=(raw, out))
        return out

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Projector) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its identity changes with its first rows

    def __del__(self) -> None:
        if library is not None and getattr(self, "_handle", None):
            library.graddb_projector_free(self._handle)

    def __reduce__(self) -> Any:
        return Projector, (self.document,)

    def __repr__(self) -> str:
        document = self.document
        return (f"<graddb.Projector {document['kind']}, {self.dims} dims, seed "
                f"{document['seed']}>")


def projector_documents(projectors: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The JSON objects of projectors by layer: `Projector`s, objects with a `document`, texts, or
    the objects themselves."""
    if projectors is None:
        return None
    documents = {}
    for layer, projector in projectors.items():
        if isinstance(projector, str):
            projector = Projector(projector)
        documents[layer] = getattr(projector, "document", projector)
    return documents
