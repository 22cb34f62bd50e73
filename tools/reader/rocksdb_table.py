"""RocksDB's block-based table files (.sst), format versions 2 to 5, read-only.

The last 53 bytes are the footer: checksum type u8, the places of the metaindex and of the index
(two varints each: offset, size), zeros, format version u32, magic u64. Every block is followed by
its compression type u8 and a checksum u32. A block holds entries with shared key prefixes, then
restart offsets. The index has one entry per data block, whose key is not below the block's last.
"""

import bisect
import os

from rocksdb_log import Cursor, masked_crc32c
from xxh3 import xxh3
from zstd import decompress

FOOTER_BYTES = 53
MAGIC = 0x88E241B785F4CFF7
CHECKSUM_CRC32C, CHECKSUM_XXH3 = 1, 4
NO_COMPRESSION, ZSTD = 0, 7
KEPT_BLOCKS = 64


class TableFile:
    """One .sst file. `sequence`, where given, replaces the sequence numbers in the file, which is
    how RocksDB numbers the entries of a file that was attached whole."""

    def __init__(self, path: str, attached_sequence: int):
        self.path = path
        self._file = open(path, "rb")
        self._size = os.fstat(self._file.fileno()).st_size
        if self._size < FOOTER_BYTES:
            raise ValueError(f"{path} is too short for a table file")
        footer = Cursor(self._pread(self._size - FOOTER_BYTES, FOOTER_BYTES))
        self._checksum = footer.fixed(1)
        metaindex = footer.varint(), footer.varint()
        index = footer.varint(), footer.varint()
        version, magic = Cursor(footer.data, 41).fixed(4), Cursor(footer.data, 45).fixed(8)
        if magic != MAGIC or not 2 <= version <= 5:
            raise ValueError(f"{path} is not a block-based table of format 2 to 5")
        if self._checksum not in (CHECKSUM_CRC32C, CHECKSUM_XXH3):
            raise ValueError(f"{path} has checksums of unknown type {self._checksum}")

        meta = {k: _handle(v) for k, v in _entries(self._block(*metaindex))}
        if b"rocksdb.compression_dict" in meta:
            raise ValueError(f"{path} has a compression dictionary")
        self.properties = dict(_entries(self._block(*meta[b"rocksdb.properties"])))
        attached = b"rocksdb.external_sst_file.version" in self.properties
        self._sequence = attached_sequence if attached else None
        self._index, self._kept = self._read_index(index), {}
        self.range_deletions = []
        if b"rocksdb.range_del" in meta:
            for key, end in _entries(self._block(*meta[b"rocksdb.range_del"])):
                start, sequence, _ = self._split(key)
                self.range_deletions.append((start, end, sequence))

    def close(self):
        self._file.close()

    def entries(self, start: bytes = b""):
        """(key, sequence, type, value) from the first key that is not below `start`, in order."""
        first = bisect.bisect_left(self._index, start, key=lambda entry: entry[0])
        for _, handle in self._index[first:]:
            for internal_key, value in self._data_block(handle):
                key, sequence, kind = self._split(internal_key)
                if key >= start:
                    yield key, sequence, kind, value

    def may_have(self, key: bytes) -> bool:
        """False for keys above the last one."""
        return bool(self._index) and key <= self._index[-1][0]

    def _data_block(self, handle):
        """The entries of a data block; those read last are kept, for reads of one key after the other."""
        if handle not in self._kept:
            if len(self._kept) >= KEPT_BLOCKS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[handle] = list(_entries(self._block(*handle)))
        return self._kept[handle]

    def _pread(self, offset, size):
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise ValueError(f"{self.path} ends too early")
        return data

    def _block(self, offset, size):
        data = self._pread(offset, size + 5)
        compression, stored = data[size], int.from_bytes(data[size + 1 :], "little")
        if self._checksum == CHECKSUM_XXH3:
            # RocksDB hashes all but the last byte and mixes that one in by itself.
            actual = (xxh3(data[:size]) ^ compression * 0x6B9083D9) & 0xFFFFFFFF
        else:
            actual = masked_crc32c(data[: size + 1])
        if actual != stored:
            raise ValueError(f"{self.path}: the block at {offset} fails its checksum")
        if compression == NO_COMPRESSION:
            return data[:size]
        if compression != ZSTD:
            raise ValueError(f"{self.path} is compressed by unknown method {compression}")
        cursor = Cursor(data[:size])
        content_bytes = cursor.varint()
        return decompress(cursor.take(cursor.left()), content_bytes)

    def _split(self, internal_key):
        tail = int.from_bytes(internal_key[-8:], "little")
        sequence = tail >> 8 if self._sequence is None else self._sequence
        return internal_key[:-8], sequence, tail & 255

    def _read_index(self, handle):
        def number(name):
            return Cursor(self.properties.get(name, b"\0")).varint()

        kind = self.properties.get(b"rocksdb.block.based.table.index.type", bytes(4))
        if kind != bytes(4):
            raise ValueError(f"{self.path} has an index of unknown type {kind.hex()}")
        keys_are_user_keys = number(b"rocksdb.index.key.is.user.key")
        delta = bool(number(b"rocksdb.index.value.is.delta.encoded"))
        entries = _index_entries(self._block(*handle), delta)
        return [(key if keys_are_user_keys else key[:-8], place) for key, place in entries]


def _handle(value):
    cursor = Cursor(value)
    return cursor.varint(), cursor.varint()


def _end_of_entries(block):
    restarts = int.from_bytes(block[-4:], "little")
    if restarts >> 31:
        raise ValueError("a table block has a hash index")
    return len(block) - 4 - 4 * restarts


def _entries(block):
    """(key, value) of a block: shared key bytes, own key bytes, value bytes, key, value."""
    cursor, key = Cursor(block[: _end_of_entries(block)]), b""
    while cursor.left():
        shared, own, size = cursor.varint(), cursor.varint(), cursor.varint()
        key = key[:shared] + cursor.take(own)
        yield key, cursor.take(size)


def _index_entries(block, delta):
    """(key, (offset, size)) of an index block. With `delta` an entry that shares key bytes gives
    only the difference of its size to that of the block before, which it follows directly."""
    if not delta:
        return [(key, _handle(value)) for key, value in _entries(block)]
    cursor, key, offset, size, found = Cursor(block[: _end_of_entries(block)]), b"", 0, 0, []
    while cursor.left():
        shared, own = cursor.varint(), cursor.varint()
        key = key[:shared] + cursor.take(own)
        if shared == 0:
            offset, size = cursor.varint(), cursor.varint()
        else:
            zigzag = cursor.varint()
            offset, size = offset + size + 5, size + (zigzag >> 1 ^ -(zigzag & 1))
        found.append((key, (offset, size)))
    return found
