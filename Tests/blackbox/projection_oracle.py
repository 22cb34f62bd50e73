"""Projectors as format-spec/projectors.md defines them, in 64-bit floats, element by element.

Nothing is streamed and nothing is single precision but the inputs; slow, and plainly the text.
"""

import json
import sys

import numpy as np

from graddb import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools" / "reader"))
from xxh3 import xxh3  # noqa: E402

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & MASK
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def word(key, j):
    return mix((key + (j + 1) * GAMMA) & MASK)


def below(w, n):
    return ((w >> 32) * n) >> 32


def key(seed, name, i):
    return word(mix(seed ^ xxh3(name.encode())), i)


def words(key, numbers):
    """word(key, j) of an array of numbers."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.asarray(numbers, dtype=np.uint64) + np.uint64(1)) * np.uint64(GAMMA)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def sketch(x, name, seed, dims):
    """P of one flat tensor."""
    units, result = dims // 64, np.zeros(dims)
    signs, places = key(seed, name, 0), key(seed, name, 1)
    if len(x) <= 1024:
        for i, value in enumerate(x):
            negated = word(signs, i // 64) >> i % 64 & 1
            result[below(word(places, i), dims)] += -value if negated else value
        return result
    for u in range(-(-len(x) // 64)):
        w = word(signs, u)
        m = (w * GAMMA & MASK) >> 58
        b = below(word(places, u // units), units)
        for i, value in enumerate(x[u * 64:(u + 1) * 64]):
            accumulator = 64 * ((u % units + b) % units) + (i ^ m)
            result[accumulator] += -value if w >> i & 1 else value
    return result


def signs(stream, count, dims):
    """σ(i, k) for i < count, k < dims."""
    blocks = -(-dims // 64)
    i, k = np.arange(count)[:, None], np.arange(dims)[None, :]
    bits = words(stream, i * blocks + k // 64) >> (k % 64).astype(np.uint64) & np.uint64(1)
    return np.where(bits == 1, -1.0, 1.0)


def dense(x, name, seed, dims):
    return x @ signs(key(seed, name, 0), len(x), dims) / np.sqrt(dims)


def rapidgrad(x, seed, dims, rounds):
    """All of a row's tensors, one behind the other."""
    count = -(-len(x) // dims) * dims
    x = np.concatenate([x, np.zeros(count - len(x))])
    r = max(d for d in range(1, int(count**0.5) + 1) if count % d == 0)
    stream, used = mix(seed), 0

    def permutation(n):
        nonlocal used
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = below(word(stream, used), i + 1)
            used += 1
            order[i], order[j] = order[j], order[i]
        return order

    for _ in range(rounds):
        x = x.reshape(r, count // r)[permutation(r)].reshape(-1)
        x = x.reshape(count // r, r)[:, permutation(r)].reshape(-1)
    i = np.arange(count)
    bits = words(mix(seed ^ 1), i // 64) >> (i % 64).astype(np.uint64) & np.uint64(1)
    return np.where(bits == 1, -x, x).reshape(dims, -1).sum(axis=1)


def factored(projector, row):
    seed, (k_out, k_in) = int(projector["seed"], 16), projector["rank"]
    result = np.zeros(projector["dims"])
    for name in row:
        if not name.endswith(".grad_output"):
            continue
        module = name.removesuffix(".grad_output")
        g, x = row[name].astype(float), row[module + ".input"].astype(float)
        a = signs(key(seed, name, 0), g.shape[1], k_out) / np.sqrt(k_out)
        b = signs(key(seed, module + ".input", 0), x.shape[1], k_in) / np.sqrt(k_in)
        part = ((g @ a).T @ (x @ b)).reshape(-1)
        if projector["normalise"] == "tensor":
            length = np.linalg.norm(g.T @ x)
            part = part / length if length else part * 0
        result += part
    return result


def project(projector, row):
    """The vector of one row: {name: array of one row's shape}, in 64-bit floats."""
    kind, dims, seed = projector["kind"], projector["dims"], int(projector["seed"], 16)
    if kind == "factored":
        return factored(projector, row)
    flat = {}
    for name in sorted(row, key=str.encode):
        x = np.asarray(row[name], dtype=float).reshape(-1)
        length = np.linalg.norm(x) if projector["normalise"] == "tensor" else 1.0
        flat[name] = x / length if length else x
    if kind == "rapidgrad":
        return rapidgrad(np.concatenate(list(flat.values())), seed, dims, projector["rounds"])
    kinds = {"sketch": sketch, "dense": dense}
    return sum(kinds[kind](x, name, seed, dims) for name, x in flat.items())


KEYS = ["kind", "version", "dims", "seed", "normalise", "rounds", "rank", "tensors"]


def hash_of(projector):
    """16 hexadecimal digits."""
    ordered = {name: projector[name] for name in KEYS if name in projector}
    if "tensors" in ordered:
        ordered["tensors"] = [{"name": t["name"], "shape": t["shape"]} for t in ordered["tensors"]]
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)
    return f"{xxh3(text.encode()):016x}"


def projector(kind, dims, seed="0x0", normalise="none", **more):
    return dict({"kind": kind, "version": 1, "dims": dims, "seed": seed, "normalise": normalise}, **more)


def specification(projector):
    """As a user writes it."""
    words = [projector["kind"]]
    for name in ("dims", "seed", "normalise", "rounds"):
        if name in projector:
            words.append(f"{name}={projector[name]}")
    if "rank" in projector:
        words.append("rank={}x{}".format(*projector["rank"]))
    words += [f"match={pattern}" for pattern in projector.get("match", [])]
    return ",".join(words)


def read_safetensors(path):
    """(metadata, {name: array}) of a file of F32 tensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32"
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[8 + size:], "<f4")[begin // 4:end // 4].reshape(entry["shape"])
    return metadata, arrays


def assert_close(vectors, projector, rows):
    """Each vector is within 10⁻⁵ of its length from what the definition gives."""
    assert vectors.shape == (len(rows), projector["dims"])
    for vector, row in zip(vectors, rows):
        expected = project(projector, row)
        assert np.linalg.norm(vector - expected) <= 1e-5 * max(np.linalg.norm(expected), 1e-30)
