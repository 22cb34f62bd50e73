"""Writes rows on a thread of its own, so that a training step does not wait for the disk.

The queue holds at most `depth` batches: when it is full, the step waits, and `waited` says how
long. The first error ends the writing: what is queued is dropped, and the next `submit` or `drain`
raises it.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import NonFiniteGradient
from .transfer import Transfer


class BackgroundWriter:
    """Appends to one writer, in order. Not for several threads at once."""

    def __init__(self, writer: Any, depth: int, skip_nonfinite: bool = False):
        self._writer, self._skips = weakref.ref(writer), skip_nonfinite
        self.waited = self.wrote = 0.0  # seconds
        self.rows = self.skipped = self.nonfinite = 0
        self._queue: queue.Queue = queue.Queue(max(1, depth))
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def submit(self, vectors: Mapping[str, Tensor], ids: Sequence, fields: Mapping[str, Sequence]) -> None:
        """Queues rows; those on a GPU are on their way to the host when it returns. Raises what went wrong
        with those before."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(self._writer(),), name="graddb-recorder", daemon=True)
            self._thread.start()
        began = time.perf_counter()
        self._queue.put((Transfer(vectors), ids, fields))
        self.waited += time.perf_counter() - began

    def drain(self) -> None:
        """Waits until everything queued has been appended, and ends the thread."""
        self._end()
        self._raise()

    def drop(self) -> None:
        """Forgets what is queued, and ends the thread."""
        self._error = self._error or InterruptedError("the writer was closed")
        self._end()

    def _end(self) -> None:
        if self._thread is not None:
            began = time.perf_counter()
            self._queue.put(None)
            self._thread.join()
            self._thread = None
            self.waited += time.perf_counter() - began

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self, writer: Any) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                began = time.perf_counter()
                self._append(writer, *item)
                self.wrote += time.perf_counter() - began
            except BaseException as error:  # it belongs to whoever submits next
                self._error = error

    def _append(self, writer: Any, transfer: Transfer, ids: Sequence,
                fields: Mapping[str, Sequence]) -> None:
        vectors = transfer.wait()
        finite = torch.ones(len(ids), dtype=torch.bool)
        for layer, rows in vectors.items():
            good = rows.isfinite().all(1)
            if not (self._skips or good.all()):
                raise NonFiniteGradient(
                    f"the gradient of row {ids[int((~good).nonzero()[0])]!r} has elements in layer "
                    f"{layer} that are NaN, infinite or too large; leave the row out, or make the "
                    "recorder with nonfinite=\"skip\"")
            finite &= good
        if not finite.all():
            kept = finite.nonzero()[:, 0].tolist()
            self.nonfinite += len(ids) - len(kept)
            vectors = {layer: rows[kept] for layer, rows in vectors.items()}
            ids = [ids[n] for n in kept]
            fields = {name: [values[n] for n in kept] for name, values in fields.items()}
        if len(ids):
            taken = writer.append(vectors, ids=ids, fields=fields)
            self.rows += taken.rows
            self.skipped += taken.skipped
