"""Layers for the kernels: rows and queries as a device has them, and what their scores are by definition
(format-spec/codecs.md), in numpy."""

import numpy as np

import gpu_memory
from gpu_memory import CODECS, ITEM, LAYER, PACK, QUERIES, ROWS, SCORE, STATISTICS, TERM, TILE, Buffer

ELEMENTS_PER_BYTE = {"f32": 1 / 4, "f16": 1 / 2, "bf16": 1 / 2, "int8": 1, "int4": 2, "bit": 8}
FACTOR = {"int8": 1, "int4": 2, "bit": 2}


def ceil(a, b):
    return -(-a // b)


def random_rows(random, codec, rows, dims):
    """(bytes of rows, their elements as int64 or float64)."""
    extreme = random.random() < 0.2
    if codec == "int8":
        values = random.integers(-127, 128, (rows, dims))
        if extreme:
            values = random.choice([-127, 127, -128], (rows, dims))
        return values.astype(np.int8).view(np.uint8), values
    if codec in ("int4", "bit"):
        levels = 16 if codec == "int4" else 2
        values = random.integers(0, levels, (rows, dims))
        if extreme:
            values[:] = random.choice([0, levels - 1], (rows, 1))
        per_byte = int(ELEMENTS_PER_BYTE[codec])
        padded = np.zeros((rows, ceil(dims, per_byte) * per_byte), np.uint8)
        padded[:, :dims] = values
        shifts = np.arange(per_byte) * (8 // per_byte)
        return (padded.reshape(rows, -1, per_byte) << shifts).sum(axis=2).astype(np.uint8), values
    bits = 32 if codec == "f32" else 16
    raw = random.integers(0, 1 << bits, (rows, dims), dtype=np.uint64).astype(f"<u{bits // 8}")
    if not extreme:
        raw = raw & ~np.asarray(0x40000000 if bits == 32 else 0x4000, raw.dtype)
    raw[random.random((rows, dims)) < 0.1] = 0
    raw[random.random((rows, dims)) < 0.1] = 1 << (bits - 1)
    values = as_float64(codec, raw)
    raw[~np.isfinite(values)] = 0
    return raw.view(np.uint8).reshape(rows, -1), as_float64(codec, raw)


def as_float64(codec, raw):
    with np.errstate(invalid="ignore"):
        if codec == "f32":
            return raw.view("<f4").astype(np.float64)
        if codec == "f16":
            return raw.view("<f2").astype(np.float64)
        return (raw.astype("<u4") << 16).view("<f4").astype(np.float64)


def random_queries(random, codec, count, dims):
    if codec in FACTOR:
        most = 31 if codec == "bit" else 127
        low = -32 if codec == "bit" else -127
        if random.random() < 0.2:
            return random.choice([low, most], (count, dims)).astype(np.int8)
        return random.integers(low, most + 1, (count, dims)).astype(np.int8)
    raw = random.integers(0, 1 << 32, (count, dims), dtype=np.uint64).astype("<u4")
    values = raw.view("<f4")
    values[~np.isfinite(values)] = 0
    values[random.random((count, dims)) < 0.1] = -0.0
    return values


class Layer:
    """Items of random rows, and random queries. `pitch`: bytes of a slab, a multiple of 16."""

    def __init__(self, random, codec, item_rows, dims, query_count, pitch=4096):
        self.codec = codec
        self.is_float = codec not in FACTOR
        self.dims = dims
        self.item_rows = item_rows
        per_byte = ELEMENTS_PER_BYTE[codec]
        row_bytes = ceil(dims, int(per_byte)) if per_byte >= 1 else int(dims / per_byte)
        self.slabs = ceil(row_bytes, pitch)
        last = row_bytes - (self.slabs - 1) * pitch
        self.last_pitch = ceil(last, 16) * 16
        self.pitch = pitch if self.slabs > 1 else self.last_pitch
        self.slab_elements = int(pitch * per_byte)

        self.firsts, self.values, self.statistics, self.slab_buffers = [], [], [], []
        self.output_rows = 0
        items = np.zeros(len(item_rows), ITEM)
        for i, rows in enumerate(item_rows):
            raw, values = random_rows(random, codec, rows, dims)
            self.values.append(values)
            statistics = np.zeros(rows, STATISTICS)
            statistics["scale"] = random.random(rows) + 0.5
            statistics["squared_norm"] = random.random(rows) * 10.0 ** random.integers(-5, 5)
            statistics["squared_norm"][random.random(rows) < 0.1] = 0
            self.statistics.append(Buffer.of(statistics))
            self.slab_buffers.append(self.laid_out(raw, rows, pitch))
            self.firsts.append(self.output_rows)
            items[i] = (self.slab_buffers[i].address, self.statistics[i].address, rows, self.output_rows)
            self.output_rows = ceil(self.output_rows + rows, 32) * 32
        self.items = Buffer.of(items)

        self.query_count = query_count
        self.queries = random_queries(random, codec, query_count, dims)
        self.lay_out_queries(random)

    def laid_out(self, raw, rows, pitch):
        slab_bytes = ceil(rows * self.pitch, 256) * 256
        buffer = Buffer((self.slabs - 1) * slab_bytes + rows * self.last_pitch)
        memory = buffer.array()
        for slab in range(self.slabs):
            width = self.pitch if slab + 1 < self.slabs else self.last_pitch
            part = raw[:, slab * pitch:(slab + 1) * pitch]
            start = slab * slab_bytes
            memory[start:start + rows * width].reshape(rows, width)[:, :part.shape[1]] = part
        return buffer

    def lay_out_queries(self, random):
        row_bytes = (self.slabs - 1) * self.pitch + self.last_pitch
        self.room = int(row_bytes * ELEMENTS_PER_BYTE[self.codec])
        element = 4 if self.is_float else 1
        self.query_stride = ceil(self.room * element, 16) * 16 + 16 * int(random.integers(0, 3))
        memory = np.zeros((self.query_count, self.query_stride), np.uint8)
        memory[:, :self.dims * element] = self.queries.view(np.uint8).reshape(self.query_count, -1)
        self.query_memory = Buffer.of(memory)
        terms = np.zeros(self.query_count, TERM)
        terms["scale"] = 1.0
        self.factor = 1
        if not self.is_float:
            self.factor = FACTOR[self.codec]
            sums = self.queries.astype(np.int64).sum(axis=1)
            terms["addend"] = sums * {"int8": 0, "int4": -15, "bit": -1}[self.codec]
            terms["scale"] = random.random(self.query_count).astype(np.float32)
        self.terms = terms
        self.term_memory = Buffer.of(terms)

    def arguments(self):
        return LAYER(
            CODECS[self.codec], self.slabs, self.pitch, self.last_pitch, self.factor,
            self.query_memory.address, self.query_stride, self.term_memory.address, self.query_count, 0)

    # ---- by definition ----
    def parts(self, item):
        """The layer's dot products of an item's rows: (rows, queries)."""
        if self.is_float:
            return self.float_parts(item)
        exact = self.values[item].astype(np.float64) @ self.queries.astype(np.float64).T
        sums = self.factor * exact.astype(np.int64) + self.terms["addend"]
        scale = self.statistics[item].array(STATISTICS)["scale"].astype(np.float64)
        return sums.astype(np.float64) * (scale[:, None] * self.terms["scale"])

    def float_parts(self, item):
        rows, queries = self.values[item], self.queries.astype(np.float64)
        total = np.zeros((len(rows), self.query_count))
        for start in range(0, self.dims, self.slab_elements):
            lanes = np.zeros((len(rows), self.query_count, 16))
            end = min(start + self.slab_elements, self.dims)
            for i in range(start, end, 16):
                width = min(16, end - i)
                lanes[:, :, :width] += rows[:, None, i:i + width] * queries[None, :, i:i + width]
            for half in (8, 4, 2, 1):
                lanes = lanes[:, :, :half] + lanes[:, :, half:]
            total += lanes[:, :, 0]
        return total

    # ---- by the kernels ----
    def pack(self, emulator):
        planes = {"int8": 0, "int4": 2, "bit": 8}.get(self.codec)
        if planes == 0:
            return None
        size = 2 * self.query_stride if planes is None else ceil(self.query_stride, 16 * planes) * 16 * planes
        packed = Buffer(size * self.query_count)
        packed.array()[:] = 0xA5
        emulator.launch("gd_pack", ceil(self.room, gpu_memory.PACK_ELEMENTS), self.query_count,
                        PACK(self.arguments(), packed.address))
        return packed

    def tiles(self, kind, random):
        tiles = [(i, row) for i, rows in enumerate(self.item_rows) for row in range(0, rows, ROWS[kind])]
        return np.array([tiles[i] for i in random.permutation(len(tiles))], TILE)

    def score(self, emulator, kind, random, counting=None, dots=None, tiles=None):
        """Launches; returns dots as (queries, output rows). `dots`: what is added to."""
        packed = self.pack(emulator)
        tiles = self.tiles(kind, random) if tiles is None else np.array(tiles, TILE)
        tile_memory = Buffer.of(tiles)
        mask = None if counting is None else Buffer.of(gpu_memory.bit_words(counting), 4)
        stride = self.output_rows + int(random.integers(0, 40))
        output = np.full((self.query_count, stride), np.nan)
        if dots is not None:
            output[:, :self.output_rows] = dots
        memory = Buffer.of(output, 8)
        arguments = SCORE(
            self.arguments(), packed.address if packed else 0, self.items.address, tile_memory.address,
            mask.address if mask else 0, memory.address, stride, dots is None, len(tiles))
        blocks = ceil(self.query_count, QUERIES[kind])
        emulator.launch(f"gd_score_{self.codec}_{kind}", len(tiles), blocks, arguments)
        result = memory.array(np.float64).reshape(self.query_count, stride).copy()
        assert np.isnan(result[:, self.output_rows:]).all(), "written behind the last row"
        return result[:, :self.output_rows]
