"""Recording the gradients of PyTorch models: `Recorder`, and `GradDBCallback` for a Trainer."""

from __future__ import annotations

from typing import Any

from .errors import (BadProjector, IncompleteGradient, NonFiniteGradient, ShapeChanged,
                     UnsupportedUse)
from .losses import causal_lm_losses, causal_lm_token_losses
from .projection import Projection
from .recorder import Recorder
from .recording import Recording
from .report import Report
from .selection import per_module
from .trace import Trace

__all__ = ["BadProjector", "GradDBCallback", "IncompleteGradient", "NonFiniteGradient", "Projection",
           "Recorder", "Recording", "Report", "ShapeChanged", "Trace", "UnsupportedUse",
           "causal_lm_losses", "causal_lm_token_losses", "per_module"]


def __getattr__(name: str) -> Any:
    # Only this needs transformers, which takes seconds to import.
    if name == "GradDBCallback":
        from .trainer import GradDBCallback

        return GradDBCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
