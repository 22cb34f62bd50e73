"""Projectors: projectors.md in numpy, with sums in double.

`project` turns the raw gradients of rows into vectors of one layer, `digest` is a projector's
hash. `hashed_places` says where each element of a tensor goes and with which sign, for the kinds that
add every element to one accumulator.
"""

import json
import math

import numpy as np

from xxh3 import xxh3

GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
UNIT = 64
SHORT = 1024  # elements of a tensor that a sketch places one by one
ROUNDS = 20  # of rapidgrad, where nothing else is said
KEYS = ("kind", "version", "dims", "seed", "normalise", "rounds", "rank", "tensors")
KINDS = ("sketch", "rapidgrad", "dense", "factored")


# ---- identity ----


def canonical(projector) -> str:
    """The text that is hashed: the keys there are, in their order, without `match`."""
    kept = {key: projector[key] for key in KEYS if key in projector}
    if "tensors" in kept:
        kept["tensors"] = [{"name": t["name"], "shape": t["shape"]} for t in kept["tensors"]]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def digest(projector) -> str:
    return f"{xxh3(canonical(projector).encode('utf-8')):016x}"


def described_tensors(shapes) -> list:
    """The value of `tensors`, from {name: shape of one row's}."""
    return [{"name": name, "shape": list(shapes[name])}
            for name in sorted(shapes, key=lambda name: name.encode("utf-8"))]


# ---- words of random bits ----


def mix(z):
    """Of an unsigned 64-bit integer, or of an array of them."""
    if isinstance(z, int):
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return z ^ z >> 31
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def words(stream, count, first=0):
    """word(stream, first) and the `count` - 1 after it."""
    counter = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    return mix(counter * np.uint64(GAMMA) + np.uint64(stream))


def below(word, n):
    return ((word >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(np.int64)


def key(seed, name, number):
    """The stream `number` of the tensor `name`."""
    base = mix(seed ^ xxh3(name.encode("utf-8")))
    return mix(base + (number + 1) * GAMMA & MASK)


def bits(word):
    """The bits of words, lowest first: [..., 64] of 0 and 1."""
    little = np.ascontiguousarray(word, "<u8")[..., None].view(np.uint8)
    return np.unpackbits(little, axis=-1, bitorder="little")


def signs(word):
    return 1 - 2 * bits(word).astype(np.int8)


# ---- where elements go ----


def sketch_places(seed, name, size, dims):
    """(accumulator, sign) of each of the tensor's elements."""
    units = -(-size // UNIT)
    places = dims // UNIT
    word = words(key(seed, name, 0), units)
    if size <= SHORT:
        return below(words(key(seed, name, 1), size), dims), signs(word).ravel()[:size]
    flips = (word * np.uint64(GAMMA) >> np.uint64(58)).astype(np.int64)
    sheets = -(-units // places)
    turns = below(words(key(seed, name, 1), sheets), places)
    unit = np.arange(units)
    place = (unit % places + turns[unit // places]) % places
    accumulator = UNIT * place[:, None] + (np.arange(UNIT) ^ flips[:, None])
    return accumulator.ravel()[:size], signs(word).ravel()[:size]


def permutation(stream, counter, n):
    """(Fisher-Yates shuffle of 0 ... n-1, the counter behind the words that it took)."""
    order = list(range(n))
    chosen = words(stream, max(n - 1, 0), counter)
    for i, word in zip(range(n - 1, 0, -1), chosen.tolist()):
        j = (word >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64), counter + len(chosen)


def rapidgrad_places(seed, size, dims, rounds):
    """(accumulator, sign) of each element of the concatenated tensors."""
    padded = -(-size // dims) * dims
    rows = next(r for r in range(math.isqrt(padded), 0, -1) if padded % r == 0)
    source = np.arange(padded)  # which element is now at each place
    stream, counter = mix(seed), 0
    for _ in range(rounds):
        order, counter = permutation(stream, counter, rows)
        source = source.reshape(rows, -1)[order].ravel()
        order, counter = permutation(stream, counter, rows)
        source = source.reshape(-1, rows)[:, order].ravel()
    sign = signs(words(mix(seed ^ 1), -(-padded // 64))).ravel()[:padded]
    accumulator, signed = np.empty(padded, np.int64), np.empty(padded, np.int8)
    accumulator[source] = np.arange(padded) // (padded // dims)
    signed[source] = sign
    return accumulator[:size], signed[:size]


def hashed_places(projector, shapes):
    """{tensor: (accumulator, sign)} of the kinds sketch and rapidgrad, by {tensor: shape}."""
    seed, dims = int(projector["seed"], 16), projector["dims"]
    sizes = {t["name"]: math.prod(t["shape"]) for t in described_tensors(shapes)}
    if projector["kind"] == "sketch":
        return {name: sketch_places(seed, name, size, dims) for name, size in sizes.items()}
    rounds = projector.get("rounds", ROUNDS)
    accumulator, sign = rapidgrad_places(seed, sum(sizes.values()), dims, rounds)
    ends = np.cumsum(list(sizes.values()))[:-1]
    return dict(zip(sizes, zip(np.split(accumulator, ends), np.split(sign, ends))))


# ---- the kinds ----


def add_hashed(values, accumulator, sign, out):
    """Adds elements [rows, size] to their accumulators: out is [rows, dims], in double."""
    signed = values * sign
    for row, sums in zip(signed, out):
        sums += np.bincount(accumulator, weights=row, minlength=len(sums))


def dense_signs(seed, name, size, dims):
    """σ(i, k) as [size, dims]."""
    width = -(-dims // 64)
    word = words(key(seed, name, 0), size * width).reshape(size, width)
    return signs(word).reshape(size, width * 64)[:, :dims]


def add_factored(projector, module, grad_output, inputs, out):
    """Adds the gradient of one linear layer; both are [rows, positions, features], in double."""
    seed, (k_out, k_in) = int(projector["seed"], 16), projector["rank"]
    a = dense_signs(seed, module + ".grad_output", grad_output.shape[2], k_out) * scale(k_out)
    b = dense_signs(seed, module + ".input", inputs.shape[2], k_in) * scale(k_in)
    product = np.einsum("npa,npb->nab", grad_output @ a, inputs @ b)
    if projector["normalise"] == "tensor":
        among = np.einsum("npd,nqd->npq", grad_output, grad_output)
        squared = (among * np.einsum("npd,nqd->npq", inputs, inputs)).sum((1, 2))
        product *= inverse_root(squared)[:, None, None]
    out += product.reshape(len(out), -1)


def scale(dims):
    return float(np.float32(1 / math.sqrt(dims)))


def inverse_root(squared):
    """f32(1 / √squared) of non-negative sums, 0 where they are 0."""
    found = np.zeros_like(squared)
    np.divide(1, np.sqrt(squared), out=found, where=squared > 0)
    return found.astype(np.float32).astype(np.float64)


def project(projector, tensors):
    """{name: [rows, ...shape]} to f64 [rows, dims]."""
    kind, dims, seed = projector["kind"], projector["dims"], int(projector["seed"], 16)
    check(projector)
    names = sorted(tensors, key=lambda name: name.encode("utf-8"))
    rows = len(tensors[names[0]])
    out = np.zeros((rows, dims))
    if kind == "factored":
        for name in names:
            module, part = name.rsplit(".", 1)
            if part == "grad_output":
                pair = [np.asarray(tensors[f"{module}.{p}"], np.float64)
                        for p in ("grad_output", "input")]
                add_factored(projector, module, *pair, out)
        return finite(out)
    flat = {name: finite(np.asarray(tensors[name], np.float64)).reshape(rows, -1)
            for name in names}
    if projector["normalise"] == "tensor":
        flat = {name: x * inverse_root((x**2).sum(1))[:, None] for name, x in flat.items()}
    if kind == "dense":
        for name, x in flat.items():
            out += x @ dense_signs(seed, name, x.shape[1], dims) * scale(dims)
    else:
        shapes = {name: x.shape[1:] for name, x in flat.items()}
        for name, (accumulator, sign) in hashed_places(projector, shapes).items():
            add_hashed(flat[name], accumulator, sign, out)
    return finite(out)


def check(projector):
    kind, dims = projector["kind"], projector["dims"]
    if kind not in KINDS or projector["version"] != 1:
        raise ValueError(f"projector {kind} version {projector['version']} is not known")
    if projector["normalise"] not in ("none", "tensor"):
        raise ValueError(f"normalise is {projector['normalise']!r}")
    if kind == "sketch" and (dims % UNIT or not UNIT <= dims <= 1 << 30):
        raise ValueError(f"a sketch of {dims} dims")
    if kind == "dense" and not 1 <= dims <= 1 << 20:
        raise ValueError(f"a dense projector of {dims} dims")
    if kind == "factored" and math.prod(projector["rank"]) != dims:
        raise ValueError(f"rank {projector['rank']} does not make {dims} dims")


def finite(values):
    if not np.isfinite(values).all():
        raise ValueError("an element is not finite")
    return values
