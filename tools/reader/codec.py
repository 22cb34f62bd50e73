"""How a row becomes bytes, and what a score is (format-spec/codecs.md).

Scores are exact: the same doubles, bit for bit, as any other implementation of that page. The
functions are plain about the order of every rounding; numpy only does many rows at a time.
"""

import math

import numpy as np

from block import slab_dims

LANES = 16
MASK = (1 << 64) - 1
MIN_NORMAL = np.float32(2.0**-126)
INT4_STEP = 0.3352
# The type of `Encoded.values`; bf16 is widened, int4 and bit are their odd levels.
DTYPES = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "bf16": np.dtype("<f4"),
          "int8": np.dtype("i1"), "int4": np.dtype("i1"), "bit": np.dtype("i1")}
LEVELS = ("int4", "bit")
ROTATED = ("int8", *LEVELS)
LEAST_DIMS = {"int4": 2, "bit": 8}


class Encoded:
    """Rows, or queries, of one layer: `values` [n, dims] of DTYPES (or a query's), `scales` f32
    [n], `squared_norms` f64 [n], `residual_norms` f32 [n] (0 by default)."""

    def __init__(self, values, scales, squared_norms, residual_norms=None):
        self.values, self.scales, self.squared_norms = values, scales, squared_norms
        if residual_norms is None:
            residual_norms = np.zeros(len(values), np.float32)
        self.residual_norms = residual_norms

    def one(self, at: int) -> "Encoded":
        """Row or query number `at` alone."""
        return self.take(slice(at, at + 1))

    def take(self, part) -> "Encoded":
        """Some of the rows: a slice, or an array of their places."""
        return Encoded(self.values[part], self.scales[part], self.squared_norms[part],
                       self.residual_norms[part])


def no_rows(codec: str, dims: int) -> Encoded:
    """Of no row at all."""
    return Encoded(np.zeros((0, dims), DTYPES[codec]), np.zeros(0, np.float32), np.zeros(0))


def join(parts) -> Encoded:
    names = ("values", "scales", "squared_norms", "residual_norms")
    return Encoded(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def unpack(codec: str, dims: int, stored) -> np.ndarray:
    """`Encoded.values` from the bytes of rows, uint8 [n, row bytes]."""
    if dims < LEAST_DIMS.get(codec, 1):
        raise ValueError(f"a layer of {dims} dims cannot be {codec}")
    stored = np.ascontiguousarray(stored)
    if codec == "bf16":
        return (stored.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if codec == "int4":
        codes = np.stack([stored & 15, stored >> 4], axis=2).reshape(len(stored), -1)
        levels = 2 * codes.astype(np.int8) - 15
    elif codec == "bit":
        codes = np.unpackbits(stored, axis=1, bitorder="little")
        levels = 2 * codes.astype(np.int8) - 1
    else:
        return stored.view(DTYPES[codec])
    if codes[:, dims:].any():
        raise ValueError("the spare bits of a row are not 0")
    return levels[:, :dims]


def pack(codec: str, values) -> np.ndarray:
    """The bytes of rows, uint8 [n, row bytes]: the inverse of `unpack`."""
    values = np.ascontiguousarray(values, DTYPES[codec])
    if codec == "bf16":
        return (values.view(np.uint32) >> 16).astype("<u2").view(np.uint8)
    if codec == "int4":
        codes = ((values + np.int8(15)) >> 1).astype(np.uint8)
        codes = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
        return codes[:, ::2] | codes[:, 1::2] << 4
    if codec == "bit":
        return np.packbits(values > 0, axis=1, bitorder="little")
    return values.view(np.uint8)


def encode_rows(codec: str, seed: int, rows) -> Encoded:
    """Rows [n, dims] as they are stored."""
    rows = np.ascontiguousarray(rows, np.float32)
    if codec in LEVELS:
        return quantise_to_levels(codec, rotate(rows, seed))
    if codec == "int8":
        return quantise(rotate(rows, seed))
    if codec == "bf16":
        bits = rows.view(np.uint32)
        values = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16 << 16).view(np.float32)
    else:
        values = rows.astype(DTYPES[codec])
    if not np.isfinite(values).all():
        raise ValueError(f"a value is too large for {codec}")
    return Encoded(values, np.ones(len(rows), np.float32), float_squared_norms(values))


def encode_query(codec: str, seed: int, queries) -> Encoded:
    """Queries [n, dims] as they are scored: rotated and quantised, or by float codecs as they
    are."""
    queries = np.ascontiguousarray(queries, np.float32)
    if not np.isfinite(queries).all():
        raise ValueError("a query has NaN or infinity")
    if codec in ROTATED:
        return quantise(rotate(queries, seed), greatest_value=31 if codec == "bit" else 127)
    return Encoded(queries, np.ones(len(queries), np.float32), float_squared_norms(queries))


def decode(codec: str, seed: int, rows: Encoded) -> np.ndarray:
    """The vectors [n, dims], f32, in the basis they were given in."""
    if codec in ROTATED:
        return unrotate(rows.values.astype(np.float32) * rows.scales[:, None], seed)
    return rows.values.astype(np.float32)


def dot(codec: str, rows: Encoded, query: Encoded) -> np.ndarray:
    """The scores, f64 [n], of all rows against the one query in `query`."""
    if codec in ROTATED:
        sums = rows.values.astype(np.int64) @ query.values[0].astype(np.int64)
        scales = rows.scales.astype(np.float64) * np.float64(query.scales[0])
        return sums.astype(np.float64) * scales
    step = slab_dims(codec)
    total = np.zeros(len(rows.values))
    for start in range(0, rows.values.shape[1], step):
        x = rows.values[:, start : start + step].astype(np.float64)
        q = query.values[0, start : start + step].astype(np.float64)
        total = total + fold_lanes(x * q)
    return total


def fold_lanes(products) -> np.ndarray:
    """Sums each row of f64 [n, k] in sixteen lanes, then folds the lanes by halves."""
    n, k = products.shape
    steps = -(-k // LANES)
    # One step of zeros first: a lane starts at +0. Zeros at the end change no lane.
    padded = np.zeros((n, (steps + 1) * LANES))
    padded[:, LANES : LANES + k] = products
    lanes = np.add.accumulate(padded.reshape(n, steps + 1, LANES), axis=1)[:, -1]
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
    return lanes[:, 0]


def float_squared_norms(values) -> np.ndarray:
    """Squared norms of rows of a float codec: the same lanes, over the whole row."""
    wide = values.astype(np.float64)
    return fold_lanes(wide * wide)


def integer_squared_norms(values, scales) -> np.ndarray:
    sums = (values.astype(np.int64) ** 2).sum(axis=1)
    wide = scales.astype(np.float64)
    return sums.astype(np.float64) * (wide * wide)


def quantise(rotated, greatest_value=127) -> Encoded:
    """int8 rows, and the queries of all rotated codecs."""
    greatest = np.abs(rotated).max(axis=1)
    if not np.isfinite(greatest).all():
        raise ValueError("a row overflows single precision in the rotation")
    scales = np.maximum(greatest / np.float32(greatest_value), MIN_NORMAL)
    inverses = np.float32(1) / scales
    values = np.rint(rotated * inverses[:, None])
    values = np.clip(values, -greatest_value, greatest_value).astype(np.int8)
    scales = np.where(greatest == 0, np.float32(0), scales)
    return Encoded(values, scales, integer_squared_norms(values, scales))


def quantise_to_levels(codec, rotated) -> Encoded:
    """int4 and bit rows: levels, and the scale with which they estimate scores unbiased."""
    if not np.isfinite(rotated).all():
        raise ValueError("a row overflows single precision in the rotation")
    wide = rotated.astype(np.float64)
    norms = fold_lanes(wide * wide)
    zero = norms == 0
    if codec == "int4":
        steps = (INT4_STEP * np.sqrt(norms / rotated.shape[1])).astype(np.float32)
        inverses = np.float32(1) / np.maximum(steps, MIN_NORMAL)
        codes = np.clip(np.floor(rotated * inverses[:, None]) + 8, 0, 15).astype(np.int8)
        codes[zero] = 0
        levels = 2 * codes - np.int8(15)
    else:
        levels = np.where(np.signbit(rotated) | zero[:, None], np.int8(-1), np.int8(1))
    products = fold_lanes(levels.astype(np.float64) * wide)
    ratios = np.divide(norms, products, out=np.zeros_like(norms), where=~zero)
    return Encoded(levels, ratios.astype(np.float32), norms,
                   residual_norms(ratios, levels, norms))


def residual_norms(ratios, levels, squared_norms) -> np.ndarray:
    """f32 [n], where the scales before rounding are `ratios`, f64 [n]."""
    squares = (levels.astype(np.int64) ** 2).sum(axis=1).astype(np.float64)
    differences = ratios * ratios * squares - squared_norms
    return np.sqrt(np.maximum(0.0, differences)).astype(np.float32)


def rotate(rows, seed: int) -> np.ndarray:
    """The rotation of an int8, int4 or bit layer, f32 [n, dims]."""
    rows = np.array(rows, np.float32)
    for r, start, p in _rounds(rows.shape[1]):
        part = rows[:, start : start + p] * _signs(seed, r, p)
        rows[:, start : start + p] = _hadamard(part)
    return rows[:, _order(rows.shape[1])]


def unrotate(rows, seed: int) -> np.ndarray:
    """The inverse: the order, then the rounds backwards, in each the butterflies (their own inverse, as scaled)
    and then the signs."""
    ordered = np.array(rows, np.float32)
    rows = np.empty_like(ordered)
    rows[:, _order(rows.shape[1])] = ordered
    for r, start, p in reversed(_rounds(rows.shape[1])):
        part = _hadamard(rows[:, start : start + p])
        rows[:, start : start + p] = part * _signs(seed, r, p)
    return rows


def _rounds(dims):
    """(round, first element, p) of the one or two rounds."""
    p = 1 << (dims.bit_length() - 1)
    return [(0, 0, p)] if p == dims else [(0, 0, p), (1, dims - p, p)]


def _order(dims):
    """For each element of a rotated and ordered row, its place before the ordering."""
    n = dims // 16
    step = max(1, n * 40503 // 65536)
    while n and math.gcd(step, n) != 1:
        step += 1
    blocks = np.arange(n) * step % max(1, n)
    moved = (blocks[:, None] * 16 + np.arange(16)).reshape(-1)
    return np.concatenate([moved, np.arange(16 * n, dims)])


def _hadamard(rows):
    n, p = rows.shape
    h = 1
    while h < p:
        pairs = rows.reshape(n, p // (2 * h), 2, h)
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        rows = np.stack([a + b, a - b], axis=2).reshape(n, p)
        h *= 2
    return rows * (np.float32(1) / np.float32(np.sqrt(np.float64(p))))


def _signs(seed, r, p):
    """+1 and -1 (f32) for the elements of a round."""
    words = [_mix(seed + ((r << 32) + w + 1) * 0x9E3779B97F4A7C15 & MASK)
             for w in range(-(-p // 64))]
    bits = np.unpackbits(np.array(words, "<u8").view(np.uint8), bitorder="little")[:p]
    return np.where(bits == 1, np.float32(-1), np.float32(1))


def _mix(z):
    """The finaliser of splitmix64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31
