"""Looks for bytes of rows in all files of a database, however they are packed.

What is sought are pieces of eight bytes of what is stored: a row's bytes in every encoding, its
statistics, its id and its values. They are looked for in the raw bytes of every file; in every zstd
frame that begins anywhere in one, and in those within it; and in what RocksDB's logs hold when their
records are put together. Random content of eight bytes comes by chance nowhere.
"""

import ctypes
import os
import struct

import numpy as np

from second_reader import Database, codec

import zstd  # noqa: E402  (behind second_reader, which has it on the path)
from rocksdb_log import records  # noqa: E402

PIECE = 8
NEAR = 1 << 16
ROUGH = 1 << 24
MAGIC = b"\x28\xb5\x2f\xfd"


class Sought:
    """`add` collects pieces, each for a reason; `found` says which reasons' pieces a database has."""

    def __init__(self):
        self.pieces = {}

    def add(self, reason, data):
        """All whole pieces of some bytes. Of zeros, and of the little that is shorter, nothing is sought."""
        for at in range(0, len(data) - PIECE + 1, PIECE):
            piece = data[at : at + PIECE]
            if len(set(piece)) > 2:
                self.pieces[piece] = reason

    def found(self, path):
        """{reason: files that have it}."""
        low, rough, reasons = np.uint64(ROUGH - 1), np.zeros(ROUGH, bool), {}
        rough[np.frombuffer(b"".join(self.pieces), "<u8") & low] = True
        together = {}
        for name, data in contents(path):
            together.setdefault(name, []).append(data)
        for name, parts in together.items():
            data = (bytes(PIECE)).join(parts) + bytes(2 * PIECE)
            for shift in range(PIECE):
                words = np.frombuffer(data, "<u8", (len(data) - shift) // PIECE, shift)
                for word in words[rough[words & low]]:
                    if (piece := word.tobytes()) in self.pieces:
                        reasons.setdefault(self.pieces[piece], set()).add(name)
        return reasons


def contents(path):
    """(file, bytes) of everything that lies under a directory, packed things also unpacked."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            with open(file, "rb") as opened:
                data = opened.read()
            where = os.path.relpath(file, path)
            # Names of files and directories are bytes on the disk as well.
            yield where, where.encode()
            yield from ((where, part) for part in unpacked(data))
            if name.endswith(".log") or name.startswith("MANIFEST"):
                try:
                    joined = b"".join(records(data))
                except ValueError:
                    continue
                yield from ((where, part) for part in unpacked(joined))


def unpacked(data):
    """The bytes, and the content of all zstd frames in them and in those."""
    yield data
    at = data.find(MAGIC)
    while at >= 0:
        inner = frame_content(data[at : at + NEAR]) or frame_content(data[at:])
        if inner:
            yield from unpacked(inner)
        at = data.find(MAGIC, at + 1)


def frame_content(data):
    """What the frame at the beginning holds, or None where there is no whole one."""
    library = zstd._LIB
    size = library.ZSTD_findFrameCompressedSize(data, len(data))
    if size > len(data):
        return None
    content = library.ZSTD_getFrameContentSize(data, size)
    # RocksDB's frames do not all say their size.
    room = content if content < 1 << 30 else 1 << 24
    buffer = ctypes.create_string_buffer(max(1, room))
    length = library.ZSTD_decompress(buffer, room, data[:size], size)
    return buffer.raw[:length] if length <= room else None


def sought_of(path, table, ids):
    """Everything that is stored of some rows of the newest snapshot, in all encodings that there are:
    taken by the second reader."""
    sought, ids = Sought(), set(ids)
    with Database(str(path)) as opened:
        newest = opened.table(table)
        rows = {}
        for number, row_id, fields in newest.records():
            if row_id in ids:
                rows[number] = row_id
                _add_values(sought, row_id, fields)
        for name in newest.preconditioners:
            _add_norms(sought, newest, name, rows)
        known = set()
        for snapshot in sorted(newest.snapshots, reverse=True):
            at = opened.table(table, snapshot)
            for encoding in (found for layer in at.layers for found in at.encodings(layer)):
                if encoding["encoding"] not in known:
                    known.add(encoding["encoding"])
                    for checkpoint in at.checkpoints:
                        _add_vectors(sought, at, checkpoint, encoding, rows)
    return sought


def _add_values(sought, row_id, fields):
    if isinstance(row_id, int):
        sought.add("id", struct.pack("<q", row_id))
        sought.add("id", struct.pack(">Q", row_id + (1 << 63)))
    else:
        sought.add("id", row_id.encode())
    for name, value in fields.items():
        if isinstance(value, str):
            sought.add(f"field {name}", value.encode())
        elif isinstance(value, float):
            sought.add(f"field {name}", struct.pack("<d", value))


def _add_vectors(sought, at, checkpoint, encoding, rows):
    numbers, stored = at.encoded(checkpoint, encoding)
    data = codec.pack(encoding["codec"], stored.values)
    for place, number in enumerate(numbers):
        if number in rows:
            name = f"{encoding['name']} in {encoding['codec']}"
            sought.add(name, data[place].tobytes())
            sought.add(f"norm of {name}", struct.pack("<d", stored.squared_norms[place]))


def _add_norms(sought, at, name, rows):
    made = at.preconditioner(name)
    for part in made.document["parts"]:
        layer = at.layers[part["layer"]]["name"]
        checkpoint = next(n for n, doc in at.checkpoints.items()
                          if doc["checkpoint"] == part["checkpoint"])
        numbers, _ = at.encoded(checkpoint, at.layer(layer))
        for number, norm in zip(numbers, made.norms(checkpoint, layer)):
            if number in rows:
                sought.add("norm by a preconditioner", struct.pack("<d", norm))
