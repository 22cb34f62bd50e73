"""Layers of 16-bit floats whose dot products are to be bounded: rows and queries that are hard on what adds up
in single precision, the terms of queries (docs/gpu-kernels.md), and launches."""

import gpu_memory
import numpy as np
from gpu_layers import Layer, as_float64, ceil
from gpu_memory import ESTIMATE, ESTIMATE_TERM, HALVES, QUERIES, SCORE, STATISTICS, TILE, Buffer

# The exponent of what no scaled query's norm exceeds, and of what two numbers of the codec leave of one.
LARGEST = {"f16": 15, "bf16": 0}
MOST_FINITE = {"f16": 0x7BFF, "bf16": 0x7F7F}


def estimate_terms(codec, queries, slabs):
    """What the host says of queries."""
    dims = queries.shape[1]
    terms = np.zeros(len(queries), ESTIMATE_TERM)
    norms = np.sqrt((queries.astype(np.float64) ** 2).sum(axis=1))
    exponents = np.where(norms > 0, np.frexp(norms)[1] - LARGEST[codec], 0)
    left = 2.0 ** -22 + 2.0 ** -26 * dims ** 0.5 if codec == "f16" else 2.0 ** -16
    share = 2.0 ** -15 + (64 + slabs) * 2.0 ** -23 + left + dims * 2.0 ** -52 + 2.0 ** -40
    terms["unit"] = np.ldexp(1.0, exponents)
    terms["factor"] = 1.02 * share * norms
    terms["least"] = dims * 2.0 ** -119 * terms["unit"]
    return terms


def encoded(codec, values):
    """The nearest numbers of a codec, as bits."""
    if codec == "f16":
        return values.astype("<f2").view("<u2")
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def hard_rows(random, codec, rows, dims, queries, kind):
    """Bits of rows, (rows, dims)."""
    if kind == "normal":
        return encoded(codec, random.standard_normal((rows, dims)))
    if kind == "tiny":  # subnormal numbers, and some that are just not
        return random.integers(0, 0x0800 if codec == "f16" else 0x0100, (rows, dims)).astype("<u2")
    if kind == "largest":
        raw = np.full((rows, dims), MOST_FINITE[codec], "<u2")
        return raw | (random.random((rows, dims)) < 0.5).astype("<u2") << 15
    if kind == "cancelling":  # products whose sums are nearly zero, beside large ones
        values = random.standard_normal((rows, dims)) + 300.0
        half = dims // 2
        ratio = queries[0, :half] / np.where(queries[0, half:2 * half] == 0, 1, queries[0, half:2 * half])
        values[:, half:2 * half] = -values[:, :half] * np.clip(ratio, -100, 100)
        return encoded(codec, values)
    if kind == "cut":  # one product beside many that a short sum loses, all of one sign
        values = np.full((rows, dims), 2.0 ** -11) * np.sign(queries[0] + 1e-30)
        values[:, ::16] = np.sign(queries[0, ::16] + 1e-30) * 2.0 ** random.integers(0, 14, (rows, 1))
        return encoded(codec, values * (1 - 2.0 ** -8))
    if kind == "alike":
        return np.repeat(encoded(codec, random.standard_normal((1, dims))), rows, axis=0)
    values = random.standard_normal((rows, dims)) * 2.0 ** random.integers(-14, 14, (rows, dims))
    values[random.random(rows) < 0.3] = 0
    return encoded(codec, values)


KINDS = ["normal", "tiny", "largest", "cancelling", "cut", "alike", "wide"]


def hard_layer(random, codec, item_rows, dims, query_count, kind, pitch=4096):
    layer = Layer(random, codec, item_rows, dims, query_count, pitch)
    queries = random.standard_normal((query_count, dims)) * 10.0 ** random.integers(-20, 18, (query_count, 1))
    if kind == "cut":
        queries = np.sign(queries) * (1 + 2.0 ** -8 + 2.0 ** -17)
    if kind == "wide":
        queries *= 2.0 ** random.integers(-40, 1, queries.shape)
    queries[random.random(query_count) < 0.1] = 0
    layer.queries = queries.astype("<f4")
    layer.lay_out_queries(random)
    items = layer.items.array(gpu_memory.ITEM)
    for i, rows in enumerate(item_rows):
        raw = hard_rows(random, codec, rows, dims, layer.queries.astype(np.float64), kind)
        layer.values[i] = as_float64(codec, raw)
        layer.slab_buffers[i] = layer.laid_out(raw.view(np.uint8).reshape(rows, -1), rows, pitch)
        items["slabs"][i] = layer.slab_buffers[i].address
    set_norms(layer)
    return layer


def set_norms(layer):
    for i, values in enumerate(layer.values):
        layer.statistics[i].array(STATISTICS)["squared_norm"] = (values ** 2).sum(axis=1)


def plane_bytes(layer):
    return ceil(layer.query_stride, 32) * 16


def halves(layer, emulator, terms):
    """Launches gd_halves; its memory."""
    made = Buffer(2 * plane_bytes(layer) * layer.query_count)
    made.array()[:] = 0xA5
    arguments = HALVES(layer.arguments(), made.address, terms.address)
    emulator.launch("gd_halves", ceil(layer.room, gpu_memory.PACK_ELEMENTS), layer.query_count, arguments)
    return made


def estimate(layer, emulator, random, counting=None, before=None):
    """Launches; returns both ends as (queries, output rows). `before`: what is added to, (2, queries, rows)."""
    terms = Buffer.of(estimate_terms(layer.codec, layer.queries, layer.slabs))
    made = halves(layer, emulator, terms)
    tiles = layer.tiles("few", random)
    tile_memory = Buffer.of(np.array(tiles, TILE))
    mask = None if counting is None else Buffer.of(gpu_memory.bit_words(counting), 4)
    stride = layer.output_rows + int(random.integers(0, 40))
    ends = []
    for end in range(2):
        output = np.full((layer.query_count, stride), np.nan)
        if before is not None:
            output[:, :layer.output_rows] = before[end]
        ends.append(Buffer.of(output, 8))
    score = SCORE(
        layer.arguments(), made.address, layer.items.address, tile_memory.address,
        mask.address if mask else 0, ends[0].address, stride, before is None, len(tiles))
    arguments = ESTIMATE(score, ends[1].address, terms.address)
    blocks = ceil(layer.query_count, QUERIES["few"])
    emulator.launch(f"gd_estimate_{layer.codec}", len(tiles), blocks, arguments)
    results = [end.array(np.float64).reshape(layer.query_count, stride).copy() for end in ends]
    for result in results:
        assert np.isnan(result[:, layer.output_rows:]).all(), "written behind the last row"
    return [result[:, :layer.output_rows] for result in results]
