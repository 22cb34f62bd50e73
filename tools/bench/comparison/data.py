"""The rows and queries that all systems see, and the right answers."""

import numpy

import common

QUERY_COUNTS = [1, 16, 128]
TOP = 10
# Elements are standard normal: beyond this nearly none is, and int8 peers get one scale for all.
LARGEST = 5.0


class Data:
    """f16 Gaussian rows (what GradDB is fed), made from their seed whenever they are needed."""

    def __init__(self, work, rows, dims):
        self.work, self.rows, self.dims = work, rows, dims
        random = numpy.random.default_rng(2)
        self.queries = random.standard_normal((max(QUERY_COUNTS), dims), dtype=numpy.float32)
        self.gradients = common.Gradients(dims)

    def blocks(self, rows):
        """(first row, f16 block) for the first `rows` rows."""
        first = 0
        # Blocks are cut from all rows, so that a slice holds the rows that the whole begins with.
        for block in self.gradients.blocks(self.rows):
            if first >= rows:
                return
            yield first, block[: rows - first]
            first += len(block)

    def filled(self, rows, convert, dtype, width=None, target=None):
        """An array of the first rows, converted block by block."""
        array = numpy.empty((rows, width or self.dims), dtype) if target is None else target
        for first, block in self.blocks(rows):
            array[first : first + len(block)] = convert(block)
        return array

    def scores(self):
        """Scores of all rows, in f32 on what is stored: [rows, queries]."""
        transposed = numpy.ascontiguousarray(self.queries.T)
        return self.filled(
            self.rows, lambda block: block.astype(numpy.float32) @ transposed, numpy.float32,
            width=len(self.queries))


def int8(block):
    scaled = block.astype(numpy.float32) * (127 / LARGEST)
    return numpy.clip(numpy.rint(scaled), -127, 127).astype(numpy.int8)


def signs(block):
    return numpy.packbits(block > 0, axis=1)


def top_rows(scores):
    """The best rows of each query: [queries, TOP] from [rows, queries]."""
    count = min(TOP, len(scores))
    best = numpy.argpartition(-scores, count - 1, axis=0)[:count]
    order = numpy.argsort(-numpy.take_along_axis(scores, best, axis=0), axis=0)
    return numpy.take_along_axis(best, order, axis=0).T


def recall(found, truth):
    """The mean share of the right rows among those found."""
    return float(numpy.mean([
        len(set(map(int, f)) & set(map(int, t))) / len(t) for f, t in zip(found, truth)
    ]))
