"""Writing rows over time: one rank of a staged ingest (format-spec/staging.md)."""

from __future__ import annotations

import ctypes
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple

from . import errors
from ._call import (Cancellation, call, call_long, interruptibly, library, log_notes,
                    take_json)
from ._columns import column_array, field_columns, id_column
from ._tensors import TensorArray, Vectors

if TYPE_CHECKING:
    from .table import AppendResult, Table


class Taken(NamedTuple):
    """What became of a batch: rows taken, and rows left out because they are there already."""

    rows: int
    skipped: int


class WriterSummary(NamedTuple):
    """What a rank has when it is closed: its rows, those of earlier processes among them; of those
    `new_rows` that this one took; `skipped` that it left out; `bytes` of its files."""

    rows: int
    new_rows: int
    skipped: int
    bytes: int


class Writer:
    """Takes rows, batch after batch, without the database's lock; `Table.writer` makes it.

    Rows become visible when the checkpoint's staged ingest is committed: at the end of the `with`
    block where there is one rank, else by `Table.commit`. Full row groups survive the process, so
    that `resume=True` can go on after a kill. An exception that leaves the `with` block keeps what is
    finished and commits nothing; so does Ctrl-C, after which the writer takes no more rows.

    One thread at a time may use it. A child process cannot use its parent's.
    """

    def __init__(self, table: Table, options: bytes, ranks: int, checkpoint: str,
                 tag: str | None, message: str) -> None:
        self.table = table
        self.checkpoint = checkpoint
        self.ranks = ranks
        self.snapshot: AppendResult | None = None
        self.summary: WriterSummary | None = None
        self._tag, self._message = tag, message
        self._types = table._field_types()
        self._process = os.getpid()
        self._cancellation = Cancellation()
        self._using = threading.Lock()
        self._feeders: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._state = "open"
        self._handle = call_long(
            "graddb_writer_open", table.database._handle, table._text, options,
            cancellation=self._cancellation, undo=library.graddb_writer_free)

    @property
    def earlier_rows(self) -> int:
        """Rows of this rank that earlier processes had made durable when it was opened."""
        self._require_open()
        return library.graddb_writer_earlier_rows(self._handle)

    def append(self, vectors: Vectors | Mapping[str, Vectors], *, ids: Any,
               fields: Mapping[str, Any] | None = None) -> Taken:
        """Takes a batch of rows, all or none; shapes and types as for `Table.append`.

        With `resume`, rows that are there already (at the checkpoint, or from this staged ingest)
        are left out and counted. Raises `BadInput` naming the row; then the writer goes on with the
        next batch. After a `StorageError` it has to be opened again.
        """
        tensors = TensorArray(vectors, "the vectors")
        column = id_column(ids)
        columns = field_columns(fields, self._types)
        skipped = ctypes.c_int64()
        with self._in_use():
            self._call(
                "graddb_writer_append", self._handle, tensors.array, tensors.count,
                ctypes.byref(column.column), column_array(columns), len(columns),
                ctypes.byref(skipped), keep=(tensors, column, columns))
        return Taken(tensors.rows - skipped.value, skipped.value)

    def before_close(self, drain: Callable[[], None], drop: Callable[[], None]) -> None:
        """For who appends from another thread: `drain` is called before the writer is flushed or
        closed, and has to wait for that thread; `drop` before it abandons. What `drain` raises is
        raised by `close`, which then abandons the writer."""
        self._require_open()
        self._feeders.append((drain, drop))

    def flush(self) -> None:
        """Makes all full row groups durable; the rows of the last one, if it is not full, stay in
        memory."""
        for drain, _ in self._feeders:
            drain()
        with self._in_use():
            self._call("graddb_writer_flush", self._handle)

    def close(self) -> WriterSummary:
        """Writes the last row group and closes the rank. With one rank it is committed, too."""
        self._require_open()
        try:
            for drain, _ in self._feeders:
                drain()
        except BaseException:
            self.abandon()
            raise
        with self._in_use():
            self._state = "failed"
            try:
                summary = take_json(self._call("graddb_writer_close", self._handle))
                self._state = "closed"
            finally:
                self._free()
        self.summary = WriterSummary(**{key: summary[key] for key in WriterSummary._fields})
        if self.ranks == 1:
            self.snapshot = self.table.commit(
                checkpoint=self.checkpoint, tag=self._tag, message=self._message)
        return self.summary

    def abandon(self) -> None:
        """Stops without closing: finished row groups stay, and `resume=True` goes on with them."""
        if self._state == "open":
            self._state = "abandoned"
            for _, drop in self._feeders:
                drop()
            self._free()

    def _call(self, name: str, *arguments: Any, keep: Any = None) -> Any:
        """The library stops the writer's calls by the cancellation that it was opened with."""
        return interruptibly(lambda: call(name, *arguments), self._cancellation, keep=keep)

    def _free(self) -> None:
        handle, self._handle = self._handle, None
        if self._process == os.getpid():
            library.graddb_writer_free(handle)
        log_notes()

    def _require_open(self) -> None:
        if self._process != os.getpid():
            raise errors.Closed("this writer belongs to the process that made it; make another one")
        if self._state != "open":
            raise errors.Closed(f"the writer of table {self.table.name!r} at checkpoint "
                                f"{self.checkpoint!r} is {self._state}; make another one")

    def _in_use(self) -> _InUse:
        self._require_open()
        return _InUse(self)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None:
            self.abandon()
        elif self._state == "open":
            self.close()

    def __del__(self) -> None:
        if library is not None and getattr(self, "_state", "") == "open" \
                and getattr(self, "_handle", None):
            self.abandon()

    def __repr__(self) -> str:
        return (f"<graddb.Writer of {self.table.name!r} at {self.checkpoint!r}, {self._state}>")


class _InUse:
    """Two threads at once would mix up their batches: the second is refused."""

    def __init__(self, writer: Writer) -> None:
        self._lock = writer._using

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise errors.Error("another thread is using this writer; give each its own rank, or a "
                               "lock around it")

    def __exit__(self, *exception: object) -> None:
        self._lock.release()
