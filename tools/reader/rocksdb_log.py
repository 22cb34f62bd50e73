"""RocksDB's log files: the framing that MANIFEST and write-ahead logs share, and write batches.

A log is cut into 32 KiB blocks of records: checksum u32 (masked CRC-32C of type and payload),
length u16, type u8, payload; types 5 to 8 are 1 to 4 with a log number u32 before the payload.
A block's last six bytes or fewer are filler. One logical record is a FULL record, or FIRST,
MIDDLE ..., LAST. A reader stops at the first record that does not check out.
"""

BLOCK_BYTES = 32768

DELETION, VALUE, MERGE, LOG_DATA = 0, 1, 2, 3
SINGLE_DELETION, RANGE_DELETION, NOOP = 7, 15, 13
# Tags of a write batch that carry a column family, and the same tag without one.
WITH_FAMILY = {4: DELETION, 5: VALUE, 6: MERGE, 8: SINGLE_DELETION, 14: RANGE_DELETION}


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Cursor:
    """Reads RocksDB's fixed and variable-length fields from bytes, one after the other."""

    def __init__(self, data: bytes, at: int = 0):
        self.data, self.at = data, at

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        if size < 0 or size > self.left():
            raise ValueError("a RocksDB record ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def fixed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.fixed(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def slice(self) -> bytes:
        return self.take(self.varint())


def records(data: bytes):
    """The logical records of a log file, in order, up to the first that does not check out."""
    parts, at = None, 0
    while True:
        if BLOCK_BYTES - at % BLOCK_BYTES < 7:
            at += BLOCK_BYTES - at % BLOCK_BYTES
        if at + 7 > len(data):
            return
        checksum = int.from_bytes(data[at : at + 4], "little")
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        start, end = at + 7, at + 7 + length
        if kind in (5, 6, 7, 8):
            start, end, kind = start + 4, end + 4, kind - 4
        if end > len(data) or masked_crc32c(data[at + 6 : end]) != checksum:
            return
        at = end
        if kind == 1:
            parts = None
            yield data[start:end]
        elif kind == 2:
            parts = [data[start:end]]
        elif kind in (3, 4) and parts is not None:
            parts.append(data[start:end])
            if kind == 4:
                yield b"".join(parts)
                parts = None
        else:
            raise ValueError(f"a log has a record of unknown type {kind}")


def batch(record: bytes):
    """The operations of a write batch: (sequence, column family, type, key, value)."""
    cursor = Cursor(record)
    sequence, count = cursor.fixed(8), cursor.fixed(4)
    while cursor.left():
        kind, family = cursor.fixed(1), 0
        if kind in WITH_FAMILY:
            kind, family = WITH_FAMILY[kind], cursor.varint()
        if kind == NOOP:
            continue
        key = cursor.slice()
        if kind == LOG_DATA:
            continue
        if kind in (VALUE, RANGE_DELETION):
            yield sequence, family, kind, key, cursor.slice()
        elif kind in (DELETION, SINGLE_DELETION):
            yield sequence, family, kind, key, b""
        else:
            raise ValueError(f"a write batch has an operation of unknown type {kind}")
        sequence, count = sequence + 1, count - 1
    if count:
        raise ValueError("a write batch does not hold as many operations as it says")
