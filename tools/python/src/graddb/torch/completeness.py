"""Whether the rows' gradients add up to the batch's: a check that nothing went unseen.

A model can use a parameter where no trace sees it: in compiled code, in an autograd function of
its own, in another thread. Then the sum over the rows differs from the gradient that the backward
pass makes of the parameter. Rounding does so too, a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}


class Completeness:
    """Compares one batch. Factored weights, whose gradients are not formed, are left out."""

    def __init__(self) -> None:
        self._handles: list = []

    def begin(self, parameters: Mapping[str, Tensor], factored: frozenset[str]) -> None:
        self._parameters = {name: p for name, p in parameters.items() if name not in factored}
        self._sums: dict[str, Tensor] = {}
        self._lengths: dict[str, Tensor] = {}
        self._totals: dict[str, Tensor] = {}
        self._dtype = torch.float32
        self._handles = [parameter.register_hook(lambda g, name=name: self._total(name, g))
                         for name, parameter in self._parameters.items()]

    def end(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def wanted(self) -> list[Tensor]:
        """The parameters whose gradients are compared."""
        return list(self._parameters.values())

    def give(self, totals: Sequence[Tensor | None]) -> None:
        for name, total in zip(self._parameters, totals):
            if total is not None:
                self._total(name, total)

    def low_precision(self, dtypes: Iterable[torch.dtype]) -> None:
        """Of what types the operations' results were."""
        self._dtype = max([torch.float32, *dtypes], key=lambda dtype: TOLERANCE.get(dtype, 0))

    def add(self, name: str, gradients: Tensor) -> None:
        if name in self._parameters:
            part, lengths = gradients.sum(0), gradients.flatten(1).norm(dim=1).sum()
            self._sums[name] = self._sums[name] + part if name in self._sums else part
            self._lengths[name] = self._lengths.get(name, 0) + lengths

    def _total(self, name: str, gradient: Tensor) -> None:
        with torch._C.DisableTorchFunction(), torch.no_grad():
            self._totals[name] = gradient.detach().float().clone()

    def verdict(self) -> str | None:
        """What is wrong, or None."""
        self.end()
        worst, worst_name = 0.0, None
        for name, parameter in self._parameters.items():
            zero = torch.zeros((), device=parameter.device)
            total, found = self._totals.get(name, zero), self._sums.get(name, zero)
            length = max(float(self._lengths.get(name, 0)), float(total.norm()))
            off = float((total - found).norm()) / length if length else 0.0
            if off > worst:
                worst, worst_name = off, name
        self._sums, self._totals = {}, {}
        if worst <= TOLERANCE[self._dtype]:
            return None
        return (f"the rows' gradients of {worst_name} do not add up to the batch's: they are off by "
                f"{worst:.0%}. Something uses it where the recorder does not see it (compiled code, an "
                f"autograd function, another thread); leave it out with layers=[…, \"!{worst_name}\"]")
