"""What a snapshot holds, as sums and a hash (format-spec/versions.md).

The terms are functions of plain values, so that a test can compute them of what went in; `of_table`
computes them of what is stored.
"""

import struct

import codec
from block import CODEC_NUMBERS, SLAB_BYTES
from xxh3 import MASK, xxh3


def words(*numbers: int) -> int:
    """XXH3 of numbers as u64."""
    return xxh3(struct.pack(f"<{len(numbers)}Q", *numbers))


def id_bytes(row_id) -> bytes:
    """An id as a row record starts with it."""
    if isinstance(row_id, int):
        return struct.pack("<Bq", 1, row_id)
    text = row_id.encode()
    return struct.pack("<BI", 2, len(text)) + text


def checkpoint_term(name: str, step, weight) -> int:
    """Of the checkpoints' sum."""
    return xxh3(struct.pack("<QBqBd", xxh3(name.encode()),
                            step is not None, 0 if step is None else step,
                            weight is not None, 0.0 if weight is None else weight))


def stored_words(kind: str, rows: codec.Encoded) -> list[list[int]]:
    """Of each row: XXH3 of its statistics, and of its bytes in each slab."""
    data = codec.pack(kind, rows.values)
    statistics = zip(rows.scales, rows.residual_norms, rows.squared_norms)
    return [[xxh3(struct.pack("<ffd", *parts)),
             *(xxh3(row[at : at + SLAB_BYTES].tobytes()) for at in range(0, len(row), SLAB_BYTES))]
            for parts, row in zip(statistics, data)]


def vector_term(row_id, checkpoint: str, stored: list[int]) -> int:
    """Of an encoding's sum: one row at one checkpoint, with its `stored_words`."""
    return words(xxh3(id_bytes(row_id)), xxh3(checkpoint.encode()), *stored)


def total(records: int, checkpoints: int, layers) -> str:
    """The hash, of sums; `layers` is [(name, [(codec, sum) from the finest on])]."""
    parts = [records & MASK, checkpoints & MASK]
    for name, encodings in layers:
        for kind, summed in encodings:
            parts += [xxh3(name.encode()), CODEC_NUMBERS[kind], summed & MASK]
    return digits(words(*parts))


def digits(number: int) -> str:
    return f"{number & MASK:016x}"


class Content:
    """`sums`, as the snapshot's document has them, and `hash` of a table at its snapshot."""

    def __init__(self, table):
        records, ids = 0, {}
        for number, row_id, raw in table.raw_records():
            ids[number] = row_id
            records += xxh3(raw)
        checkpoints = sum(checkpoint_term(doc["name"], doc.get("step"), doc.get("weight"))
                          for doc in table.checkpoints.values())
        layers, by_number = [], {}
        for layer in table.schema["layers"]:
            encodings = table.encodings(layer)
            sums = [self._sum(table, encoding, ids) for encoding in encodings]
            by_number.update(zip([encoding["encoding"] for encoding in encodings], sums))
            layers.append((layer["name"],
                           [(encoding["codec"], part) for encoding, part in zip(encodings, sums)]))
        self.hash = total(records, checkpoints, layers)
        self.sums = {"records": digits(records),
                     "encodings": [{"encoding": number, "sum": digits(by_number[number])}
                                   for number in sorted(by_number)]}

    @staticmethod
    def _sum(table, encoding, ids):
        found = 0
        for checkpoint in table.checkpoints:
            numbers, rows = table.encoded(checkpoint, encoding)
            for number, stored in zip(numbers, stored_words(encoding["codec"], rows)):
                found += vector_term(ids[number], checkpoint, stored)
        return found
