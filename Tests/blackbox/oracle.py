"""What the answers must be, in float64, and how far a codec may stray.

A `Truth` holds a table's vectors as they were given (float32 values, one array per layer, rows in
row-number order). For a query it gives every row's true score and a bound on the error of the
score that the database returns. Three kinds of score meet here:

- *original*: over the vectors as given. The stored codec and the coding of the query add error.
- *decoded*: over what the codec decodes to. f32 stores the vectors as they are, f16 rounds them
  to IEEE halves and the query stays f32, so the decoded vectors are known exactly and only the
  order of a float64 sum is left open. int8 rotates by seeds that no command shows, so its decoded
  vectors are not known here; the bounds below hold for it instead.
- *returned*: what gradctl printed.

The bounds for int8. Rotation keeps dot products, and gives x' with |x'| = |x|. The scale is
s = max|x'| / 127, so each coordinate is off by at most s/2, and

    dot(x' + e, q' + d) - dot(x', q') = <e, q'> + <x', d> + <e, d>.

Certain: |e| <= sqrt(K) s / 2, and max|x'| <= |x|. That is sharp enough for few dimensions.
For many, two facts about the rotation's random signs serve. Every rotated coordinate is a sum of
p terms with random signs over sqrt(p), p the largest power of two in K, so by Hoeffding's bound
max|x'| <= |x| sqrt(2 ln(2 K / f) / p), except with probability f. And rounding errors are nearly
independent with variance s^2 / 12, so that <e, q'> has the standard deviation s |q| / sqrt(12).
f = 1e-9 and 6 standard deviations make a false alarm unlikely in thousands of rows; as all data
are seeded, a test that passes does not begin to fail by chance.
"""

from functools import cached_property

import numpy as np

SIGMAS = 6.0
FAILURE = 1e-9
# float64 sums of up to 65,536 products in any order, relative to |x| |q|: K/2 ulps at the worst.
SUM_SLACK = 1e-11
# The float32 arithmetic of rotating and of finding scales, relative to |x| |q|.
ROTATION_SLACK = 2e-6


def decode(codec, vectors):
    """The float64 vectors that f32 or f16 stores for these float32 ones."""
    if codec == "f32":
        return vectors.astype(np.float64)
    if codec == "f16":
        return vectors.astype(np.float16).astype(np.float64)
    raise ValueError(f"what {codec} decodes to depends on its seed")


def rotated_maximum(dims):
    """A bound on max|x'| / |x| after rotation."""
    power = 1 << (dims.bit_length() - 1)
    return min(1.0, np.sqrt(2 * np.log(2 * dims / FAILURE) / power))


def int8_errors(dims):
    """Bounds relative to the norms: (of <e, q'> over |x| |q|, of <e, d>, of the norm)."""
    scale = rotated_maximum(dims) / 127
    certain = np.sqrt(dims) * scale / 2
    likely = SIGMAS * scale / np.sqrt(12)
    energy = dims * scale * scale / 12
    linear = min(certain, likely + 1e-12)
    # The two errors are the same vector when a row is asked about itself: no cancelling then.
    quadratic = min(certain * certain, 1.5 * energy + SIGMAS * scale * scale * np.sqrt(dims) / 12)
    return linear, quadratic, min(certain, linear + quadratic)


def row_sums(rows, factors):
    """Sums of products by row. Unlike a BLAS product it gives equal rows equal sums."""
    return (rows * factors).sum(axis=1)


class Truth:
    """A table's vectors as given, its codecs, and the scores that follow from them."""

    def __init__(self, layers, codecs):
        self.layers = {name: np.asarray(v, dtype=np.float32) for name, v in layers.items()}
        self.codecs = codecs
        self.count = len(next(iter(self.layers.values())))

    def restricted_to(self, layers):
        """The truth over some of the layers only."""
        chosen = {name: self.layers[name] for name in layers}
        return Truth(chosen, {name: self.codecs[name] for name in layers})

    def scores(self, query, metric):
        """True scores over the original vectors. `query` maps layers to one vector each."""
        return self._scores(query, metric, lambda codec, v: v.astype(np.float64))

    def decoded_scores(self, query, metric):
        return self._scores(query, metric, decode)

    def _scores(self, query, metric, as_float64):
        dots = np.zeros(self.count)
        row_squares = np.zeros(self.count)
        query_square = 0.0
        for name, vectors in self.layers.items():
            rows = as_float64(self.codecs[name], vectors)
            q = np.asarray(query[name], dtype=np.float32).astype(np.float64)
            dots += row_sums(rows, q)
            row_squares += row_sums(rows, rows)
            query_square += (q * q).sum()
        if metric == "dot":
            return dots
        norms = np.sqrt(row_squares) * np.sqrt(query_square)
        return np.divide(dots, norms, out=np.zeros(self.count), where=norms > 0)

    @cached_property
    def norms(self):
        """Per layer, the norms of the original rows."""
        return {
            name: np.linalg.norm(vectors.astype(np.float64), axis=1)
            for name, vectors in self.layers.items()
        }

    def norms_together(self):
        return np.sqrt(sum(norms**2 for norms in self.norms.values()))

    def bounds(self, query, metric, query_is_a_row=False):
        """How far each returned score may be from `scores`: the stated error of the codecs."""
        dot_bound = np.zeros(self.count)
        norm_error_square = np.zeros(self.count)
        query_error_square, query_square, row_squares = 0.0, 0.0, np.zeros(self.count)
        for name, norms in self.norms.items():
            q = np.asarray(query[name], dtype=np.float64)
            query_norm = np.linalg.norm(q)
            row, both, norm = self._relative_errors(name, query_is_a_row)
            dot_bound += norms * query_norm * (row + both)
            # f16's subnormals are spaced by 2^-24, which no relative bound covers.
            if self.codecs[name] == "f16":
                dot_bound += 2.0**-25 * np.abs(q).sum()
                dot_bound += 2.0**-25 * np.sqrt(len(q)) * norms * query_is_a_row
                norm_error_square += 2.0**-50 * len(q)
            norm_error_square += (norm * norms) ** 2
            query_error_square += (norm * query_norm) ** 2
            row_squares += norms**2
            query_square += query_norm**2
        if metric == "dot":
            return dot_bound
        product = np.sqrt(row_squares * query_square)
        norms = np.sqrt(row_squares)
        safe = product > 0
        bound = np.zeros(self.count)
        relative_norm = np.sqrt(norm_error_square[safe]) / norms[safe]
        relative_norm += np.sqrt(query_error_square / query_square) if query_square else 0
        cosine = np.abs(self.scores(query, "cosine")[safe])
        # 1 / (1 - r) <= 1 + 2 r for the small r met here.
        bound[safe] = (dot_bound[safe] / product[safe] + cosine * relative_norm) * (
            1 + 2 * relative_norm
        )
        return bound

    def _relative_errors(self, layer, query_is_a_row):
        """(terms with one error, the term with both, the norm's error), relative to the norms."""
        codec = self.codecs[layer]
        dims = self.layers[layer].shape[1]
        if codec == "f32":
            return SUM_SLACK, 0.0, SUM_SLACK
        if codec == "f16":
            half = 2.0**-11
            return (2 if query_is_a_row else 1) * half + SUM_SLACK, half * half, half
        linear, quadratic, norm = int8_errors(dims)
        # A stored row that becomes the query is decoded and coded again: twice the error.
        query_errors = 2 if query_is_a_row else 1
        return (
            linear * (1 + query_errors) + ROTATION_SLACK,
            quadratic * query_errors,
            norm * query_errors + ROTATION_SLACK,
        )

    def sum_bounds(self, query, metric):
        """What the order of a float64 sum may change, for `decoded_scores`."""
        if metric == "cosine":
            return np.full(self.count, 4 * SUM_SLACK)
        norms = self.norms
        return SUM_SLACK * sum(
            norms[name] * np.linalg.norm(np.asarray(query[name], dtype=np.float64))
            for name in self.layers
        )


def order(scores, candidates, end):
    """Candidate row numbers, best first: ties by row number at both ends."""
    candidates = np.asarray(candidates, dtype=np.int64)
    key = scores[candidates] if end == "bottom" else -scores[candidates]
    return candidates[np.lexsort((candidates, key))]


def assert_ranking(returned_rows, returned_scores, true, bounds, candidates, k, end):
    """The returned rows are a right answer, given true scores that are known within bounds.

    Checks the count, that only candidates are returned and each once, each score, that the scores
    fall (rise, at the bottom) with equal ones in row order, and that no row stands before, or
    instead of, one whose true score is better by more than both rows' bounds.
    """
    rows = np.asarray(returned_rows, dtype=np.int64)
    scores = np.asarray(returned_scores, dtype=np.float64)
    candidates = np.asarray(candidates, dtype=np.int64)
    assert len(rows) == min(k, len(candidates)), "a wrong number of rows"
    assert len(set(rows.tolist())) == len(rows), "a row was returned twice"
    assert set(rows.tolist()) <= set(candidates.tolist()), "a row that the filter excludes"
    errors = np.abs(scores - true[rows])
    worst = int(np.argmax(errors - bounds[rows])) if len(rows) else 0
    assert np.all(errors <= bounds[rows]), (
        f"row {rows[worst]} scores {scores[worst]}, truly {true[rows[worst]]}, "
        f"bound {bounds[rows[worst]]}"
    )
    sign = 1.0 if end == "top" else -1.0
    steps = np.diff(sign * scores)
    assert np.all(steps <= 0), "scores are not in order"
    assert np.all(np.diff(rows)[steps == 0] > 0), "ties are not in the order of row numbers"
    # The certain part of the order: no later row, and no row left out, was surely better.
    low, high = sign * true - bounds, sign * true + bounds
    left_out = np.setdiff1d(candidates, rows, assume_unique=True)
    best_after = low[left_out].max() if len(left_out) else -np.inf
    for position in range(len(rows) - 1, -1, -1):
        row = rows[position]
        assert best_after <= high[row], f"row {row} at rank {position + 1} is surely not that good"
        best_after = max(best_after, low[row])


def assert_duplicates(returned_rows, returned_scores, keys, candidates):
    """Rows with the same stored vector score the same, and the first of them come first.

    `keys` has one hashable value per row, equal where the stored vectors are equal.
    """
    position = {int(row): p for p, row in enumerate(returned_rows)}
    groups = {}
    for row in map(int, candidates):
        groups.setdefault(keys[row], []).append(row)
    for rows in groups.values():
        returned = [row for row in rows if row in position]
        assert returned == rows[: len(returned)], f"of equal rows {rows} not the first: {returned}"
        places = [position[row] for row in returned]
        assert places == sorted(places), f"equal rows are not in row order: {returned}"
        assert len({returned_scores[p] for p in places}) <= 1, f"equal rows differ: {returned}"
