"""The reference projectors against the specification read word by word, golden files, statistics."""

import glob
import json
import math
import os
import struct

import numpy as np
import pytest

import make_projectors
import projectors
import safetensors_file
from xxh3 import xxh3

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "format-spec", "vectors", "projectors")
CASES = sorted(os.path.basename(path)[:-len(".json")]
               for path in glob.glob(os.path.join(FOLDER, "*.json")))


# ---- projectors.md, element by element, with Python's integers and doubles ----


def mix(z):
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 % 2**64
    z ^= z >> 27
    z = z * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def word(k, j):
    return mix((k + (j + 1) * 0x9E3779B97F4A7C15) % 2**64)


def below(w, n):
    return (w >> 32) * n >> 32


def key(seed, name, i):
    return word(mix(seed ^ xxh3(name.encode())), i)


def sign(w, bit):
    return -1.0 if w >> bit & 1 else 1.0


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def sketch(seed, name, x, dims):
    out, u_all = [0.0] * dims, dims // 64
    for e, value in enumerate(x):
        u, i = divmod(e, 64)
        if len(x) <= 1024:
            w = word(key(seed, name, 0), u)
            out[below(word(key(seed, name, 1), e), dims)] += sign(w, i) * value
            continue
        s, p = divmod(u, u_all)
        w = word(key(seed, name, 0), u)
        m = (w * 0x9E3779B97F4A7C15 % 2**64) >> 58
        b = below(word(key(seed, name, 1), s), u_all)
        out[64 * ((p + b) % u_all) + (i ^ m)] += sign(w, i) * value
    return out


def sigma(seed, name, i, k, dims):
    return sign(word(key(seed, name, 0), i * -(-dims // 64) + k // 64), k % 64)


def dense(seed, name, x, dims):
    return [f32(1 / math.sqrt(dims)) *
            math.fsum(sigma(seed, name, i, k, dims) * v for i, v in enumerate(x))
            for k in range(dims)]


def shuffle(k, counter, n):
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(word(k, counter), i + 1)
        counter += 1
        order[i], order[j] = order[j], order[i]
    return order, counter


def rapidgrad(seed, x, dims, rounds):
    size = math.ceil(len(x) / dims) * dims
    x = list(x) + [0.0] * (size - len(x))
    r = max(d for d in range(1, math.isqrt(size) + 1) if size % d == 0)
    counter = 0
    for _ in range(rounds):
        order, counter = shuffle(mix(seed), counter, r)
        rows = [x[n * (size // r):(n + 1) * (size // r)] for n in range(r)]
        x = [value for n in order for value in rows[n]]
        order, counter = shuffle(mix(seed), counter, r)
        rows = [x[n * r:(n + 1) * r] for n in range(size // r)]
        x = [row[n] for row in rows for n in order]
    x = [value * sign(word(mix(seed ^ 1), i // 64), i % 64) for i, value in enumerate(x)]
    return [math.fsum(x[j * (size // dims):(j + 1) * (size // dims)]) for j in range(dims)]


def factored(seed, module, grad_output, inputs, rank, normalise):
    def reduce(name, vectors, k):
        return [[f32(1 / math.sqrt(k)) *
                 math.fsum(sigma(seed, name, i, n, k) * v for i, v in enumerate(vector))
                 for n in range(k)] for vector in vectors]

    left = reduce(module + ".grad_output", grad_output, rank[0])
    right = reduce(module + ".input", inputs, rank[1])
    gradient = np.einsum("po,pi->oi", grad_output, inputs)  # formed, unlike there
    length = math.sqrt(float((gradient**2).sum()))
    factor = 1.0 if normalise == "none" else f32(1 / length) if length else 0.0
    return [factor * math.fsum(g[a] * h[b] for g, h in zip(left, right))
            for a in range(rank[0]) for b in range(rank[1])]


def by_definition(projector, tensors, row):
    seed, dims = int(projector["seed"], 16), projector["dims"]
    names = sorted(tensors, key=str.encode)
    parts = {name: tensors[name][row].astype(np.float64) for name in names}
    if projector["kind"] == "factored":
        modules = [name[:-len(".input")] for name in names if name.endswith(".input")]
        found = [factored(seed, m, parts[m + ".grad_output"], parts[m + ".input"],
                          projector["rank"], projector["normalise"]) for m in modules]
        return np.sum(found, axis=0)
    for name, part in parts.items():
        length = math.sqrt(math.fsum(v * v for v in part.ravel().tolist()))
        factor = 1.0 if projector["normalise"] == "none" else f32(1 / length) if length else 0.0
        parts[name] = [factor * v for v in part.ravel().tolist()]
    if projector["kind"] == "rapidgrad":
        return np.array(rapidgrad(seed, sum(parts.values(), []), dims, projector["rounds"]))
    kind = {"sketch": sketch, "dense": dense}[projector["kind"]]
    return np.sum([kind(seed, name, x, dims) for name, x in parts.items()], axis=0)


# ---- golden files ----


def read(case):
    with open(os.path.join(FOLDER, f"{case}.json"), encoding="utf-8") as file:
        golden = json.load(file)
    tensors, _ = safetensors_file.read(os.path.join(FOLDER, golden["input"]))
    output, metadata = safetensors_file.read(os.path.join(FOLDER, golden["output"]))
    return golden, tensors, output["grad"], metadata


def close(found, expected):
    return np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


def test_every_kind_has_golden_files_with_and_without_normalisation():
    assert set(CASES) == set(make_projectors.CASES)
    have = {(p["kind"], p["normalise"]) for p in (read(case)[0]["projector"] for case in CASES)}
    assert have == {(kind, n) for kind in projectors.KINDS for n in ("none", "tensor")}


@pytest.mark.parametrize("case", CASES)
def test_golden_outputs_are_those_of_the_reference(case):
    golden, tensors, output, metadata = read(case)
    projector = golden["projector"]
    assert output.dtype == np.float32
    assert output.shape == (len(next(iter(tensors.values()))), projector["dims"])
    assert close(output, projectors.project(projector, tensors))
    assert projectors.digest(projector) == golden["hash"]
    assert json.loads(metadata["graddb.projector.grad"]) == projector
    shapes = {name: [0, *x.shape[2:]] if projector["kind"] == "factored" else list(x.shape[1:])
              for name, x in tensors.items()}
    assert projectors.described_tensors(shapes) == projector["tensors"]


@pytest.mark.parametrize("case", [case for case in CASES if case not in (
    "sketch-65536", "dense-1280-names", "dense-100-tensor")])
def test_golden_outputs_follow_the_definition_element_by_element(case):
    golden, tensors, output, _ = read(case)
    for row in {0, len(output) - 1}:
        assert close(output[row], by_definition(golden["projector"], tensors, row))


# ---- identity ----


def test_the_hash_is_of_the_canonical_text():
    projector = {"tensors": [{"shape": [2, 3], "name": "a\"\\\n\x01é/\x7f"}], "match": ["a*"],
                 "rounds": 20, "normalise": "none", "seed": "0x0", "dims": 64, "version": 1,
                 "kind": "rapidgrad"}
    text = ('{"kind":"rapidgrad","version":1,"dims":64,"seed":"0x0","normalise":"none",'
            '"rounds":20,"tensors":[{"name":"a\\"\\\\\\n\\u0001é/\x7f","shape":[2,3]}]}')
    assert projectors.canonical(projector) == text
    assert projectors.digest(projector) == f"{xxh3(text.encode()):016x}"


def test_a_projector_without_tensors_has_a_hash_of_its_own():
    whole = read("sketch-64")[0]["projector"]
    bare = {key: value for key, value in whole.items() if key != "tensors"}
    assert projectors.digest(bare) != projectors.digest(whole)
    assert projectors.digest({**bare, "match": ["*"]}) == projectors.digest(bare)


# ---- properties ----


def test_splitmix64_gives_its_published_sequence():
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert [int(w) for w in projectors.words(0, 4)] == expected
    assert [word(0, j) for j in range(4)] == expected


@pytest.mark.parametrize("dims,size", [(64, 1025), (64, 5000), (1280, 1280), (1280, 5000), (4096, 1099)])
def test_elements_of_a_sheet_never_meet(dims, size):
    accumulator, sign = projectors.sketch_places(99, "t", size, dims)
    for start in range(0, size, dims):
        sheet = accumulator[start:start + dims]
        assert len(set(sheet.tolist())) == len(sheet)
    assert accumulator.min() >= 0 and accumulator.max() < dims and set(sign) <= {-1, 1}


def test_rapidgrad_moves_every_element_and_fills_every_accumulator_alike():
    accumulator, sign = projectors.rapidgrad_places(3, 6400, 64, 20)
    assert np.array_equal(np.bincount(accumulator), np.full(64, 100))
    assert abs(int(sign.sum())) < 5 * math.sqrt(6400)


@pytest.mark.parametrize("kind", ["sketch", "rapidgrad", "dense"])
def test_dot_products_are_kept_in_expectation_with_the_variance_that_is_promised(kind):
    dims, trials = 64, 3000
    random = np.random.default_rng(1)
    x = random.standard_normal((2, 256)) * np.where(random.random(256) < 0.1, 5, 1)
    x[1] += x[0] / 2
    true = float(x[0] @ x[1])
    found = []
    for seed in range(trials):
        projector = {"kind": kind, "version": 1, "dims": dims, "seed": hex(seed * 0x9E3779B97F4A7C1),
                     "normalise": "none", "rounds": 20}
        a, b = projectors.project(projector, {"t": x})
        found.append(float(a @ b))
    squares = (x**2).sum(1)
    ideal = (squares[0] * squares[1] + true**2 - 2 * float((x[0]**2 * x[1]**2).sum())) / dims
    assert abs(np.mean(found) - true) < 5 * math.sqrt(ideal / trials)
    assert np.var(found) < ideal * (1 + 5 * math.sqrt(2 / trials))


def test_a_factored_gradient_keeps_dot_products_in_expectation():
    random = np.random.default_rng(2)
    grad_output, inputs = random.standard_normal((2, 3, 20)), random.standard_normal((2, 3, 30))
    gradients = np.einsum("npo,npi->noi", grad_output, inputs).reshape(2, -1)
    true, found = float(gradients[0] @ gradients[1]), []
    for seed in range(2000):
        projector = {"kind": "factored", "version": 1, "dims": 64, "rank": [8, 8],
                     "seed": hex(seed), "normalise": "none"}
        a, b = projectors.project(projector, {"m.grad_output": grad_output, "m.input": inputs})
        found.append(float(a @ b))
    assert abs(np.mean(found) - true) < 5 * np.std(found) / math.sqrt(len(found))


def test_a_tensor_projects_alike_whatever_is_beside_it():
    golden, tensors, _, _ = read("sketch-1280")
    together = projectors.project(golden["projector"], tensors)
    apart = sum(projectors.project(golden["projector"], {name: x}) for name, x in tensors.items())
    assert np.allclose(together, apart, rtol=0, atol=1e-9 * np.abs(together).max())


@pytest.mark.parametrize("kind,dims", [("sketch", 65), ("sketch", 0), ("dense", 0), ("hash", 64)])
def test_projectors_that_cannot_be_are_refused(kind, dims):
    projector = {"kind": kind, "version": 1, "dims": dims, "seed": "0x0", "normalise": "none"}
    with pytest.raises(ValueError):
        projectors.project(projector, {"t": np.zeros((1, 4), np.float32)})


def test_elements_that_are_not_finite_are_refused():
    projector = {"kind": "sketch", "version": 1, "dims": 64, "seed": "0x0", "normalise": "none"}
    with pytest.raises(ValueError, match="finite"):
        projectors.project(projector, {"t": np.array([[1, np.nan]], np.float32)})
