"""Which snapshots have what: ranges of numbers, and the rows that are deleted (format-spec/versions.md)."""

import struct

import numpy as np

from zstd import decompress

CONTAINER_ROWS = 1 << 16
NEVER = float("inf")


def has(document: dict, snapshot: int) -> bool:
    """Whether a snapshot has an encoding, segment, checkpoint or preconditioner."""
    return any(start <= snapshot < end for start, end in ranges(document))


def ranges(document: dict) -> list[tuple]:
    """[(first snapshot, the one that no longer has it)], ascending and apart; the last may be open."""
    found = [(part[0], part[1] if len(part) == 2 else NEVER) for part in document["snapshots"]]
    ends = [number for part in found for number in part]
    if not found or any(a >= b for a, b in zip(ends, ends[1:])):
        raise ValueError(f"ranges of snapshots that are not in order: {document['snapshots']}")
    return found


def deleted_rows_key(table, container, snapshot):
    return struct.pack(">IBIQ", table, 5, container, snapshot)


def containers(store, table: int):
    """(container, snapshot, value) of the deleted rows of a table, in key order."""
    for key, value in store.scan("fields", struct.pack(">IB", table, 5)):
        if len(key) != 17:
            raise ValueError(f"the key {key.hex()} is none of deleted rows")
        _, _, container, snapshot = struct.unpack(">IBIQ", key)
        yield container, snapshot, value


def seen(found, snapshot: int) -> dict:
    """Of (container, snapshot, …) the ones that a snapshot sees, by container."""
    return {entry[0]: entry for entry in sorted(found, key=lambda entry: entry[:2])
            if entry[1] <= snapshot}


def container_rows(value: bytes) -> np.ndarray:
    """bool [65536]: which rows of its container a value of deleted rows has."""
    data = np.frombuffer(decompress(value), np.uint8)
    if len(data) != CONTAINER_ROWS // 8:
        raise ValueError("a container of deleted rows is not of its size")
    return np.unpackbits(data, bitorder="little").astype(bool)


def deleted_rows(store, table: int, snapshot: int, next_row: int) -> np.ndarray:
    """bool [next_row]: which rows a snapshot has as deleted."""
    every = np.zeros(-(-next_row // CONTAINER_ROWS) * CONTAINER_ROWS, bool)
    for container, _, value in seen(containers(store, table), snapshot).values():
        first, bits = container * CONTAINER_ROWS, container_rows(value)
        if bits[max(0, next_row - first):].any():
            raise ValueError(f"container {container} has rows deleted that there are not")
        every[first : first + CONTAINER_ROWS] = bits[: max(0, len(every) - first)]
    return every[:next_row]
