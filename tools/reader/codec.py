"""How a row becomes bytes, and what a score is (format-spec/codecs.md).

Scores are exact: the same doubles, bit for bit, as any other implementation of that page. The
functions are plain about the order of every rounding; numpy only does many rows at a time.
"""

import numpy as np

from block import SLAB_BYTES

LANES = 16
MASK = (1 << 64) - 1
MIN_NORMAL = np.float32(2.0**-126)
DTYPES = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "int8": np.dtype("i1")}


class Encoded:
    """Rows, or queries, of one layer as the codec stores them: `values` [n, dims] in the stored
    type, `scales` f32 [n], `squared_norms` f64 [n]."""

    def __init__(self, values, scales, squared_norms):
        self.values, self.scales, self.squared_norms = values, scales, squared_norms


def encode_query(codec: str, seed: int, queries) -> Encoded:
    """Queries [n, dims] as they are scored: rotated and quantised for int8, else as they are."""
    queries = np.ascontiguousarray(queries, np.float32)
    if not np.isfinite(queries).all():
        raise ValueError("a query has NaN or infinity")
    if codec == "int8":
        return quantise(rotate(queries, seed))
    return Encoded(queries, np.ones(len(queries), np.float32), float_squared_norms(queries))


def decode(codec: str, seed: int, rows: Encoded) -> np.ndarray:
    """The vectors [n, dims], f32, in the basis they were given in."""
    if codec == "int8":
        rotated = rows.values.astype(np.float64) * rows.scales.astype(np.float64)[:, None]
        return unrotate(rotated, seed).astype(np.float32)
    return rows.values.astype(np.float32)


def dot(codec: str, rows: Encoded, query: Encoded) -> np.ndarray:
    """The scores, f64 [n], of all rows against the one query in `query`."""
    if codec == "int8":
        sums = rows.values.astype(np.int64) @ query.values[0].astype(np.int64)
        scales = rows.scales.astype(np.float64) * np.float64(query.scales[0])
        return sums.astype(np.float64) * scales
    slab_dims = SLAB_BYTES // DTYPES[codec].itemsize
    total = np.zeros(len(rows.values))
    for start in range(0, rows.values.shape[1], slab_dims):
        x = rows.values[:, start : start + slab_dims].astype(np.float64)
        q = query.values[0, start : start + slab_dims].astype(np.float64)
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


def int8_squared_norms(values, scales) -> np.ndarray:
    sums = (values.astype(np.int64) ** 2).sum(axis=1)
    wide = scales.astype(np.float64)
    return sums.astype(np.float64) * (wide * wide)


def quantise(rotated) -> Encoded:
    greatest = np.abs(rotated).max(axis=1)
    if not np.isfinite(greatest).all():
        raise ValueError("a row overflows single precision in the rotation")
    scales = np.maximum(greatest / np.float32(127), MIN_NORMAL)
    inverses = np.float32(1) / scales
    values = np.clip(np.rint(rotated * inverses[:, None]), -127, 127).astype(np.int8)
    scales = np.where(greatest == 0, np.float32(0), scales)
    return Encoded(values, scales, int8_squared_norms(values, scales))


def rotate(rows, seed: int) -> np.ndarray:
    """The rotation of an int8 layer, f32 [n, dims]."""
    rows = np.array(rows, np.float32)
    for r, start, p in _rounds(rows.shape[1]):
        part = rows[:, start : start + p] * _signs(seed, r, p)
        rows[:, start : start + p] = _hadamard(part)
    return rows


def unrotate(rows, seed: int) -> np.ndarray:
    """The inverse: the rounds backwards, in each the butterflies (their own inverse, as scaled)
    and then the signs. In double, since no stored value or score depends on its roundings."""
    rows = np.array(rows, np.float64)
    for r, start, p in reversed(_rounds(rows.shape[1])):
        part = _hadamard(rows[:, start : start + p])
        rows[:, start : start + p] = part * _signs(seed, r, p)
    return rows


def _rounds(dims):
    """(round, first element, p) of the one or two rounds."""
    p = 1 << (dims.bit_length() - 1)
    return [(0, 0, p)] if p == dims else [(0, 0, p), (1, dims - p, p)]


def _hadamard(rows):
    n, p = rows.shape
    h = 1
    while h < p:
        pairs = rows.reshape(n, p // (2 * h), 2, h)
        a, b = pairs[:, :, 0], pairs[:, :, 1]
        rows = np.stack([a + b, a - b], axis=2).reshape(n, p)
        h *= 2
    if rows.dtype == np.float64:
        return rows / np.sqrt(np.float64(p))
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
