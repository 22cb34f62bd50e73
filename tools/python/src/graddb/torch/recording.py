"""One batch being recorded: its trace, its rows' vectors, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .background import BackgroundWriter
from .errors import BadInput, IncompleteGradient
from .layers import RecordedLayer
from .selection import trained
from .trace import Trace

if TYPE_CHECKING:
    from .recorder import Recorder


class Recording:
    """The context of `Recorder.record`."""

    def __init__(self, recorder: Recorder, background: BackgroundWriter | None, ids: list,
                 fields: Mapping[str, list], scale: float | Sequence[float] | Tensor):
        self.recorder, self.ids, self.fields = recorder, ids, fields
        #: {layer: f32 [rows, dims]}, once the context has been left
        self.vectors: dict[str, Tensor] = {}
        self._background = background
        self._scale = torch.as_tensor(scale, dtype=torch.float32).detach()
        if self._scale.dim() and self._scale.shape != (len(ids),):
            raise BadInput(f"scale has shape {list(self._scale.shape)} for {len(ids)} rows")
        self._mean = recorder.reduction == "mean"
        parameters = trained(recorder.model)
        self._layers_of: dict[str, list[RecordedLayer]] = {}
        for layer in recorder.layers:
            for name in layer.tensors:
                self._layers_of.setdefault(name, []).append(layer)
        self._parameters = {name: parameters[name] for name in self._layers_of if name in parameters}
        missing = sorted(self._layers_of.keys() - self._parameters.keys())
        if missing:
            raise BadInput(f"{missing[0]} is no longer among the model's trained parameters")
        for layer in recorder.layers:
            layer.check_shapes(self._parameters)
        self._factored = frozenset(
            name for name, layers in self._layers_of.items() if any(x.factored for x in layers))
        self._done = False
        self._trace: Trace | None = None

    def __enter__(self) -> Recording:
        self._began = self.recorder.begin()
        try:
            self._waited = self._background.waited if self._background else 0.0
            self.vectors = self.recorder.empty_vectors(len(self.ids))
            self._check = self.recorder.completeness
            self._trace = Trace(
                self.recorder.model, self._parameters, len(self.ids), self._take, self._take_factors,
                self._factored, keep=self.recorder.tokens)
            if self._check:
                self._check.begin(self._parameters, self._factored)
            self._trace.__enter__()
        except BaseException:
            self.recorder.end()
            raise
        return self

    def backward(self, losses: Tensor, mask: Tensor | None = None) -> None:
        """The backward pass of the examples' losses, [rows]; it makes no `.grad`.

        For a table of tokens [rows, positions]: a row is the gradient of one position's loss, and
        its id the example's, "/", and the position. Positions where `mask` is 0 or false make no
        row. What a token's loss says of a layer reaches it by other positions too (attention), so
        there is one backward pass for each position, of all examples together: exact, and no more
        in memory than for one.
        """
        if self._trace is None:
            raise BadInput("backward() belongs inside the context of record()")
        if self._done:
            raise BadInput("the backward pass of this batch has been made: one to a record()")
        if losses.dim() != 1 + self.recorder.tokens or len(losses) != len(self.ids):
            shape = f"[{len(self.ids)}, positions]" if self.recorder.tokens else f"[{len(self.ids)}]"
            raise BadInput(f"losses have shape {list(losses.shape)}, but {shape} is needed: not "
                           "reduced over the batch")
        self._mean, self._done = False, True
        self._trace.__exit__(None, None, None)
        if self.recorder.tokens:
            self._backward_tokens(losses, mask)
        else:
            self._backward_once(losses.sum(), False)

    def _backward_once(self, loss: Tensor, retain: bool) -> None:
        inputs = self._trace.outputs
        totals = self._check.wanted() if self._check else []
        if not inputs:
            raise BadInput("no trained parameter of the recorder took part in the loss")
        found = torch.autograd.grad(loss, [*inputs, *totals], retain_graph=retain, allow_unused=True)
        if self._check:
            self._check.give(found[len(inputs):])

    def _backward_tokens(self, losses: Tensor, mask: Tensor | None) -> None:
        wanted = torch.ones(losses.shape, dtype=torch.bool) if mask is None else mask.detach().cpu() != 0
        if wanted.shape != losses.shape:
            raise BadInput(f"mask has shape {list(wanted.shape)}, losses have {list(losses.shape)}")
        at = wanted.any(0).nonzero()[:, 0].tolist()
        kept: list[tuple[dict[str, Tensor], list[int], int]] = []
        for position in at:
            if position != at[0]:
                self._trace.again()
                self.vectors = self.recorder.empty_vectors(len(self.ids))
            self._backward_once(losses[:, position].sum(), position != at[-1])
            self._finish_pass()
            rows = wanted[:, position].nonzero()[:, 0].tolist()
            part = {layer: vectors[rows] for layer, vectors in self.vectors.items()}
            if self._background:
                self._submit(part, rows, position)
            else:
                kept.append((part, rows, position))
        if not self._background:
            self.vectors = {layer: torch.cat([part[layer] for part, _, _ in kept])
                            for layer in self.vectors} if kept else {}
            self.ids = [f"{self.ids[n]}/{position}" for _, rows, position in kept for n in rows]

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: Any) -> None:
        trace, recorder = self._trace, self.recorder
        try:
            if not self._done:
                trace.__exit__(kind, error, traceback)
            if kind is not None:
                return
            if not self._done:
                if recorder.tokens:
                    raise BadInput("rows of this table are tokens: hand their losses, [rows, "
                                   "positions], to the recording's backward()")
                if not trace.dtypes:
                    raise BadInput(
                        "no gradient came back: loss.backward() belongs inside record(), the recorder's "
                        f"model into the loss, and its inputs have {len(self.ids)}, the number of ids, "
                        "as their first dimension")
            if not recorder.tokens:
                self._finish_pass()
                if self._background:
                    self._submit(self.vectors, None, None)
                else:
                    self.vectors = self._finished(self.vectors, slice(None))
        finally:
            if self._check:
                self._check.end()
            recorder.end()
            trace.clear()
            self._trace = None
            waited = self._background.waited - self._waited if self._background else 0.0
            recorder.statistics.add(time.perf_counter() - self._began, trace.seconds, waited)

    def _finish_pass(self) -> None:
        self._trace.finish()
        if self._check:
            self._check.low_precision(self._trace.dtypes)
            problem = self._check.verdict()
            if problem:
                raise IncompleteGradient(problem)
            self._check = self.recorder.completeness = None

    # ---- what the trace hands over ----

    def _factor(self) -> Tensor:
        return self._scale * len(self.ids) if self._mean else self._scale

    def _take(self, name: str, first: int, last: int, gradients: Tensor) -> None:
        if self._check:
            self._check.add(name, gradients)
        if self.recorder.direction:
            factor = self._factor().to(gradients.device)
            factor = factor[first:last] if factor.dim() else factor
            gradients = gradients * factor.view(-1, *[1] * (gradients.dim() - 1))
            gradients = self.recorder.direction.of(name, self._parameters[name], gradients)
        layers = [layer for layer in self._layers_of[name] if not layer.factored]
        for layer in layers:
            out = self.vectors[layer.name][first:last]
            layer.projection.add(
                layer.tensors[name], gradients.to(out.device), out, owned=layer is layers[-1])

    def _take_factors(self, name: str, grad_output: Tensor, inputs: Tensor) -> None:
        for layer in self._layers_of[name]:
            if layer.factored:
                out = self.vectors[layer.name]
                layer.projection.add_factored(
                    layer.tensors[name], grad_output.to(out.device), inputs.to(out.device), out)

    # ---- what becomes of the rows ----

    def _finished(self, vectors: Mapping[str, Tensor], rows: Any) -> dict[str, Tensor]:
        """Scaled and of the right type."""
        factor = self._factor()
        made = {}
        for layer in self.recorder.layers:
            part = vectors[layer.name]
            if not layer.projection.normalises and self.recorder.direction is None:
                one = factor.to(part.device)
                part = part * (one[rows][:, None] if one.dim() else one)
            made[layer.name] = part.to(self.recorder.dtype)
        return made

    def _submit(self, vectors: Mapping[str, Tensor], rows: list[int] | None, position: int | None) -> None:
        ids, fields = self.ids, self.fields
        if rows is not None:
            ids = [f"{ids[n]}/{position}" for n in rows]
            fields = {name: [values[n] for n in rows] for name, values in fields.items()}
        finished = self._finished(vectors, slice(None) if rows is None else rows)
        self._background.submit(finished, ids, fields)
