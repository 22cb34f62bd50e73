"""The kernels that bound dot products of 16-bit floats, on an emulated device whose matrix units round worse
than any that is known: the defined dot product, to the bit, lies within, and not far within."""

import os

import numpy as np
import pytest
from gpu_estimates import KINDS, as_float64, estimate, estimate_terms, halves, hard_layer, plane_bytes
from gpu_memory import CANDIDATE, RESCORE, STATISTICS, Buffer

SCALE = int(os.environ.get("GRADDB_TEST_SCALE") or 1)
HALVES = ["f16", "bf16"]


def check(layer, emulator, generator, counting=None, before=None):
    """Both ends of all rows that count; the greatest share of its bound that any middle is off."""
    lows, highs = estimate(layer, emulator, generator, counting, before)
    terms = estimate_terms(layer.codec, layer.queries, layer.slabs)
    is_row = np.zeros(layer.output_rows, bool)
    worst = 0.0
    for item, first in enumerate(layer.firsts):
        rows = slice(first, first + layer.item_rows[item])
        is_row[rows] = True
        chosen = slice(None) if counting is None else counting[rows].astype(bool)
        exact = layer.parts(item).T[:, chosen]
        norms = np.sqrt(layer.statistics[item].array(STATISTICS)["squared_norm"])
        bound = (terms["factor"][:, None] * norms + terms["least"][:, None])[:, chosen]
        low, high = lows[:, rows][:, chosen], highs[:, rows][:, chosen]
        if before is not None:
            assert (low <= before[0][:, rows][:, chosen] + exact).all()
            assert (high >= before[1][:, rows][:, chosen] + exact).all()
            continue
        assert (low <= exact).all() and (high >= exact).all(), (layer.codec, layer.dims)
        known = np.isfinite(low) & np.isfinite(high)
        low, high, exact, bound = low[known], high[known], exact[known], bound[known]
        slack = 2.0 ** -50 * np.maximum(abs(low), abs(high))
        assert (high - low <= 2 * bound * (1 + 1e-12) + slack).all()
        off = abs((high + low) / 2 - exact) / np.maximum(bound, 1e-300)
        worst = max(worst, float(off.max(initial=0.0)))
    for end in (lows, highs):
        outside = end[:, ~is_row]
        assert before is not None or np.isnan(outside).all()
    return worst


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", HALVES)
def test_hard_rows_lie_within(emulator, generator, codec, kind):
    for number in range(3 * SCALE):
        emulator.seed(int(generator.integers(1 << 40)))
        pitch = int(generator.choice([4096, 4096, 512, 128, 64, 48]))
        dims = int(generator.choice([8, 16, 17, 32, 700, generator.integers(8, 900)]))
        rows = [int(generator.choice([1, 7, 33, 260])) for _ in range(generator.integers(1, 3))]
        queries = int(generator.choice([1, 2, 8, 9, generator.integers(1, 40)]))
        layer = hard_layer(generator, codec, rows, dims, queries, kind, pitch)
        check(layer, emulator, generator)


@pytest.mark.parametrize("codec", HALVES)
def test_whole_slabs(emulator, generator, codec):
    for kind in ("normal", "cut", "cancelling"):
        emulator.seed(int(generator.integers(1 << 40)))
        layer = hard_layer(generator, codec, [9, 40], 5000, 3, kind)
        assert layer.slabs == 3
        check(layer, emulator, generator)


@pytest.mark.parametrize("codec", HALVES)
def test_the_bound_is_no_larger_than_it_has_to_be(emulator, generator, codec):
    """Of rows made for it, the error comes to more than a hundredth of the bound: the emulated units do err."""
    worst = 0.0
    for seed in range(8):
        emulator.seed(seed)
        layer = hard_layer(generator, codec, [40], 256, 4, "cut")
        worst = max(worst, check(layer, emulator, generator))
    assert 0.01 < worst < 1


@pytest.mark.parametrize("codec", HALVES)
def test_as_many_queries_as_several_blocks_take(emulator, generator, codec):
    for count in [130] if SCALE == 1 else [63, 64, 65, 127, 128, 130]:
        check(hard_layer(generator, codec, [70], 100, count, "wide"), emulator, generator)


@pytest.mark.parametrize("codec", HALVES)
def test_a_filter_and_a_second_layer(emulator, generator, codec):
    for share in (0.5, 0.02):
        layer = hard_layer(generator, codec, [300, 31], 200, 5, "normal")
        counting = (generator.random(layer.output_rows) < share).astype(np.uint8)
        middle = generator.standard_normal((5, layer.output_rows)) * 10.0 ** generator.integers(-9, 9)
        before = (middle - 1e-3, middle + 1e-3)
        check(layer, emulator, generator, counting, before)
        check(layer, emulator, generator, counting)


@pytest.mark.parametrize("codec", HALVES)
def test_sums_that_are_no_numbers_say_nothing(emulator, generator, codec):
    layer = hard_layer(generator, codec, [40], 64, 3, "normal")
    layer.statistics[0].array(STATISTICS)["squared_norm"][3] = np.nan
    layer.statistics[0].array(STATISTICS)["squared_norm"][5] = np.inf
    lows, highs = estimate(layer, emulator, generator)
    for row in (3, 5):
        is_zero = (layer.queries == 0).all(axis=1)
        assert (lows[:, row] == -np.inf)[~is_zero].all() and (highs[:, row] == np.inf)[~is_zero].all()
    assert np.isfinite(lows[:, [0, 1, 2, 4]]).all()
    if codec == "bf16":
        layer = hard_layer(generator, codec, [40], 512, 3, "largest")
        layer.queries[:] = layer.values[0][:3] / 1e30
        layer.lay_out_queries(generator)
        lows, highs = estimate(layer, emulator, generator)
        assert (highs[[0, 1, 2], [0, 1, 2]] == np.inf).all()


@pytest.mark.parametrize("codec", HALVES)
def test_queries_are_two_numbers_nearly(emulator, generator, codec):
    """The first is the nearest there is, ties to even; both together leave what they may."""
    layer = hard_layer(generator, codec, [1], 999, 6, "wide")
    layer.queries[0] *= 0
    layer.queries[0, :3] = [1.0, 1 + 2.0 ** -11, 1 + 3 * 2.0 ** -11]
    layer.queries[1] = generator.integers(0, 1 << 23, 999, dtype=np.uint32).view("<f4")
    layer.lay_out_queries(generator)
    terms = estimate_terms(codec, layer.queries, 1)
    made = halves(layer, emulator, Buffer.of(terms)).array().reshape(6, 2, plane_bytes(layer)).copy()
    planes = np.ascontiguousarray(made[:, :, :2 * layer.room]).view("<u2").reshape(6, 2, -1)
    values = as_float64(codec, planes)
    assert (values[:, :, 999:] == 0).all()
    scaled = (layer.queries.astype(np.float64) / terms["unit"][:, None]).astype(np.float32)
    if codec == "f16":
        assert np.array_equal(values[:, 0, :999], scaled.astype("<f2").astype(np.float64))
    left = abs(scaled.astype(np.float64) - values[:, 0, :999] - values[:, 1, :999])
    share, least = (2.0 ** -22, 2.0 ** -25) if codec == "f16" else (2.0 ** -16, 2.0 ** -134)
    assert (left <= share * abs(scaled) + least).all()


@pytest.mark.parametrize("codec", HALVES)
def test_candidates_have_exact_scores(emulator, generator, codec):
    for is_first, has_norms in ((1, False), (0, False), (0, True)):
        layer = hard_layer(generator, codec, [100, 1, 33], 2500, 7, "wide")
        exact = np.full((7, layer.output_rows), np.nan)
        for item, first in enumerate(layer.firsts):
            exact[:, first:first + layer.item_rows[item]] = layer.parts(item).T
        there = np.argwhere(~np.isnan(exact))
        for count in (0, 1, 37, 200):
            chosen = there[generator.integers(0, len(there), count)]
            candidates = np.zeros(count + 4, CANDIDATE)
            candidates["query"][:count], candidates["row"][:count] = chosen.T
            candidates["score"] = generator.standard_normal(count + 4)
            before = candidates.copy()
            memory = Buffer.of(candidates)
            room = count - 3 if count == 37 else count + 4
            found = Buffer.of(np.array([count], np.uint32), 4)
            norms = generator.random(layer.output_rows)
            norms[::5] = 0
            query_norms = generator.random(7) + 0.5
            norm_memory, query_memory = Buffer.of(norms), Buffer.of(query_norms)
            packed = layer.pack(emulator)
            arguments = RESCORE(
                layer.arguments(), packed.address, layer.items.address, memory.address,
                found.address, norm_memory.address if has_norms else 0, query_memory.address,
                len(layer.item_rows), room, is_first, 0)
            emulator.launch(f"gd_rescore_{codec}", int(generator.integers(1, 4)), 1, arguments)
            done = min(count, room)
            rows, queries = before["row"][:done], before["query"][:done]
            score = exact[queries, rows] + (0.0 if is_first else before["score"][:done])
            if has_norms:
                lengths = np.sqrt(norms[rows])
                with np.errstate(divide="ignore", invalid="ignore"):
                    score = np.where(lengths == 0, 0.0, score / (lengths * query_norms[queries]))
            before["score"][:done] = score
            assert np.array_equal(memory.array(), before.view(np.uint8))
