"""Keys and small values (format-spec/database.md): row records, column blocks, row maps.

Every function takes the raw value as it is stored and returns plain Python values; all raise
ValueError where the bytes are not what the page says.
"""

import struct

import numpy as np

from zstd import decompress

ID_COLUMN = 0xFFFFFFFF
INT, FLOAT, BOOL, STRING = 1, 2, 3, 4
TYPE_NUMBERS = {"int": INT, "float": FLOAT, "bool": BOOL, "string": STRING}


def block_key(table, segment, group, encoding, slab):
    return struct.pack(">IQIII", table, segment, group, encoding, slab)


def row_key(table, row):
    return struct.pack(">IQ", table, row)


def id_key(table, row_id):
    if isinstance(row_id, int):
        return struct.pack(">IBQ", table, 1, row_id + (1 << 63))
    return struct.pack(">IB", table, 2) + row_id.encode()


def column_key(table, field, first_row=None):
    """The key of a column block; without `first_row`, what the keys of a column begin with."""
    prefix = struct.pack(">IBI", table, 1, field)
    return prefix if first_row is None else prefix + struct.pack(">Q", first_row)


def row_map_key(table, segment, group):
    return struct.pack(">IBQI", table, 2, segment, group)


class Bytes:
    """Little-endian fields, taken one after the other; what is left at the end is an error."""

    def __init__(self, data: bytes):
        self.data, self.at = bytes(data), 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("a value ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def field(self, code: str):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def array(self, dtype: str, count: int):
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def text(self) -> str:
        return self.take(self.field("I")).decode()

    def done(self) -> bool:
        return self.at == len(self.data)

    def finish(self):
        if not self.done():
            raise ValueError("a value has bytes behind its end")


def row_numbers(value: bytes) -> list[int]:
    """A value of the family `keys`: the row numbers that an id has had."""
    data = Bytes(value)
    numbers = data.array("<u8", len(value) // 8).tolist()
    data.finish()
    if not numbers or any(a >= b for a, b in zip(numbers, numbers[1:])):
        raise ValueError("the row numbers of an id do not ascend")
    return numbers


def row_record(value: bytes):
    """(id, {field number: value}) of a value of the family `rows`; NULL fields are absent."""
    data = Bytes(value)
    kind = data.field("B")
    if kind not in (1, 2):
        raise ValueError(f"a row record has an id of unknown type {kind}")
    row_id = data.field("q") if kind == 1 else data.text()
    fields, last = {}, -1
    while not data.done():
        number, kind = data.field("I"), data.field("B")
        if number <= last:
            raise ValueError("a row record's fields are not in ascending order")
        last = number
        if kind == INT:
            fields[number] = data.field("q")
        elif kind == FLOAT:
            fields[number] = data.field("d")
        elif kind == BOOL:
            fields[number] = _bool(data.field("B"))
        elif kind == STRING:
            fields[number] = data.text()
        else:
            raise ValueError(f"a row record has a field of unknown type {kind}")
    return row_id, fields


def column_block(value: bytes):
    """(type, first row number, values) of a column block; NULL is None."""
    data = Bytes(decompress(value))
    if data.field("B") != 1:
        raise ValueError("a column block is of a newer version")
    kind = data.field("B")
    data.field("H")
    count, first_row = data.field("I"), data.field("Q")
    present = _bits(data, count)
    if kind == INT:
        values = data.array("<i8", count).tolist()
    elif kind == FLOAT:
        values = data.array("<f8", count).tolist()
    elif kind == BOOL:
        values = _bits(data, count)
    elif kind == STRING:
        values = _strings(data, count, present)
    else:
        raise ValueError(f"a column block has unknown type {kind}")
    data.finish()
    return kind, first_row, [v if there else None for v, there in zip(values, present)]


def row_map(value: bytes) -> list[int]:
    """The row numbers of a row group, in stored order."""
    if value[:1] == b"\x01":
        data = Bytes(value[1:])
        count, first = data.field("I"), data.field("Q")
        data.finish()
        return list(range(first, first + count))
    if value[:1] != b"\x02":
        raise ValueError("a row map is of an unknown kind")
    data = Bytes(decompress(value[1:]))
    numbers, last = [], 0
    for step in data.array("<u8", data.field("I")).tolist():
        last = (last + step) % (1 << 64)
        numbers.append(last)
    data.finish()
    return numbers


def _bool(byte):
    if byte > 1:
        raise ValueError("a bool is neither 0 nor 1")
    return byte == 1


def _bits(data, count):
    packed = np.frombuffer(data.take((count + 7) // 8), np.uint8)
    return np.unpackbits(packed, bitorder="little")[:count].astype(bool).tolist()


def _strings(data, count, present):
    distinct = data.field("I")
    ends = data.array("<u4", distinct + 1).tolist()
    if ends[0] != 0 or any(a > b for a, b in zip(ends, ends[1:])):
        raise ValueError("a string column's end offsets do not ascend from 0")
    text = data.take(ends[-1])
    strings = [text[a:b].decode() for a, b in zip(ends, ends[1:])]
    codes = data.array("<u4", count).tolist()
    if any(code >= distinct for code in codes):
        raise ValueError("a string column has a code without a string")
    return [strings[code] if there else None for code, there in zip(codes, present)]
