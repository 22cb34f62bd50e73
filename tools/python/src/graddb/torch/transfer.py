"""Vectors on their way from where they were made to the host.

From a GPU they are copied into pinned memory, on a stream of their own: the copy begins when the vectors
are there, and goes on beside what training gives the GPU next. Whoever needs them waits for their copy
alone, and not for what was queued behind it. The GPU's memory is free again as soon as they have left.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor


class Transfer:
    """Begins to bring vectors to the host."""

    def __init__(self, vectors: Mapping[str, Tensor]):
        self._events: list[torch.cuda.Event] = []
        self._vectors = {layer: self._begin(rows) for layer, rows in vectors.items()}

    def wait(self) -> dict[str, Tensor]:
        """The vectors, once they are there; may be called by another thread."""
        for event in self._events:
            event.synchronize()
        return self._vectors

    def _begin(self, rows: Tensor) -> Tensor:
        if rows.device.type != "cuda":
            return rows.cpu()
        stream = _stream(rows.device)
        stream.wait_stream(torch.cuda.current_stream(rows.device))
        with torch.cuda.stream(stream):
            here = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            here.copy_(rows, non_blocking=True)
            self._events.append(stream.record_event(torch.cuda.Event(blocking=True)))
        # Their memory is not given to others before the copy is done.
        rows.record_stream(stream)
        return here


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
