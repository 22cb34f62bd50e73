"""What is recorded of a gradient: itself, or the update that it makes with Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import BadInput

DIRECTIONS = ("sgd", "adam")


class AdamDirection:
    """The update of a parameter by Adam if the batch were one example (LESS; Xia et al. 2024,
    arXiv 2402.04333, section 3.1), from the optimiser's state after t steps:

        Γ(g) = m / (√v + ε)      m = (β₁ m_t + (1 − β₁) g) / (1 − β₁^(t+1))
                                 v = (β₂ v_t + (1 − β₂) g²) / (1 − β₂^(t+1))

    without weight decay and learning rate, which are the same for all rows. It is not linear in g,
    so g has to be the example's own gradient: see `reduction` of the recorder. Queries are
    gradients as they are (`direction="sgd"`), as in the paper.
    """

    def __init__(self, optimizer: torch.optim.Optimizer | None):
        if optimizer is None:
            raise BadInput("direction=\"adam\" needs the optimizer whose state it takes")
        self._groups: dict[int, dict[str, Any]] = {}
        for group in optimizer.param_groups:
            if "betas" not in group or "eps" not in group:
                raise BadInput(f"{type(optimizer).__name__} is no Adam: it has no betas and eps")
            self._groups.update((id(parameter), group) for parameter in group["params"])
        self._state = optimizer.state

    def of(self, name: str, parameter: Tensor, gradients: Tensor) -> Tensor:
        """[n, …] to [n, …]."""
        group = self._groups.get(id(parameter))
        if group is None:
            raise BadInput(f"{name} is recorded as Adam's update, but its optimizer does not have it")
        beta1, beta2 = group["betas"]
        state = self._state.get(parameter) or {}
        steps = float(state.get("step", 0)) + 1
        m, v = gradients * (1 - beta1), gradients.square() * (1 - beta2)
        if "exp_avg" in state:
            m += beta1 * state["exp_avg"].to(m.dtype)
            v += beta2 * state["exp_avg_sq"].to(v.dtype)
        m /= 1 - beta1**steps
        v /= 1 - beta2**steps
        return m.div_(v.sqrt_().add_(group["eps"]))
