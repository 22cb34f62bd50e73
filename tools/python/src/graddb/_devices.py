"""Where queries run, as options of the library."""

from __future__ import annotations

import operator
import re
from typing import Any

from . import errors

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def memory_bytes(memory: int | str | None) -> int | None:
    """Bytes from a number or a text like "40G" (k, M, G: powers of 1000)."""
    if memory is None:
        return None
    if isinstance(memory, str):
        match = re.fullmatch(r"(\d+)([kMG]?)", memory)
        if match is None:
            raise errors.QueryError(f"device_memory takes bytes, such as 4G, not {memory!r}")
        return int(match[1]) * UNITS[match[2]]
    return operator.index(memory)


def device_options(database: Any, device: str | None, memory: int | str | None) -> dict[str, Any]:
    """`device` and `device_memory` of a call: its own, else its database's."""
    if memory is None:
        memory = database.device_memory
    return {"device": database.device if device is None else device, "device_memory": memory_bytes(memory)}
