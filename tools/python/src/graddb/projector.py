"""Projectors: what turned raw gradients into vectors (format-spec/projectors.md)."""

from __future__ import annotations

from typing import Any, Mapping


def projector_documents(projectors: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The JSON objects of projectors by layer: objects with a `document`, or dictionaries."""
    if projectors is None:
        return None
    return {layer: getattr(projector, "document", projector)
            for layer, projector in projectors.items()}
