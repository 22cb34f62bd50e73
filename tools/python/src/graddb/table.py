"""A table: storing rows, asking questions, reading vectors, history."""

from __future__ import annotations

import ctypes
import json
import os
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

import numpy as np

from . import _library, errors
from ._call import Cancellation, call, call_long, call_text, encode, library, log_notes, take_json
from ._columns import column_array, field_columns, id_column
from ._devices import device_options
from ._tensors import TensorArray, Vectors
from .kept import Kept
from .projector import projector_documents
from .result import Plan, Result
from .writer import Writer

if TYPE_CHECKING:
    from .database import Database


class Checkpoint(NamedTuple):
    """A state of the model: its name, training step and weight (None where not given), and how
    many rows have vectors at it."""

    name: str
    step: int | None
    weight: float | None
    rows: int


class Snapshot(NamedTuple):
    """A numbered, immutable state of a table; `rows` (ids), `segments` and `bytes` are totals."""

    snapshot: int
    parent: int
    time: str
    message: str
    checkpoint: str | None
    rows: int
    segments: int
    bytes: int
    tags: list[str]


class AppendResult(NamedTuple):
    """What an append did. `rows` were stored, `new_rows` of them have ids that the table had not
    seen, `skipped` were left out under resume; `bytes` of blocks were written."""

    snapshot: int
    rows: int
    new_rows: int
    skipped: int
    bytes: int
    seconds: float


class Table:
    """A table of a database. It holds nothing but its name: it may be kept, shared and pickled."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self._text = encode(name, "a table's name")
        self._schema: dict[str, Any] | None = None

    # ---------------------------------------------------------------------------------- writing

    def append(
        self, vectors: Vectors | Mapping[str, Vectors], *, ids: Any = None,
        fields: Mapping[str, Any] | None = None, checkpoint: str, step: int | None = None,
        weight: float | None = None, resume: bool = False, tag: str | None = None,
        message: str = "", threads: int = 0, projectors: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> AppendResult:
        """Stores rows, in one snapshot or not at all.

        `vectors`: one array [rows, dims] for each layer, by name; a bare array for the only layer.
        numpy or torch, f32, f16 or bf16, other numbers become f32; elements must be finite.
        `ids`: one string or integer for each row; integers that go on counting where left out.
        `fields`: lists or arrays with one value for each row, None for NULL.
        `checkpoint` is made where the table has none of that name, with `step` and `weight` (its
        learning rate). `resume` leaves out rows whose id the checkpoint has, instead of refusing
        them. `threads` 0: one per processor. `projectors`: by layer, what made the vectors; the
        layer's must be the same.

        Raises `BadInput`, `QueryError`, `Locked`, `StorageError`, `Interrupted`.
        """
        tensors = TensorArray(vectors, "the vectors")
        column = None if ids is None else id_column(ids)
        columns = field_columns(fields, self._field_types())
        options = _options(checkpoint=checkpoint, step=step, weight=weight, resume=resume, tag=tag,
                           message=message, threads=threads,
                           projectors=projector_documents(projectors))
        return self._commit(
            "graddb_append", options, tensors.array, tensors.count,
            None if column is None else ctypes.byref(column.column), column_array(columns),
            len(columns), cancellation=cancellation, keep=(tensors, column, columns))

    def writer(
        self, checkpoint: str, *, step: int | None = None, weight: float | None = None,
        resume: bool = False, rank: int = 0, ranks: int = 1, tag: str | None = None,
        message: str = "", threads: int = 0,
        projectors: Mapping[str, Any] | None = None,
    ) -> Writer:
        """Begins or joins a staged ingest at `checkpoint`, and opens rank `rank` of `ranks`.

        For many batches, over any time, in one process or in several beside each other: rows are
        written without the database's lock. With one rank, leaving the `with` block commits one
        snapshot, which `tag` and `message` are for; with several it closes the rank, and `commit`
        makes the snapshot of all. All ranks give the same `ranks`, `step` and `weight`.

        `resume` goes on after a process was killed: rows that are there already are left out.
        `projectors`: by layer, what made the vectors.

        Raises `Locked` where another process writes the rank, `QueryError`, `StorageError`.
        """
        if tag is not None and ranks != 1:
            raise errors.QueryError("with several ranks the tag is given to commit()")
        options = _options(
            checkpoint=checkpoint, step=step, weight=weight, resume=resume, rank=rank, ranks=ranks,
            threads=threads, projectors=projector_documents(projectors))
        return Writer(self, options, ranks, checkpoint, tag, message)

    def commit(self, checkpoint: str, *, tag: str | None = None, message: str = "",
               partial: bool = False, threads: int = 0,
               cancellation: Cancellation | None = None) -> AppendResult:
        """Makes one snapshot of what the ranks of the staged ingest at `checkpoint` have written.

        All ranks must be closed; with `partial` they are taken as they are. Raises `Locked` while
        a rank is being written, `Error` for ranks that are not closed, `BadInput` for ids that come
        twice, `QueryError` where nothing is staged.
        """
        options = _options(checkpoint=checkpoint, tag=tag, message=message, partial=partial,
                           threads=threads)
        return self._commit("graddb_commit", options, cancellation=cancellation)

    def staged(self) -> list[dict[str, Any]]:
        """Staged ingests of this table, what `gradctl staged --json` prints: by checkpoint how many
        `ranks` there are, how many are `closed`, which are `unfinished` and which are being
        written (`writing`), `rows` and `bytes` that are finished."""
        return call_text("graddb_staged", self.database._handle, self._text)

    def abandon(self, checkpoint: str) -> None:
        """Removes the staged ingest at `checkpoint`, with all that its ranks have written."""
        call("graddb_abandon", self.database._handle, self._text,
             encode(checkpoint, "a checkpoint's name"))

    def _commit(self, function: str, *arguments: Any, cancellation: Cancellation | None,
                keep: Any = None) -> AppendResult:
        try:
            result = take_json(call_long(
                function, self.database._handle, self._text, *arguments, cancellation=cancellation,
                undo=library.graddb_string_free, keep=keep))
        finally:
            log_notes()
        return AppendResult(**{key: result[key] for key in AppendResult._fields})

    # ---------------------------------------------------------------------------------- queries

    def query(
        self, statement: str, parameters: Mapping[str, Any] | None = None, *, threads: int = 0,
        projectors: Mapping[str, Any] | None = None, device: str | None = None,
        device_memory: int | str | None = None, cancellation: Cancellation | None = None,
        **vectors: Any,
    ) -> Result:
        """Runs one statement (format-spec/query-language.md); SELECT and FROM may be left out.

        What `$name` stands for is given by name, `q={"grad": query}`, or in `parameters`: arrays
        [rows, dims] or [dims] by layer, a bare array for the only layer, or the path of a file. In
        a condition it is a string, a number or a bool.
        `projectors`: by layer, what made the arrays; the layer's must be the same.
        `device`, `device_memory`: where to score (`graddb.open`); the database's where left out. What
        a device did is in `result.plan`; where "auto" had to go on with the processor, the logger
        says why. Arrays that lie on a GPU are read there (README).

        Raises `QueryError` for statements that cannot be run, `BadInput` for vectors that cannot be
        used, `Error` for a device that fails, `Interrupted`, `Corrupt`, `StorageError`.
        """
        result = self._run(statement, _library.RUN, {**(parameters or {}), **vectors}, projectors,
                           {"threads": threads, **device_options(self.database, device, device_memory)},
                           cancellation)
        if isinstance(result, Plan):
            raise errors.QueryError("EXPLAIN gives a plan and no rows: use explain(), with "
                                    "analyze=True for EXPLAIN ANALYZE")
        return result

    def explain(
        self, statement: str, parameters: Mapping[str, Any] | None = None, *,
        analyze: bool = False, threads: int = 0, projectors: Mapping[str, Any] | None = None,
        device: str | None = None, device_memory: int | str | None = None,
        cancellation: Cancellation | None = None, **vectors: Any,
    ) -> Plan:
        """How a statement would run; with `analyze` it is run, and the plan says what happened."""
        mode = _library.EXPLAIN_ANALYZE if analyze else _library.EXPLAIN
        result = self._run(statement, mode, {**(parameters or {}), **vectors}, projectors,
                           {"threads": threads, **device_options(self.database, device, device_memory)},
                           cancellation)
        assert isinstance(result, Plan)
        return result

    def _run(self, statement: str, mode: int, vectors: dict[str, Any],
             projectors: Mapping[str, Any] | None, options: dict[str, Any],
             cancellation: Cancellation | None) -> Result | Plan:
        parameters = (_library.Parameter * max(1, len(vectors)))()
        owners: list[Any] = []
        documents = projector_documents(projectors)
        made_by = None if documents is None else encode(json.dumps(documents), "projectors")
        for target, (name, value) in zip(parameters, vectors.items()):
            target.name = encode(name, "a parameter's name")
            text = _parameter_text(value)
            if text is not None:
                target.file = encode(text, f"the value of ${name}")
            else:
                tensors = TensorArray(value, f"${name}", allow_vector=True)
                owners.append(tensors)
                target.tensors = ctypes.cast(tensors.array, ctypes.POINTER(_library.Tensor))
                target.tensor_count = tensors.count
                target.projectors = made_by
        try:
            handle = call_long(
                "graddb_query", self.database._handle, encode(statement, "a statement"), self._text,
                mode, parameters, len(vectors), _options(**options), cancellation=cancellation,
                undo=library.graddb_result_free, keep=owners)
        finally:
            log_notes()
        try:
            return Plan(handle) if library.graddb_result_is_plan(handle) else Result(handle)
        finally:
            library.graddb_result_free(handle)

    def keep(
        self, checkpoint: str | None = None, *, layers: Sequence[str] | None = None,
        device: str | None = None, device_memory: int | str | None = None, threads: int = 0,
        cancellation: Cancellation | None = None,
    ) -> Kept:
        """Brings the vectors of a checkpoint to a device's memory, verified, and keeps them there for
        the queries of this process, until they are released:

            with table.keep("step-300", device="gpu"):
                table.query(…, device="gpu")

        `checkpoint`: the newest where left out. `layers`: all where left out. `device` and
        `device_memory` are those of the queries that are to find them; the database's where left out.
        Rows that are written later are not among them. Without it, too, a device keeps what it has
        scored; but what was used longest ago then goes when there is no room.

        Raises `Error` where they do not fit beside what is kept already, and for a device that fails
        (with "auto" nothing is kept then, and the logger says why); `QueryError` for a device that
        keeps nothing, the processor; `Corrupt`, `Interrupted`.
        """
        options = _options(checkpoint=checkpoint, layers=None if layers is None else list(layers),
                           threads=threads, **device_options(self.database, device, device_memory))
        try:
            return Kept(self, call_long(
                "graddb_keep", self.database._handle, self._text, options, cancellation=cancellation,
                undo=library.graddb_kept_free))
        finally:
            log_notes()

    def read(
        self, ids: Any, *, checkpoint: str | None = None, layer: str | None = None,
        at: int | str | None = None, threads: int = 0, cancellation: Cancellation | None = None,
    ) -> np.ndarray:
        """Stored vectors, f32 [len(ids), dims], in the order of `ids`, as the layer's finest codec
        has them.

        `checkpoint`: the newest where left out. `layer`: may be left out where the table has one.
        `at`: a snapshot's number, a tag or a time; the newest snapshot where left out.
        Raises `NotFound`, naming the id, where one has no vector there.
        """
        layers = {item["name"]: item["dims"] for item in self._known_schema()["layers"]}
        if layer is None and len(layers) == 1:
            layer = next(iter(layers))
        column = id_column(ids)
        options = _options(checkpoint=checkpoint, layer=layer, at=at, threads=threads)
        rows, dims = column.column.rows, layers.get(layer or "", 0)
        vectors = np.empty((rows, dims), np.float32)
        call_long(
            "graddb_read", self.database._handle, self._text, options, ctypes.byref(column.column),
            vectors.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), vectors.size,
            cancellation=cancellation, keep=(column, vectors))
        return vectors

    # ------------------------------------------------------------------------------ description

    def info(self) -> dict[str, Any]:
        """What `gradctl info TABLE --json` prints: `rows`, `snapshot`, `layers`, `fields`,
        `checkpoints`, `tags`, `bytes` and more."""
        return call_text("graddb_table_info", self.database._handle, self._text)

    def checkpoints(self) -> list[Checkpoint]:
        """In the order they were made."""
        return [Checkpoint(**{key: item[key] for key in Checkpoint._fields})
                for item in self.info()["checkpoints"]]

    def snapshots(self) -> list[Snapshot]:
        """The newest first."""
        return [Snapshot(**{key: item[key] for key in Snapshot._fields}) for item in call_text(
            "graddb_table_snapshots", self.database._handle, self._text)]

    @property
    def tags(self) -> dict[str, int]:
        """Snapshots by their tags."""
        return self.info()["tags"]

    def tag(self, name: str, snapshot: int | None = None) -> int:
        """Names a snapshot, the newest where none is given; an existing tag moves. Returns the
        snapshot's number."""
        if snapshot is not None and snapshot < 0:
            raise errors.QueryError(f"there is no snapshot {snapshot}")
        return call_text("graddb_tag", self.database._handle, self._text, encode(name, "a tag"),
                         -1 if snapshot is None else snapshot)["snapshot"]

    def delete_tag(self, name: str) -> None:
        """Removes a tag; its snapshot stays."""
        call("graddb_delete_tag", self.database._handle, self._text, encode(name, "a tag"))

    def __len__(self) -> int:
        """Rows (ids) of the newest snapshot."""
        return self.info()["rows"]

    def __bool__(self) -> bool:
        return True

    def _known_schema(self) -> dict[str, Any]:
        """Layers and fields, which never change."""
        if self._schema is None:
            self._schema = self.info()
        return self._schema

    def _field_types(self) -> dict[str, str]:
        return {field["name"]: field["type"] for field in self._known_schema()["fields"]}

    def __getstate__(self) -> dict[str, Any]:
        return {"database": self.database, "name": self.name, "_text": self._text, "_schema": None}

    def __repr__(self) -> str:
        return f"<graddb.Table {self.name!r} of {self.database.path!r}>"


def _parameter_text(value: Any) -> str | None:
    """What a parameter is as text; None for arrays, which are query vectors."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return repr(value)
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else None


def _options(**options: Any) -> bytes:
    """As JSON; what is None is left out."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return encode(json.dumps(given, default=_plain, allow_nan=False), "the options")
    except ValueError as error:
        raise errors.QueryError(f"an option is no finite number: {error}") from None


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"an option is a {type(value).__name__}; give text or a number")
