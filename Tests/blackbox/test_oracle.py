"""The oracle against brute force: it must be right, and no looser than it says.

These tests need no gradctl.
"""

import math

import numpy as np
import pytest

import oracle
from gradient_files import as_type, from_bf16_bits, to_bf16_bits
from oracle import Truth

MASK = (1 << 64) - 1


def splitmix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def signs(seed, round_number, count):
    words = [
        splitmix((seed + ((round_number << 32) + w + 1) * 0x9E3779B97F4A7C15) & MASK)
        for w in range(-(-count // 64))
    ]
    bits = np.array([(words[i // 64] >> (i % 64)) & 1 for i in range(count)])
    return np.where(bits == 1, np.float32(-1), np.float32(1))


def hadamard(rows):
    rows = rows.copy()
    step, dims = 1, rows.shape[1]
    while step < dims:
        pairs = rows.reshape(len(rows), -1, 2, step)
        a, b = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0], pairs[:, :, 1] = a + b, a - b
        step *= 2
    return rows


def rotate(rows, seed):
    """The rotation before int8: one or two overlapping transforms of a power of two."""
    rows = rows.astype(np.float32).copy()
    dims = rows.shape[1]
    power = 1 << (dims.bit_length() - 1)
    factor = np.float32(1) / np.sqrt(np.float32(power))
    for round_number, first in enumerate([0] if power == dims else [0, dims - power]):
        part = rows[:, first : first + power] * signs(seed, round_number, power)
        rows[:, first : first + power] = hadamard(part) * factor
    return rows


def int8_coded(rows, seed):
    """What int8 decodes to, in rotated coordinates."""
    rotated = rotate(rows, seed)
    scales = np.abs(rotated).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.rint(np.divide(rotated, scales, out=np.zeros_like(rotated), where=scales > 0))
    return codes.astype(np.float64) * scales.astype(np.float64)


@pytest.mark.parametrize("dims", [1, 2, 7, 64, 100, 256, 4097])
def test_rotation_keeps_norms_and_spreads(dims):
    rows = np.zeros((4, dims), np.float32)
    rows[np.arange(4), np.arange(4) % dims] = 3
    rotated = rotate(rows, 11)
    assert np.allclose(np.linalg.norm(rotated, axis=1), 3, rtol=1e-5)
    assert np.abs(rotated).max() <= 3 * oracle.rotated_maximum(dims) * (1 + 1e-5)


SHAPES = [(7, 3000), (64, 2000), (256, 1000), (4097, 80), (65536, 16)]


@pytest.mark.parametrize("dims,count", SHAPES)
@pytest.mark.parametrize("kind", ["normal", "heavy", "sparse"])
def test_int8_stays_within_its_stated_error(dims, count, kind):
    random = np.random.default_rng(dims)
    rows = random.standard_normal((count, dims))
    if kind == "heavy":
        rows = random.standard_t(2.5, (count, dims))
    if kind == "sparse":
        rows *= random.random((count, dims)) < max(0.05, 8 / dims)
    rows = rows.astype(np.float32)
    queries = np.concatenate([random.standard_normal((2, dims)), rows[:1]]).astype(np.float32)
    truth = Truth({"grad": rows}, {"grad": "int8"})
    coded, coded_queries = int8_coded(rows, 5), int8_coded(queries, 5)
    for index, query in enumerate(queries):
        for metric in ("dot", "cosine"):
            returned = coded @ coded_queries[index]
            if metric == "cosine":
                norms = np.linalg.norm(coded, axis=1) * np.linalg.norm(coded_queries[index])
                returned = np.divide(returned, norms, out=np.zeros(count), where=norms > 0)
            error = np.abs(returned - truth.scores({"grad": query}, metric))
            bound = truth.bounds({"grad": query}, metric, query_is_a_row=index == 2)
            assert np.all(error <= bound)
            # Not so loose that it would let nonsense through.
            assert error.max() >= bound.max() / 100


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_scores_agree_with_exact_sums(metric):
    random = np.random.default_rng(1)
    layers = {"a": random.standard_normal((9, 7)), "b": random.standard_normal((9, 33))}
    layers = {name: v.astype(np.float32) for name, v in layers.items()}
    layers["a"][4], layers["b"][4] = 0, 0
    query = {n: random.standard_normal(v.shape[1]).astype(np.float32) for n, v in layers.items()}
    truth = Truth(layers, {"a": "f32", "b": "f32"})
    for row in range(9):
        x = [float(v) for name in "ab" for v in layers[name][row]]
        q = [float(v) for name in "ab" for v in query[name]]
        expected = math.fsum(a * b for a, b in zip(x, q))
        if metric == "cosine":
            norms = math.sqrt(math.fsum(a * a for a in x) * math.fsum(b * b for b in q))
            expected = expected / norms if norms else 0.0
        assert truth.scores(query, metric)[row] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_half_is_within_its_stated_error():
    random = np.random.default_rng(2)
    magnitudes = 10.0 ** random.uniform(-8, 3, (500, 64))
    rows = (random.standard_normal((500, 64)) * magnitudes).astype(np.float32)
    query = {"grad": random.standard_normal(64).astype(np.float32)}
    truth = Truth({"grad": rows}, {"grad": "f16"})
    for metric in ("dot", "cosine"):
        error = np.abs(truth.decoded_scores(query, metric) - truth.scores(query, metric))
        assert np.all(error <= truth.bounds(query, metric))


def test_bf16_rounds_to_nearest_even():
    values = np.array([1.0, 1.00390625, 1.01171875, -2.5, 3.4e38, 0.0], np.float32)
    assert from_bf16_bits(to_bf16_bits(values)).tolist() == [
        1.0, 1.0, 1.015625, -2.5, float("inf"), 0.0,
    ]  # fmt: skip
    assert as_type([[1.0, 2.0]], "BF16").shape == (1, 2)


RIGHT = ([2, 0, 3], [5.0, 3.0, 3.0])
SCORES = np.array([3.0, 1.0, 5.0, 3.0])


def test_a_right_ranking_passes():
    oracle.assert_ranking(*RIGHT, SCORES, np.zeros(4), range(4), 3, "top")
    oracle.assert_ranking([1, 0], [1.0, 3.0], SCORES, np.zeros(4), range(4), 2, "bottom")
    assert oracle.order(SCORES, range(4), "top").tolist() == [2, 0, 3, 1]
    assert oracle.order(SCORES, range(4), "bottom").tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(
    "rows,scores",
    [
        ([2, 3, 0], [5.0, 3.0, 3.0]),
        ([2, 0], [5.0, 3.0]),
        ([2, 0, 1], [5.0, 3.0, 1.0]),
        ([0, 2, 3], [3.0, 5.0, 3.0]),
        ([2, 0, 3], [5.0, 3.5, 3.0]),
        ([2, 0, 0], [5.0, 3.0, 3.0]),
    ],
    ids=["tie", "count", "left out", "order", "score", "twice"],
)
def test_a_wrong_ranking_fails(rows, scores):
    with pytest.raises(AssertionError):
        oracle.assert_ranking(rows, scores, SCORES, np.zeros(4), range(4), 3, "top")


def test_equal_rows_out_of_order_fail():
    keys = ["a", "b", "c", "a"]
    oracle.assert_duplicates([2, 0, 3], [5.0, 3.0, 3.0], keys, range(4))
    for rows, scores in [([2, 3], [5.0, 3.0]), ([3, 0], [3.0, 3.0]), ([0, 3], [3.0, 2.0])]:
        with pytest.raises(AssertionError):
            oracle.assert_duplicates(rows, scores, keys, range(4))
