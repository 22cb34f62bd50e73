"""The selecting kernels' own source, on an emulated device, against a sort."""

import os

import gpu_memory
import numpy as np
import pytest
from gpu_memory import CANDIDATE, SELECT, SELECT_PASSES, SELECT_ROWS, SELECT_STATE_BYTES, Buffer

SCALE = int(os.environ.get("GRADDB_TEST_SCALE") or 1)


def keys(scores, end):
    """Numbers that order as scores do, or for the lower end the other way round."""
    bits = (scores + 0.0).view(np.uint64)
    upwards = np.where(bits >> np.uint64(63) != 0, ~bits, bits | np.uint64(1 << 63))
    return upwards if end == 0 else ~upwards


def bound(score, end):
    """The score with the 33 leading bits of a score's key, and otherwise as far out as that allows."""
    key = int(keys(np.array([score]), end)[0]) >> 31 << 31
    key = key if end == 0 else key ^ ((1 << 64) - 1)
    key = min(max(key, 0x000FFFFFFFFFFFFF), 0xFFF0000000000000)
    bits = key & ~(1 << 63) if key >> 63 else key ^ ((1 << 64) - 1)
    return np.array([bits], np.uint64).view(np.float64)[0]


class Selection:
    def __init__(self, emulator, queries, top, bottom, capacity):
        self.emulator, self.queries, self.capacity = emulator, queries, capacity
        self.wanted = (top, bottom)
        self.floors, self.state = Buffer(16 * queries), Buffer(SELECT_STATE_BYTES * queries)
        self.floors.array()[:] = 0xA5
        self.state.array()[:] = 0xA5
        self.candidates, self.found = Buffer(16 * max(1, capacity)), Buffer(4, 4)
        self.found.array()[:] = 0xA5
        # What the floors must be.
        self.expected = np.tile([-np.inf, np.inf], (queries, 1))
        self.launch("gd_select_begin", SELECT(**self.places(), query_count=queries), queries)
        assert self.found.array(np.uint32)[0] == 0

    def places(self):
        return dict(floors=self.floors.address, state=self.state.address, candidates=self.candidates.address,
                    found=self.found.address)

    def launch(self, name, arguments, x, y=1):
        self.emulator.launch(name, x, y, arguments)

    def output(self, scores, counting=None):
        """Selects from an output, (queries, rows); checks floors and candidates."""
        queries, rows = scores.shape
        memory = np.full((queries, rows + 3), np.inf)
        memory[:, :rows] = scores
        held = Buffer.of(memory, 8)
        mask = None if counting is None else Buffer.of(gpu_memory.bit_words(counting), 4)
        arguments = SELECT(
            scores=held.address, stride=rows + 3, counting=mask.address if mask else 0, **self.places(),
            capacity=self.capacity, rows=rows, query_count=queries, top=self.wanted[0], bottom=self.wanted[1])
        blocks = -(-rows // SELECT_ROWS)
        for number in range(SELECT_PASSES):
            arguments.pass_ = number
            self.launch("gd_select_count", arguments, blocks, queries)
            self.launch("gd_select_narrow", arguments, queries)
        self.launch("gd_select_take", arguments, blocks, queries)

        counts = np.ones(rows, bool) if counting is None else counting.astype(bool)
        self.raise_floors(scores[:, counts])
        floors = self.floors.array(np.float64).reshape(queries, 2)
        assert np.array_equal(floors, self.expected), (floors, self.expected)
        found = int(self.found.array(np.uint32)[0])
        taken = self.candidates.array(CANDIDATE)[:min(found, self.capacity)].copy()
        self.found.array()[:] = 0
        self.check(scores, counts, found, taken)
        return taken

    def raise_floors(self, scores):
        for query, of_query in enumerate(scores):
            for end in (0, 1):
                wanted = self.wanted[end]
                if 0 < wanted <= len(of_query):
                    ordered = np.sort(of_query)
                    last = bound(ordered[-wanted] if end == 0 else ordered[wanted - 1], end)
                    best = max if end == 0 else min
                    self.expected[query, end] = best(self.expected[query, end], last)

    def check(self, scores, counts, found, taken):
        reached = np.zeros(scores.shape, bool)
        if self.wanted[0]:
            reached |= scores >= self.expected[:, :1]
        if self.wanted[1]:
            reached |= scores <= self.expected[:, 1:]
        reached &= counts
        assert found == reached.sum()
        places = list(zip(taken["query"].tolist(), taken["row"].tolist()))
        assert len(set(places)) == len(places)
        all_places = set(zip(*(axis.tolist() for axis in np.nonzero(reached))))
        assert set(places) <= all_places
        assert len(places) == min(len(all_places), self.capacity)
        if places:
            values = scores[taken["query"], taken["row"]]
            assert np.array_equal(values.view(np.uint64), taken["score"].copy().view(np.uint64))


def random_scores(generator, shape):
    kind = generator.integers(0, 6)
    if kind == 0:  # ties
        return generator.integers(-3, 4, shape).astype(np.float64)
    if kind == 1:  # all orders of magnitude
        return generator.standard_normal(shape) * 10.0 ** generator.integers(-300, 300, shape)
    if kind == 2:  # zeros of both signs, among a few others
        return generator.choice([0.0, -0.0, 0.0, -0.0, 1.0, -1.0], shape)
    if kind == 3:  # alike but for the last bits
        return 1.0 + generator.integers(0, 9, shape) * 2.0 ** -52
    if kind == 4:  # one value
        return np.full(shape, generator.choice([5e-324, -0.0, -7.25, np.inf, -np.inf, 1.7e308]))
    return generator.standard_normal(shape)


def best(scores, counts, wanted):
    """Rows by score, then number, from the highest."""
    rows = np.flatnonzero(counts)
    return rows[np.lexsort((rows, -(scores[rows] + 0.0)))][:wanted]


@pytest.mark.parametrize("case", range(24 * SCALE))
def test_the_best_are_among_the_candidates(emulator, generator, case):
    queries = int(generator.integers(1, 4))
    top, bottom = (int(generator.choice([0, 1, 2, 10, 100, 5000, 1 << 31])) for _ in range(2))
    selection = Selection(emulator, queries, top, bottom, 1 << 16)
    everything, counted, taken, start = [], [], [], 0
    for _ in range(generator.integers(1, 4)):
        rows = int(generator.choice([1, 31, 500, 4096, 4097, 9000]))
        scores = random_scores(generator, (queries, rows))
        counting = None
        if generator.random() < 0.5:
            counting = (generator.random(rows) < generator.choice([0.0, 0.05, 0.8])).astype(np.uint8)
        candidates = selection.output(scores, counting)
        candidates["row"] += start
        start += rows
        taken.append(candidates)
        everything.append(scores)
        counted.append(np.ones(rows, bool) if counting is None else counting.astype(bool))
    scores, counts, taken = np.concatenate(everything, 1), np.concatenate(counted), np.concatenate(taken)
    for query in range(queries):
        rows = set(taken["row"][taken["query"] == query].tolist())
        assert set(best(scores[query], counts, top).tolist()) <= rows
        assert set(best(-scores[query], counts, bottom).tolist()) <= rows


def test_few_are_taken_of_many(emulator, generator):
    """Floors are as good as 33 bits can be: of numbers that differ in them, just those wanted are taken."""
    scores = generator.permutation(20_000).astype(np.float64)[None]
    selection = Selection(emulator, 1, 100, 7, 1000)
    assert len(selection.output(scores)) == 107
    lower = scores - 50
    assert len(selection.output(lower)) == 50 + 7
    assert len(selection.output(np.clip(scores, 10, 19_800))) == 0


def test_where_there_is_no_room_for_all(emulator, generator):
    """`found` says how many there were; those that are there are right, and nothing is written behind."""
    for capacity in (0, 1, 5, 37):
        selection = Selection(emulator, 2, 30, 30, capacity)
        selection.output(generator.standard_normal((2, 5000)))
