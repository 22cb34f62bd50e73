"""A block of the family `blocks` (format-spec/block.md): parsed, and verified as it is parsed.

   0  header, 128 bytes
 128  row statistics, 16 bytes per row (slab 0 only)
      rows, `stride` bytes each
      chunk checksums, u64 each
"""

import struct

import numpy as np

from xxh3 import MASK, xxh3

HEADER_BYTES = 128
STATISTICS_BYTES = 16
SLAB_BYTES = 4096
CHUNK_BYTES = 8192
VERSION = 1
BITS_PER_DIM = {"f32": 32, "f16": 16, "bf16": 16, "int8": 8, "int4": 4, "bit": 1}
CODEC_NUMBERS = {"f32": 1, "f16": 2, "bf16": 3, "int8": 4, "int4": 5, "bit": 6}
HEADER = struct.Struct("<4sHHIIQIIIIQIIIIdd40xQ")


def row_bytes(codec: str, dims: int) -> int:
    """Bytes of a row of `dims`; the last byte may have spare bits."""
    return -(-dims * BITS_PER_DIM[codec] // 8)


def slab_dims(codec: str) -> int:
    """Dims of every slab but the last."""
    return 8 * SLAB_BYTES // BITS_PER_DIM[codec]


class Block:
    """The parts of a verified block.

    `rows` is a uint8 array [rows, stride]; `scales`, `residual_norms` (f32) and `squared_norms`
    (f64) are there in slab 0 and None in all others.
    """

    def __init__(self, data: bytes):
        if len(data) < HEADER_BYTES:
            raise ValueError("a block is shorter than its header")
        (magic, version, codec, self.table, self.encoding, self.segment, self.group, self.slab,
         self.count, self.dims, self.first_dim, self.stride, self.rows_per_chunk, flags, _,
         self.least_squared_norm, self.greatest_squared_norm, checksum) = HEADER.unpack_from(data)
        statistics_end = HEADER_BYTES
        if flags & 1:
            statistics_end += STATISTICS_BYTES * self.count
        expected = xxh3(data[: HEADER_BYTES - 8])
        if flags & 1:
            statistics = xxh3(data[HEADER_BYTES:statistics_end])
            expected ^= (statistics << 1 | statistics >> 63) & MASK
        if checksum != expected:
            raise ValueError("a block's header fails its checksum")
        if magic != b"GDBK" or version != VERSION:
            raise ValueError("not a block, or one of a newer version")
        codecs = {number: name for name, number in CODEC_NUMBERS.items()}
        if codec not in codecs:
            raise ValueError(f"a block has unknown codec {codec}")
        self.codec = codecs[codec]
        self._check_shape(len(data), flags, statistics_end)

        payload_end = statistics_end + self.count * self.stride
        payload = data[statistics_end:payload_end]
        self._check_chunks(payload, data[payload_end:])
        self.rows = np.frombuffer(payload, np.uint8).reshape(self.count, self.stride)
        self.scales = self.residual_norms = self.squared_norms = None
        if flags & 1:
            fields = np.frombuffer(
                data[HEADER_BYTES:statistics_end],
                [("scale", "<f4"), ("residual", "<f4"), ("norm", "<f8")],
            )
            self.scales, self.squared_norms = fields["scale"].copy(), fields["norm"].copy()
            self.residual_norms = fields["residual"].copy()

    def key(self) -> bytes:
        """The key that this block belongs under."""
        return struct.pack(
            ">IQIII", self.table, self.segment, self.group, self.encoding, self.slab
        )

    def check_place(self, layer_dims: int, codec: str, rows: int):
        """Refuses a block that is not what the catalog says of its layer and row group."""
        first_dim = slab_dims(codec) * self.slab
        dims = min(slab_dims(codec), layer_dims - first_dim)
        wanted = (codec, rows, row_bytes(codec, dims), first_dim, dims)
        if (self.codec, self.count, self.stride, self.first_dim, self.dims) != wanted:
            raise ValueError("a block is not what the catalog says")

    def _check_shape(self, size, flags, statistics_end):
        chunks = -(-self.count // max(1, self.rows_per_chunk))
        shape_is_right = (
            self.count >= 1
            and 1 <= self.stride <= SLAB_BYTES
            and row_bytes(self.codec, self.dims) == self.stride
            and self.rows_per_chunk == max(1, CHUNK_BYTES // self.stride)
            and flags == (1 if self.slab == 0 else 0)
            and size == statistics_end + self.count * self.stride + 8 * chunks
        )
        if not shape_is_right:
            raise ValueError("a block's shape contradicts itself")

    def _check_chunks(self, payload, checksums):
        chunk_bytes = self.rows_per_chunk * self.stride
        for chunk, at in enumerate(range(0, len(payload), chunk_bytes)):
            stored = int.from_bytes(checksums[8 * chunk : 8 * chunk + 8], "little")
            if xxh3(payload[at : at + chunk_bytes]) != stored:
                raise ValueError(f"chunk {chunk} of a block fails its checksum")
