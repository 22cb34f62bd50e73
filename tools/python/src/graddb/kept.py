"""What a device keeps of a table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._call import call_text, library

if TYPE_CHECKING:
    from .table import Table


class Kept:
    """Vectors of a checkpoint in a device's memory, kept there until `release()`, the end of its `with`
    block, or the database's `close()`. Made by `Table.keep`.

    `table`, `checkpoint` and `layers`: whose. `device`: where, None where nothing is kept, which only
    "auto" lets happen. `bytes` of the device's memory, `row_groups`.
    """

    def __init__(self, table: Table, handle: int) -> None:
        self._handle: int | None = handle
        self._process = os.getpid()
        info = call_text("graddb_kept_info", handle)
        self.table = table
        self.checkpoint: str = info["checkpoint"]
        self.layers: list[str] = info["layers"]
        self.device: str | None = info["device"]
        self.bytes: int = info["bytes"]
        self.row_groups: int = info["row_groups"]

    def release(self) -> None:
        """The memory may be used for other blocks from here on. May be called again."""
        handle, self._handle = self._handle, None
        # The device has stayed with the process that had it.
        if handle is not None and self._process == os.getpid():
            library.graddb_kept_free(handle)

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __del__(self) -> None:
        if library is not None and getattr(self, "_handle", None) is not None:
            self.release()

    def __repr__(self) -> str:
        state = "released" if self._handle is None else f"{self.bytes:,} bytes on {self.device}"
        return f"<graddb.Kept {self.table.name!r} at {self.checkpoint!r}: {state}>"
