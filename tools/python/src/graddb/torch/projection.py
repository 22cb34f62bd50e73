"""Projectors (format-spec/projectors.md) on the device where the gradients are.

Everything is batched over rows and bounded in memory: a tensor is projected in pieces, and what a
projector needs to know of it (places and signs, or a matrix of signs) is made piece by piece, and
kept between calls as far as it fits `TABLE_BYTES`. Sums are in single precision, and never in less,
whatever the program allows its own products.

    projection = Projection({"kind": "sketch", "version": 1, "dims": 65536, "seed": "0x0",
                             "normalise": "tensor"})
    vectors = projection.project({"head.weight": gradients})     # [rows, …] to f32 [rows, dims]
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from . import native as library
from .errors import BadInput, BadProjector
from .precision import full_precision
from .sketch import SketchTables
from .words import signs, stream, words

KINDS = ("sketch", "dense", "factored")
MATRIX_BYTES = 64 << 20  # of a piece of a matrix of signs


class Projection:
    """A projector's linear map, tensor by tensor.

    `document` is the projector as a table describes it; its `tensors` and `match` are not needed.
    On a CPU the library does what it does faster, unless `native` is false. Raises BadProjector for
    a document that is none, or a kind that PyTorch does not compute.
    """

    def __init__(self, document: Mapping[str, Any], native: bool = True):
        self.document = checked(document)
        self.kind: str = document["kind"]
        self.dims: int = document["dims"]
        self.seed = int(document["seed"], 16)
        self.normalises = document["normalise"] == "tensor"
        self._native = native
        self._sketch = SketchTables(self.seed, self.dims) if self.kind == "sketch" else None
        self._matrices: dict[tuple[str, torch.device], torch.Tensor] = {}

    def described(self, shapes: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        """The projector's document with `tensors`, from the shapes of one row's."""
        document = {key: value for key, value in self.document.items() if key != "tensors"}
        names = sorted(shapes, key=lambda name: name.encode("utf-8"))
        tensors = [{"name": name, "shape": list(shapes[name])} for name in names]
        return {**document, "tensors": tensors}

    def project(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Vectors of whole rows: {name: [rows, …]} to f32 [rows, dims].

        Raises BadInput where an element, or a result, is not finite.
        """
        first = next(iter(tensors.values()))
        out = torch.zeros(len(first), self.dims, device=first.device)
        for name in sorted(tensors, key=lambda name: name.encode("utf-8")):
            if self.kind != "factored":
                self.add(name, tensors[name], out)
            elif name.endswith(".grad_output"):
                module = name.removesuffix(".grad_output")
                self.add_factored(module, tensors[name], tensors[f"{module}.input"], out)
        if not torch.isfinite(out).all():
            row = int((~torch.isfinite(out)).any(1).nonzero()[0])
            raise BadInput(f"row {row} has an element that is not finite")
        return out

    @torch.no_grad()
    def add(self, name: str, gradients: torch.Tensor, out: torch.Tensor, owned: bool = False) -> None:
        """Adds one tensor's part to `out`, f32 [rows, dims]; `gradients` is [rows, …].

        With `owned` the gradients may be overwritten. An element that is not finite makes the
        row's result not finite: nobody waits here to see it.
        """
        x = gradients.detach().reshape(len(gradients), -1).to(torch.float32)
        with full_precision(x.device):
            self._add(name, x, out, owned or x.data_ptr() != gradients.data_ptr())

    def _add(self, name: str, x: torch.Tensor, out: torch.Tensor, owned: bool) -> None:
        scales = inverse_lengths(x) if self.normalises else None
        if self.kind == "dense":
            part = self._dense(name, x)
            out += part if scales is None else part * scales[:, None]
        elif self.kind == "sketch":
            if scales is not None and x.shape[1] < 2 * self.dims:
                # Cheaper than sums of its own; it rounds otherwise, in the last place.
                x, owned = x.mul_(scales[:, None]) if owned else x * scales[:, None], True
                scales = None
            part = out if scales is None else torch.zeros_like(out)
            if not (self._native and library.add_sketch(self.seed, self.dims, name, x, part)):
                self._sketch.add(name, x, part, owned)
            if scales is not None:
                out.addcmul_(part, scales[:, None])
        else:
            raise BadProjector(f"a projector of kind {self.kind} takes inputs and output gradients")

    @torch.no_grad()
    def add_factored(self, module: str, grad_output: torch.Tensor, inputs: torch.Tensor,
                     out: torch.Tensor) -> None:
        """Adds a linear layer's part: both are [rows, positions, features]."""
        k_out, k_in = self.document["rank"]
        grad_output, inputs = grad_output.to(torch.float32), inputs.to(torch.float32)
        with full_precision(out.device):
            left = grad_output @ self._factor(f"{module}.grad_output", grad_output.shape[2], k_out, out)
            right = inputs @ self._factor(f"{module}.input", inputs.shape[2], k_in, out)
            product = torch.bmm(left.transpose(1, 2), right).flatten(1)
            if self.normalises:
                product *= inverse_root(product_lengths(grad_output, inputs))[:, None]
            out += product

    def _dense(self, name: str, x: torch.Tensor) -> torch.Tensor:
        key = stream(self.seed, name, 0)
        width = -(-self.dims // 64)
        step = max(1, MATRIX_BYTES // (256 * width))
        part = torch.zeros(len(x), self.dims, device=x.device)
        for first in range(0, x.shape[1], step):
            some = x[:, first : first + step]
            bits = words(key, first * width, some.shape[1] * width, x.device)
            part += some @ signs(bits).view(some.shape[1], width * 64)[:, : self.dims]
        return part.mul_(scale(self.dims))

    def _factor(self, name: str, features: int, rank: int, like: torch.Tensor) -> torch.Tensor:
        """A or B, transposed: [features, rank]."""
        found = self._matrices.get((name, like.device))
        if found is None:
            width = -(-rank // 64)
            bits = words(stream(self.seed, name, 0), 0, features * width, like.device)
            found = signs(bits).view(features, width * 64)[:, :rank] * scale(rank)
            self._matrices[name, like.device] = found
        return found


def scale(dims: int) -> float:
    """f32(1 / √dims)."""
    return torch.tensor(1 / math.sqrt(dims), dtype=torch.float32).item()


def inverse_lengths(x: torch.Tensor) -> torch.Tensor:
    """f32(1 / √Σ x²) of each row, 0 for a row of zeros; f32 [rows].

    Sums are in double; on a CPU only where the squares could leave the range of f32.
    """
    if x.device.type == "cpu":
        lengths = torch.linalg.vector_norm(x, dim=1)
        if all(1e-10 < length < 1e15 for length in lengths.tolist()):
            return lengths.reciprocal_()
    return inverse_root(torch.linalg.vector_norm(x, dim=1, dtype=torch.float64).square_())


def inverse_root(squared: torch.Tensor) -> torch.Tensor:
    """f32(1 / √x), 0 where x is 0."""
    return torch.where(squared > 0, squared.rsqrt(), squared).to(torch.float32)


def product_lengths(grad_output: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Squared lengths of Σ_p grad_output_p ⊗ input_p, which is not formed: f64 [rows].

    The shorter way is taken: products among positions, or the gradient itself where positions
    are many.
    """
    positions = grad_output.shape[1]
    squares = torch.zeros(len(inputs), dtype=torch.float64, device=inputs.device)
    step = max(1, MATRIX_BYTES // (8 * positions * len(inputs)))
    for first in range(0, positions, step):
        some = slice(first, first + step)
        among = torch.bmm(grad_output[:, some].double(), grad_output.double().transpose(1, 2))
        among *= torch.bmm(inputs[:, some].double(), inputs.double().transpose(1, 2))
        squares += among.sum((1, 2))
    return squares.clamp_(min=0)


def checked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document, if it is a projector's that this module computes."""
    missing = [key for key in ("kind", "version", "dims", "seed", "normalise") if key not in document]
    if missing:
        raise BadProjector(f"a projector without {', '.join(missing)}: {json.dumps(dict(document))[:200]}")
    kind, dims = document["kind"], document["dims"]
    if kind not in KINDS or document["version"] != 1:
        raise BadProjector(
            f"gradients can not be recorded with projector {kind}, version {document['version']}; "
            f"PyTorch computes {', '.join(KINDS)} of version 1")
    if document["normalise"] not in ("none", "tensor"):
        raise BadProjector(f"normalise is {document['normalise']!r}, not none or tensor")
    if kind == "sketch" and (dims % 64 or not 64 <= dims <= 1 << 30):
        raise BadProjector(f"dims of a sketch are a multiple of 64, from 64 to 2^30; here {dims}")
    if kind == "dense" and not 1 <= dims <= 1 << 20:
        raise BadProjector(f"dims of a dense projector are 1 to 2^20; here {dims}")
    if kind == "factored" and math.prod(document.get("rank") or [0]) != dims:
        raise BadProjector(f"dims of a factored projector are the product of its rank; here {dims}")
    return dict(document)
