"""What the recorder refuses, by name. All are subclasses of the package's own errors."""

from __future__ import annotations

from ..errors import BadInput, Closed

__all__ = ["BadInput", "BadProjector", "Closed", "IncompleteGradient", "NonFiniteGradient", "ShapeChanged",
           "UnsupportedUse"]


class BadProjector(BadInput):
    """A projector that can not be used here, or another than the table's."""


class UnsupportedUse(BadInput):
    """A parameter is used in a way whose gradient per example is not known."""


class IncompleteGradient(BadInput):
    """The rows' gradients do not add up to the gradient of the batch: something went unseen."""


class NonFiniteGradient(BadInput):
    """A row's gradient has elements that are NaN or infinite."""


class ShapeChanged(BadInput):
    """A parameter has another shape than in earlier rows of the layer."""
