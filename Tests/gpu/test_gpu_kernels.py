"""The scoring kernels' own source, on an emulated device, against the definition, to the bit."""

import concurrent.futures
import os

import gpu_memory
import numpy as np
import pytest
from gpu_layers import Layer
from gpu_memory import COSINES, MULTIPLY, NORMS, STATISTICS, STREAM, Buffer

SCALE = int(os.environ.get("GRADDB_TEST_SCALE") or 1)
ALL = [(codec, kind) for codec in gpu_memory.CODECS for kind in gpu_memory.ROWS]


def same_bits(a, b):
    return np.array_equal(np.ascontiguousarray(a).view(np.uint64), np.ascontiguousarray(b).view(np.uint64))


def check(layer, emulator, kind, generator, counting=None, before=None):
    """Scores a layer; rows that count must have the defined bits, and what is no row may not change."""
    dots = layer.score(emulator, kind, generator, counting, before)
    is_row = np.zeros(layer.output_rows, bool)
    for item, first in enumerate(layer.firsts):
        rows = layer.item_rows[item]
        is_row[first:first + rows] = True
        expected = layer.parts(item).T + (0.0 if before is None else before[:, first:first + rows])
        chosen = slice(None) if counting is None else counting[first:first + rows].astype(bool)
        got = dots[:, first:first + rows][:, chosen]
        assert same_bits(got, np.ascontiguousarray(expected[:, chosen])), (layer.codec, kind, item)
    outside = dots[:, ~is_row]
    assert np.isnan(outside).all() if before is None else same_bits(outside, before[:, ~is_row])
    return dots


def random_layer(generator, codec, kind, query_count=None, most_rows=None):
    pitch = int(generator.choice([4096, 4096, 512, 128, 64, 48]))
    most_dims = {"f32": 400, "f16": 800, "bf16": 800, "int8": 1500, "int4": 2000, "bit": 4000}[codec]
    dims = int(generator.choice([8, 16, 17, most_dims, generator.integers(8, most_dims)]))
    rows = [int(generator.choice([1, 7, 32, 33, generator.integers(1, most_rows or 600)]))
            for _ in range(generator.integers(1, 4))]
    if query_count is None:
        query_count = int(generator.choice([1, 2, 5, 8, 9, generator.integers(1, 40)]))
    return Layer(generator, codec, rows, dims, query_count, pitch)


@pytest.mark.parametrize("codec, kind", ALL)
def test_random_layers(emulator, generator, codec, kind):
    for _ in range(4 * SCALE):
        layer = random_layer(generator, codec, kind, most_rows=100 if kind == "1" else 400)
        check(layer, emulator, kind, generator)


@pytest.mark.parametrize("codec, kind", ALL)
def test_a_filter_and_a_second_layer(emulator, generator, codec, kind):
    for share in (0.5, 0.02, 0.97)[:2 if SCALE == 1 else 3]:
        layer = random_layer(generator, codec, kind, query_count=3)
        counting = (generator.random(layer.output_rows) < share).astype(np.uint8)
        before = generator.standard_normal((3, layer.output_rows))
        check(layer, emulator, kind, generator, counting, before)


@pytest.mark.parametrize("codec, kind", [pair for pair in ALL if pair[1] != "1"])
def test_as_many_queries_as_several_blocks_take(emulator, generator, codec, kind):
    for count in [300] if SCALE == 1 else [64, 65, 127, 128, 129, 300]:
        layer = Layer(generator, codec, [70], 100, count)
        check(layer, emulator, kind, generator)


@pytest.mark.parametrize("codec, kind", ALL)
def test_whole_slabs(emulator, generator, codec, kind):
    """As tables have them: slabs of 4,096 bytes, and a last one that is shorter."""
    dims = {"f32": 2500, "f16": 5000, "bf16": 5000, "int8": 9000, "int4": 18000, "bit": 70000}[codec]
    layer = Layer(generator, codec, [9, 21], dims, 2)
    assert layer.slabs == 3
    check(layer, emulator, kind, generator)


@pytest.mark.parametrize(
    "codec, kind, rows, queries",
    # 40 queries are more than a block takes at once of such rows; 99 rows are several warps'.
    [("int8", "few", 99, 40)] +
    [(codec, kind, 2, 2) for codec in ("int8", "int4") for kind in gpu_memory.ROWS])
def test_sums_of_more_than_32_bits(emulator, generator, codec, kind, rows, queries):
    # Not a multiple of the stages, so that turns meet in one of them.
    dims, least, most = (140_100, 120, 128) if codec == "int8" else (1_200_100, 14, 16)
    layer = Layer(generator, codec, [rows], dims, queries)
    layer.values[0] = generator.integers(least, most, (rows, dims))
    raw = layer.values[0].astype(np.uint8)
    if codec == "int4":
        raw = raw[:, ::2] | raw[:, 1::2] << 4
    layer.slab_buffers[0] = layer.laid_out(raw, rows, 4096)
    layer.items.array(gpu_memory.ITEM)["slabs"] = layer.slab_buffers[0].address
    layer.queries[:] = 127
    layer.lay_out_queries(generator)
    assert (layer.values[0].sum(axis=1) * 127 > 1 << 31).all()
    check(layer, emulator, kind, generator)


@pytest.mark.parametrize("codec, kind", ALL)
def test_a_tile_may_begin_at_any_row(emulator, generator, codec, kind):
    layer = Layer(generator, codec, [3, 300], 90, 2)
    counting = (generator.random(layer.output_rows) < 0.7).astype(np.uint8)
    start = int(generator.integers(1, 40))
    end = min(start + gpu_memory.ROWS[kind], 300)
    dots = layer.score(emulator, kind, generator, counting, tiles=[(1, start)])
    chosen = np.flatnonzero(counting[32:332])
    inside = chosen[(chosen >= start) & (chosen < end)]
    assert same_bits(dots[:, 32 + inside], layer.parts(1).T[:, inside])
    outside = np.setdiff1d(np.arange(layer.output_rows), 32 + np.arange(start, end))
    assert np.isnan(dots[:, outside]).all()


@pytest.mark.parametrize("codec, kind", ALL)
def test_rows_that_do_not_count_are_not_read(emulator, generator, codec, kind):
    """Their pages cannot be."""
    if gpu_memory.PAGE != 4096:
        pytest.skip("a row of a slab is not a page here")
    dims = {"f32": 1024, "f16": 2048, "bf16": 2048, "int8": 4096, "int4": 8192, "bit": 32768}[codec]
    rows = 40
    layer = Layer(generator, codec, [rows], dims, 1)
    counting = np.zeros(layer.output_rows, np.uint8)
    counting[[0, 3, 31, 32, 38]] = 1
    buffer = layer.slab_buffers[0]
    assert buffer.address % 4096 == 0 and buffer.size == rows * 4096
    for row in np.flatnonzero(counting[:rows] == 0):
        buffer.protect(buffer.address + int(row) * 4096, 4096)
    check(layer, emulator, kind, generator, counting)


@pytest.mark.parametrize("kind", gpu_memory.ROWS)
def test_all_finite_halves(emulator, generator, kind):
    """Every number that half precision has, subnormal ones, too."""
    raw = np.arange(1 << 16, dtype="<u2")
    raw = raw[np.isfinite(raw.view("<f2"))].reshape(-1, 2048)
    layer = Layer(generator, "f16", [len(raw)], 2048, 1)
    layer.values[0] = raw.view("<f2").astype(np.float64)
    layer.slab_buffers[0].array()[:] = raw.view(np.uint8).reshape(-1)
    check(layer, emulator, kind, generator)


def test_norms_and_cosines(emulator, generator):
    for is_first in (1, 0):
        layer = Layer(generator, "int8", [1, 300, 64], 8, 3)
        before = generator.random(layer.output_rows)
        norms = Buffer.of(before)
        emulator.launch("gd_norms", 3, 1, NORMS(layer.items.address, norms.address, is_first, 3))
        expected = before.copy()
        for item, first in enumerate(layer.firsts):
            squared = layer.statistics[item].array(STATISTICS)["squared_norm"]
            own = slice(first, first + len(squared))
            expected[own] = (0 if is_first else before[own]) + squared
        assert same_bits(norms.array(np.float64), expected)

        rows = layer.output_rows - 5
        dots = generator.standard_normal((3, layer.output_rows))
        of_queries = generator.random(3) + 0.1
        memory, query_norms = Buffer.of(dots), Buffer.of(of_queries)
        arguments = COSINES(
            memory.address, layer.output_rows, norms.address, query_norms.address, rows, 3)
        emulator.launch("gd_cosines", -(-rows // gpu_memory.THREADS), 3, arguments)
        lengths = np.sqrt(expected[:rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = np.where(lengths == 0, 0.0, dots[:, :rows] / (lengths * of_queries[:, None]))
        got = memory.array(np.float64).reshape(3, -1)
        assert same_bits(got[:, :rows].copy(), cosines)
        assert same_bits(got[:, rows:].copy(), dots[:, rows:].copy())


@pytest.mark.parametrize("size", [16, 48, 1000, 4096, 100_003])
def test_a_copy_is_a_copy(emulator, generator, size):
    source, target = Buffer.of(generator.integers(0, 256, size).astype(np.uint8)), Buffer(size)
    emulator.launch("gd_copy", 5, 1, STREAM(source.address, target.address, size))
    assert np.array_equal(source.array(), target.array())
    result = Buffer(8 * 5)
    emulator.launch("gd_read", 5, 1, STREAM(source.address, result.address, size))


def test_products_for_the_limit_of_the_matrix_units(emulator):
    """All threads end with as many rounds' sums as they were asked for: twice as many, twice the sums."""
    def result(rounds):
        memory = Buffer(4 * 2 * gpu_memory.THREADS)
        emulator.launch("gd_multiply_int8", 2, 1, MULTIPLY(memory.address, rounds))
        return memory.array(np.uint32).astype(np.int64)

    none, one, two = result(0), result(1), result(2)
    assert (none == 4 * sum(range(8))).all()
    assert ((two - one) % (1 << 32) == (one - none) % (1 << 32)).all()
    assert len(np.unique(one)) > 8


def test_launches_of_several_threads_at_a_time(emulator, generator):
    """The emulator's own promise, which a stand-in for a driver relies on."""
    layers = [Layer(generator, codec, [70, 40], 300, 3) for codec in ("int8", "f16", "bit", "int4")]

    def work(number):
        layer = layers[number % len(layers)]
        for kind in gpu_memory.ROWS:
            check(layer, emulator, kind, np.random.default_rng(number))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))


def test_a_kernel_that_is_not_there(emulator):
    with pytest.raises(LookupError):
        emulator.launch("gd_score_int2_1", 1, 1, gpu_memory.SCORE())
