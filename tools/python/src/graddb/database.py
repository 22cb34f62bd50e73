"""A database, and what tables it has."""

from __future__ import annotations

import json
import operator
import os
import resource
import threading
from typing import Any, Mapping, Sequence

import numpy as np

from . import errors
from ._call import call, call_text, encode, library, log_notes
from ._devices import memory_bytes
from .projector import projector_documents
from .table import Table

FIELD_TYPES: dict[Any, str] = {str: "string", int: "int", float: "float", bool: "bool"}


def _raise_file_limit() -> None:
    """RocksDB keeps every file of a database open; the usual soft limit of 1,024 is a large
    table's. The hard limit is what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open(path: str | os.PathLike[str], *, lock_timeout: float = 5.0, device: str = "cpu",
         device_memory: int | str | None = None) -> Database:
    """Opens the database in the directory `path`.

    `lock_timeout`: how many seconds calls that write wait for another writer before they raise
    `Locked`. `device`: where queries run that do not say it themselves: "cpu", "auto" (a GPU where
    that is expected to be faster), "gpu", "gpu:0", "gpu:0,1" or "staged"; `device_memory`: how many
    bytes of each may be used, such as "40G", most of what is free where it is left out
    (format-spec/cli-json.md, Devices). Raises `NotFound`, `TooNew`, `Corrupt`, `StorageError`.
    """
    return Database(os.fspath(path), lock_timeout, device, device_memory)


def create(path: str | os.PathLike[str], *, exist_ok: bool = False,
           lock_timeout: float = 5.0, device: str = "cpu",
           device_memory: int | str | None = None) -> Database:
    """Makes an empty database in a new or empty directory, and opens it.

    Raises `Error` where one is there already; with `exist_ok` that one is opened.
    """
    path = os.fspath(path)
    if not (exist_ok and os.path.exists(os.path.join(path, "CURRENT"))):
        library.graddb_close(call("graddb_create", encode(path, "a path")))
    return open(path, lock_timeout=lock_timeout, device=device, device_memory=device_memory)


class Database:
    """A database that is open. It holds no lock: any number of processes read beside one writer.

    Every call sees what was committed when it began, by any process. Threads may share it. It can
    be pickled: whoever unpickles it opens the same path.
    """

    def __init__(self, path: str, lock_timeout: float = 5.0, device: str = "cpu",
                 device_memory: int | str | None = None) -> None:
        self.path = os.path.abspath(path)
        self._lock_timeout = lock_timeout
        self.device, self.device_memory = device, memory_bytes(device_memory)
        self._opening = threading.Lock()
        self._closed = False
        self._process = 0
        self._number: int | None = None
        self._handle  # opens it, or raises

    @property
    def _handle(self) -> int:
        if self._closed:
            raise errors.Closed(f"the database {self.path} has been closed; open it again")
        # A child must not use its parent's handle: the threads behind it stayed with the parent.
        if self._number is None or self._process != os.getpid():
            if self._process != os.getpid():
                self._opening = threading.Lock()
            with self._opening:
                if self._number is None or self._process != os.getpid():
                    _raise_file_limit()
                    number = call("graddb_open", encode(self.path, "a path"))
                    try:
                        call("graddb_set_lock_timeout", number, self._lock_timeout)
                    except BaseException:
                        library.graddb_close(number)
                        raise
                    self._number, self._process = number, os.getpid()
        assert self._number is not None
        return self._number

    def create_table(
        self, name: str, layers: Mapping[str, int | tuple[int, str] | tuple[int, Sequence[str]]],
        fields: Mapping[str, type | str] | None = None, *, unit: str = "example",
        row_group: int | None = None, projectors: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
    ) -> Table:
        """Makes a table.

        `layers`: by name, the dims of a vector and its codec: `{"grad": (65536, "int8")}`; several
        codecs beside each other as `"int8+bit"`; `int8` where only the dims are given. Codecs are
        f32, f16, bf16, int8, int4 and bit. `fields`: by name `str`, `int`, `float` or `bool`.
        `unit`: what a row is, "example" or "token". `row_group`: the most rows of a row group.
        `projectors`: by layer, what turns raw gradients into its vectors; others are then refused.

        Raises `QueryError` for a schema that cannot be, `Error` where the table exists; with
        `exist_ok` that one is returned, if its layers have the same dims and its fields the same
        types.
        """
        schema: dict[str, Any] = {
            "table": name,
            "layers": [_layer(layer, spec) for layer, spec in layers.items()],
            "fields": [{"name": field, "type": FIELD_TYPES.get(kind, str(kind))}
                       for field, kind in (fields or {}).items()],
            "unit": unit,
        }
        for layer, projector in (projector_documents(projectors) or {}).items():
            for given in schema["layers"]:
                if given["name"] == layer:
                    given["projector"] = projector
                    break
            else:
                raise errors.QueryError(f"there is a projector for {layer!r}, which is no layer")
        if row_group is not None:
            schema["row_group"] = row_group
        if exist_ok and name in self.tables():
            return self._existing(name, schema)
        try:
            call_text("graddb_create_table", self._handle, encode(json.dumps(schema), "a schema"))
        except errors.Error as error:
            # Another process may have been faster.
            if type(error) is errors.Error and exist_ok and name in self.tables():
                return self._existing(name, schema)
            raise
        finally:
            log_notes()
        return Table(self, name)

    def _existing(self, name: str, schema: dict[str, Any]) -> Table:
        table = self.table(name)
        info = table.info()

        def shape(of: dict[str, Any]) -> Any:
            return ({layer["name"]: layer["dims"] for layer in of["layers"]},
                    {field["name"]: field["type"] for field in of["fields"]}, of["unit"])

        if shape(info) != shape(schema):
            raise errors.Error(f"there is a table {name!r} in the database {self.path} already, "
                               "with other layers, fields or another unit")
        return table

    def table(self, name: str) -> Table:
        """The table of that name. Raises `NotFound`."""
        table = Table(self, name)
        table.info()
        return table

    def tables(self) -> list[str]:
        """The names of the tables, sorted."""
        return [table["table"] for table in self.info()["tables"]]

    def info(self) -> dict[str, Any]:
        """What `gradctl info --json` prints: `database`, `format_version`, `bytes`, `tables`, …"""
        return call_text("graddb_info", self._handle)

    def stats(self) -> dict[str, Any]:
        """Sizes and counts, in bytes: `bytes` of all table files, `live_bytes` of the vectors that
        newest snapshots have, `amplification` (the one over the other, None without vectors),
        `garbage_bytes` that `gradctl gc` would remove, and `tables`, for each of them `rows`,
        `deleted`, `vectors`, `snapshots`, `segments`, `bytes`, `codec_bytes`, …"""
        return call_text("graddb_statistics", self._handle)

    def close(self) -> None:
        """Lets go of the files. What is used afterwards raises `Closed`."""
        if not self._closed and self._number is not None and self._process == os.getpid():
            library.graddb_close(self._number)
        self._closed = True
        self._number = None

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if library is not None and not getattr(self, "_closed", True):
            self.close()

    def __reduce__(self) -> Any:
        return Database, (self.path, self._lock_timeout, self.device, self.device_memory)

    def __repr__(self) -> str:
        return f"<graddb.Database {self.path!r}{', closed' if self._closed else ''}>"


def _layer(name: str, spec: Any) -> dict[str, Any]:
    """A layer as the library takes it."""
    try:
        dims, codecs = (spec, None) if isinstance(spec, (int, np.integer)) else spec
        layer: dict[str, Any] = {"name": name, "dims": operator.index(dims)}
    except (TypeError, ValueError):
        raise errors.QueryError(f"layer {name!r} is given as {spec!r}; give its dims, or dims and "
                                "codec: (65536, \"int8\")") from None
    if codecs is not None:
        layer["codecs"] = codecs.split("+") if isinstance(codecs, str) else list(codecs)
    return layer
