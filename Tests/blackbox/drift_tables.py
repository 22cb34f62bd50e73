"""A table whose rows differ between two checkpoints, and what `gradctl drift` must say of it.

Rows are encoded by the second reader (tools/reader); sums are exact integers, or in float64 in the order that
codecs.md defines. So dot products, norms and cosines must be the same doubles; means are sums in another
order, and quantiles lie in narrow bins.
"""

import json
import sys

import numpy as np
import pytest

from graddb import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools" / "reader"))

import codec as reader  # noqa: E402
from xxh3 import xxh3  # noqa: E402

CODECS = ["f32", "f16", "bf16", "int8", "int4", "bit"]
EDGES = [(i - 10) / 10 for i in range(21)]
SHARES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def row_dots(codec, a, b):
    """Row by row, as codecs.md defines a score of which one row is the query."""
    if codec in reader.ROTATED:
        sums = (a.values.astype(np.int64) * b.values.astype(np.int64)).sum(axis=1)
        return sums.astype(np.float64) * (a.scales.astype(np.float64) * b.scales.astype(np.float64))
    total = np.zeros(len(a.values))
    step = reader.slab_dims(codec)
    for start in range(0, a.values.shape[1], step):
        part = slice(start, start + step)
        products = a.values[:, part].astype(np.float64) * b.values[:, part].astype(np.float64)
        total = total + reader.fold_lanes(products)
    return total


def divided(numerator, denominator, defined):
    return [n / d if ok else None for n, d, ok in zip(numerator, denominator, defined)]


def lengths(encoded):
    """Norms over some layers together."""
    total = np.zeros(len(encoded[0].squared_norms))
    for part in encoded:
        total = total + part.squared_norms
    return np.sqrt(total)


class History:
    """A table whose rows differ between two checkpoints, and what drift must say of it.

    `late` has other rows than `early`, in another order, in two segments. Row n has the id `r<n>`.
    """

    def __init__(self, database, files, layers, rows=300, seed=1, unit=None, row_group=64):
        random = np.random.default_rng(seed)
        self.database, self.files, self.layers = database, files, layers
        name = (lambda n: f"e{n // 7}/{n % 7}") if unit == "token" else (lambda n: f"r{n}")
        self.ids = [name(n) for n in range(rows)]
        self.early = {k: random.standard_normal((rows, d)).astype(np.float32) for k, (d, _) in layers.items()}
        turn = random.uniform(-1, 1, (rows, 1))
        self.late = {
            k: (turn * v + random.uniform(0, 1, (rows, 1)) * random.standard_normal(v.shape))
            .astype(np.float32) * np.float32(random.uniform(0.2, 5))
            for k, v in self.early.items()
        }
        first = next(iter(layers))
        for vectors in self.early.values():
            vectors[[3, 40]] = 0
        for vectors in self.late.values():
            vectors[[3, 77]] = 0
            vectors[50:60] = self.early[first][50:60] if vectors is self.late[first] else vectors[50:60]
        self.early[first][90], self.late[first][91] = 0, 0
        # Rows at the ends of both, and some in the middle, are at one checkpoint only.
        self.has_early = [n for n in range(rows - 5) if n % 41 != 20]
        late = [n for n in random.permutation(rows).tolist() if n % 37 != 11]
        self.has_late = late[: rows // 3] + sorted(late[rows // 3:])
        words = [f"{k}:{d}:{c}" for k, (d, c) in layers.items()]
        database.create("t", words, ["n:int"], row_group=row_group, unit=unit)
        self.ingest("early", self.early, self.has_early)
        self.ingest("late", self.late, self.has_late[: rows // 2])
        self.ingest("late", self.late, self.has_late[rows // 2:])

    def ingest(self, checkpoint, vectors, rows):
        metadata = self.files.metadata(
            f"{checkpoint}.jsonl", [{"id": self.ids[n], "n": n} for n in rows])
        source = self.files.tensors(
            f"{checkpoint}.safetensors", {k: v[rows] for k, v in vectors.items()})
        self.database.ingest("t", source, checkpoint=checkpoint, metadata=metadata)

    def rows(self, layers=None, keep=lambda n: True, codecs=None):
        """What --out has, in order."""
        layers = layers or list(self.layers)
        codecs = codecs or {k: c for k, (_, c) in self.layers.items()}

        def encoded(vectors, k):
            return reader.encode_rows(codecs[k], xxh3(k.encode()), vectors[k])

        from_rows, to_rows = [[encoded(v, k) for k in layers] for v in (self.early, self.late)]
        dots = [row_dots(codecs[k], a, b) for k, a, b in zip(layers, from_rows, to_rows)]
        sums = np.zeros(len(self.ids))
        for part in dots:
            sums = sums + part
        from_norms, to_norms = lengths(from_rows), lengths(to_rows)
        both = (from_norms > 0) & (to_norms > 0)
        cosines = divided(sums, from_norms * to_norms, both)
        ratios = divided(to_norms, from_norms, from_norms > 0)
        by_layer = []
        for d, a, b in zip(dots, from_rows, to_rows):
            norms = lengths([a]), lengths([b])
            by_layer.append((
                divided(d, norms[0] * norms[1], (norms[0] > 0) & (norms[1] > 0)),
                divided(norms[1], norms[0], norms[0] > 0)))
        late, early = set(self.has_late), set(self.has_early)
        order = [n for n in self.has_early if keep(n)]
        order += [n for n in self.has_late if n not in early and keep(n)]
        result = []
        for n in order:
            paired = n in early and n in late
            row = {
                "id": self.ids[n], "cosine": cosines[n] if paired else None,
                "ratio": ratios[n] if paired else None,
                "from_norm": float(from_norms[n]) if n in early else None,
                "to_norm": float(to_norms[n]) if n in late else None,
            }
            parts = [(c[n], r[n]) for c, r in by_layer] if paired else []
            result.append((n, row, parts))
        return layers, result

    def expect(self, *arguments, out, **chosen):
        """Runs drift and compares all of it."""
        layers, rows = self.rows(**chosen)
        result = self.database.json(
            "drift", "t", "--from", "early", "--to", "late", "--out", out, *arguments)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        for row, line, (_, _, parts) in zip((r for _, r, _ in rows), lines, rows):
            if len(layers) > 1 and parts:
                row = {**row, "cosines": {k: c for k, (c, _) in zip(layers, parts)}}
            assert line == row
        assert len(lines) == len(rows)
        paired = [(n, row, parts) for n, row, parts in rows if parts]
        turned, by_layer, summary = split(result.lines)
        ranked = sorted((row["cosine"], n) for n, row, _ in paired if row["cosine"] is not None)
        assert [t["rank"] for t in turned] == list(range(1, len(turned) + 1))
        assert [t["id"] for t in turned] == [self.ids[n] for _, n in ranked[: len(turned)]]
        assert len(turned) == min(10, len(ranked))
        at = {line["id"]: line for line in lines}
        for t in turned:
            assert {**at[t["id"]], "rank": t["rank"]} == t
        assert [line["layer"] for line in by_layer] == layers
        for number, line in enumerate(by_layer):
            assert line["rows"] == len(paired)
            dims, codec = self.layers[line["layer"]]
            stored = (chosen.get("codecs") or {}).get(line["layer"], codec)
            assert (line["dims"], line["codec"]) == (dims, stored)
            spread(line, [parts[number] for _, _, parts in paired])
        spread(summary, [(row["cosine"], row["ratio"]) for _, row, _ in paired])
        assert summary["rows"] == len(paired)
        early, late = set(self.has_early), set(self.has_late)
        assert summary["from_only"] == sum(n in early and n not in late for n, _, _ in rows)
        assert summary["to_only"] == sum(n in late and n not in early for n, _, _ in rows)
        assert (summary["from"], summary["to"], summary["table"]) == ("early", "late", "t")
        return summary, result


def split(lines):
    """Rows that turned most, layers, the summary; queries are in none of them."""
    plain = [line for line in lines if "query" not in line]
    return [p for p in plain if "rank" in p], [p for p in plain if "layer" in p], plain[-1]


def spread(line, pairs):
    """Statistics of cosines and ratios, of which None are left out."""
    cosines = sorted(c for c, _ in pairs if c is not None)
    assert line["zero_rows"] == sum(c is None for c, _ in pairs)
    histogram = [0] * 20
    for c in cosines:
        histogram[max(0, min(19, sum(c >= edge for edge in EDGES) - 1))] += 1
    assert line["histogram"] == histogram
    ratios = sorted(r for _, r in pairs if r is not None)
    for found, values, close in (
        (line["cosine"], cosines, lambda v: pytest.approx(v, abs=5.001e-5)),
        (line["ratio"], ratios, lambda v: pytest.approx(v, rel=1e-3)),
    ):
        if not values:
            assert all(value is None for value in found.values())
            continue
        assert found["mean"] == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12)
        assert (found["least"], found["greatest"]) == (values[0], values[-1])
        for name, share in SHARES.items():
            assert found[name] == close(values[int(np.ceil(share * len(values))) - 1]), name
