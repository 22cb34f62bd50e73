"""`gradctl drift` against definitions in numpy: the second reader encodes rows, sums are exact or in float64.

Dot products, norms and cosines must be the same doubles; means are sums in another order, and quantiles
lie in narrow bins.
"""

import json
import signal
import sys
import time

import numpy as np
import pytest

from graddb import CORRUPT, INTERRUPTED, IO, NOT_FOUND, OK, REPOSITORY, USAGE, finish
from terminal import run_on_terminal

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


# More than one slab in some layer, and a last chunk, byte or lane that is not full.
@pytest.mark.parametrize("codec", CODECS)
def test_every_row_is_compared_as_scores_are_defined(database, files, tmp_path, codec):
    dims = {"f32": 1500, "f16": 2500, "bf16": 2500, "int8": 5003, "int4": 9001, "bit": 33001}[codec]
    table = History(database, files, {"first": (37, codec), "second": (dims, codec)}, rows=260)
    _, result = table.expect(out=tmp_path / "rows.jsonl")
    assert (b"stored as bits: first, second" in result.stderr) == (codec == "bit")


def test_layers_of_different_codecs(database, files, tmp_path):
    layers = {f"l{i}.{c}": (50 + 13 * i, c) for i, c in enumerate(CODECS)}
    table = History(database, files, layers, row_group=33)
    out = tmp_path / "rows.jsonl"
    table.expect(out=out)
    table.expect("--layers", "*.int?", "l0*", out=out, layers=["l0.f32", "l3.int8", "l4.int4"])
    table.expect("--layers", "*.f16", out=out, layers=["l1.f16"])


def test_conditions_tokens_and_threads(database, files, tmp_path):
    table = History(database, files, {"grad": (70, "int8")}, rows=900, unit="token", row_group=50)
    out = tmp_path / "rows.jsonl"
    table.expect(out=out)
    one, two = [
        (table.expect("--threads", n, out=out)[1].lines, out.read_bytes()) for n in (1, 2)]
    for lines in (one[0], two[0]):
        del lines[-1]["seconds"], lines[-1]["bytes"]
    assert one == two
    table.expect("--where", "n >= 100 AND n % 3 = 1", out=out, keep=lambda n: n >= 100 and n % 3 == 1)
    table.expect("--where", "token = 3", out=out, keep=lambda n: n % 7 == 3)
    table.expect("--where", "example = 'e2'", out=out, keep=lambda n: n // 7 == 2)
    # No row at all, and one that is at one checkpoint only.
    table.expect("--where", "n < 0", out=out, keep=lambda n: False)
    table.expect("--where", "n = 20", out=out, keep=lambda n: n == 20)


def test_finest_encodings_and_old_snapshots(database, files, tmp_path):
    table = History(database, files, {"grad": (90, "f32")})
    out = tmp_path / "rows.jsonl"
    table.expect(out=out)
    database.json("tag", "t", "plain")
    database.recode("t", "int8")
    codecs = {"grad": "int8"}
    table.expect(out=out, codecs=codecs)
    database.recode("t", "bit", beside=True)
    table.expect(out=out, codecs=codecs)
    table.expect("--at", "plain", out=out)
    # One segment of the later checkpoint.
    before = table.has_late
    table.has_late = before[:150]
    table.expect("--at", 2, out=out)


def ranking(database, query, checkpoint, measure, *clauses):
    """By query, what a statement says of one checkpoint: {id: (rank, score)}."""
    statement = " ".join([
        f"SELECT id FROM t SCORE {measure} TO '{query}' ACROSS '{checkpoint}'", *clauses, "ALL"])
    ranks = {}
    for line in database.query(statement):
        ranks.setdefault(line["query"], {})[line["id"]] = (line["rank"], line["score"])
    return ranks


def spearman(a, b):
    """Of the ranks that equal scores share."""
    def ranks(values):
        values = np.asarray(values)
        return [(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]

    a, b = np.asarray(ranks(a), float), np.asarray(ranks(b), float)
    return None if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("measure, top", [("cosine", 10), ("dot", 25), ("dot", 400), ("cosine", 0)])
def test_queries_are_ranked_as_statements_rank_them(database, files, measure, top):
    table = History(database, files, {"a": (60, "int8"), "b": (33, "f32")})
    for vectors in (table.early, table.late):
        for values in vectors.values():
            values[7] = values[5]
    random = np.random.default_rng(4)
    queries = {k: random.standard_normal((3, d)).astype(np.float32) for k, (d, _) in table.layers.items()}
    queries["a"][1] = 0
    query = files.tensors("q.safetensors", queries)
    condition = "n != 8 AND n < 290"
    lines = database.json(
        "drift", "t", "--from", "early", "--to", "late", "--query", query, "--measure", measure,
        "--top", top, "--where", condition).lines
    assert len(split(lines)[0]) == min(top, split(lines)[2]["rows"] - split(lines)[2]["zero_rows"])
    before, after = [
        ranking(database, query, checkpoint, measure, "WHERE", condition) for checkpoint in ("early", "late")]
    assert len(before) == 3
    by_query = {}
    for line in lines:
        if "query" in line:
            by_query.setdefault(line["query"], []).append(line)
    assert list(by_query) == list(before)
    for name, (*rows, total) in by_query.items():
        was = [i for i, (rank, _) in before[name].items() if rank <= top]
        now = [i for i, (rank, _) in after[name].items() if rank <= top]
        assert [r["id"] for r in rows] == now + [i for i in was if i not in now]
        for row in rows:
            i = row["id"]
            assert (row["from_rank"], row["from_score"]) == before[name].get(i, (None, None))
            assert (row["to_rank"], row["to_score"]) == after[name].get(i, (None, None))
            assert row["change"] == ("left" if i not in now else "stayed" if i in was else "entered")
        changes = [r["change"] for r in rows]
        assert {c: total[c] for c in ("entered", "left", "stayed")} == {
            c: changes.count(c) for c in ("entered", "left", "stayed")}
        assert (total["top"], total["measure"]) == (top, measure)
        common = [i for i in before[name] if i in after[name]]
        scores = [[ranks[name][i][1] for i in common] for ranks in (before, after)]
        assert total["rank_correlation"] == pytest.approx(spearman(*scores), abs=1e-12)


def test_queries_of_their_own_checkpoint(database, files, tmp_path):
    table = History(database, files, {"grad": (40, "f32")})
    random = np.random.default_rng(2)
    for checkpoint in ("early", "late"):
        files.grad(f"q-{checkpoint}.safetensors", random.standard_normal((1, 40)).astype(np.float32))
    lines = database.json(
        "drift", "t", "--from", "early", "--to", "late", "--top", 3,
        "--query", tmp_path / "q-{checkpoint}.safetensors").lines
    rows = [line for line in lines if "change" in line]
    for key, checkpoint in (("from", "early"), ("to", "late")):
        query = tmp_path / f"q-{checkpoint}.safetensors"
        (ranks,) = ranking(database, query, checkpoint, "cosine").values()
        first = {i: r for i, r in ranks.items() if r[0] <= 3}
        assert {r["id"]: (r[f"{key}_rank"], r[f"{key}_score"]) for r in rows
                if r[f"{key}_rank"] and r[f"{key}_rank"] <= 3} == first
    assert table.ids


def test_what_is_asked_wrongly_is_refused(database, files, tmp_path):
    table = History(database, files, {"grad": (8, "f32")})
    query = files.grad("q.safetensors", np.ones((1, 8), np.float32))
    both = ["--from", "early", "--to", "late"]
    for arguments in (
        [], ["--from", "early"], ["--from", "early", "--to", "early"], ["--from", "early", "--to", "x"],
        ["--from", "x'y", "--to", "late"], [*both, "--layers", "x*"], [*both, "--at", "x"],
        [*both, "--at", 9],
        [*both, "--where", "m = 1"], [*both, "--where", "TRUE TOP 5"], [*both, "--top", "-1"],
        [*both, "--measure", "dot"], [*both, "--measure", "x", "--query", query], [*both, "--at", 1],
    ):  # fmt: skip
        result = database.run("drift", "t", *arguments, "--json").expect(USAGE)
        assert result.stdout == b""
    database.run("drift", "u", *both).expect(NOT_FOUND)
    database.run("drift", "t", *both, "--query", tmp_path / "none.npy").expect(65)
    database.run("drift", "t", *both, "--out", tmp_path / "none" / "x").expect(IO)
    database.run("drift", "t", *both, "--out", tmp_path).expect(IO)
    assert list(tmp_path.glob("*.partial")) == []
    assert table.ids


def test_a_flipped_bit_is_an_error(database, files, tmp_path):
    table = History(database, files, {"grad": (64, "f32")})
    row = table.late["grad"][table.has_late[200]].tobytes()
    (place,) = [p for p in (tmp_path / "db").rglob("*.sst") if row in p.read_bytes()]
    content = bytearray(place.read_bytes())
    content[content.index(row) + 100] ^= 4
    place.chmod(0o644)
    place.write_bytes(content)
    out = tmp_path / "rows.jsonl"
    result = database.run(
        "drift", "t", "--from", "early", "--to", "late", "--out", out, "--json").expect(CORRUPT)
    assert result.stdout == b"" and not out.exists()
    assert "chunk" in result.error["error"]


def test_tables_fit_eighty_columns(database, files, tmp_path):
    layers = {f"layers.{i}.{'attention.' * 3}weight": (40, "int8") for i in range(3)}
    table = History(database, files, layers)
    query = files.tensors(
        "query-of-a-long-name.safetensors", {k: np.ones((1, 40), np.float32) for k in layers})
    arguments = ["drift", "t", "--from", "early", "--to", "late", "--query", query, "--db", database.path]
    screen = run_on_terminal(*arguments)
    assert screen.status == OK
    piped = database.run(*arguments[:-2], cwd=tmp_path).expect(OK).text.splitlines()
    for lines in (screen.lines, piped):
        long = [line for line in lines if len(line) > 80 and str(query) not in line]
        assert not long
    text = "\n".join(piped)
    assert "rows at both" in text and "turned most" in text and "entered" in text and "█" in text
    assert f"{len(set(table.has_early) - set(table.has_late))} only at early" in text
    quiet = database.run("drift", "t", "--from", "early", "--to", "late", "--quiet").expect(OK)
    assert quiet.stdout == b"" and quiet.stderr == b""


def test_progress_and_interruption(database, files, tmp_path):
    random = np.random.default_rng(1)
    vectors = random.standard_normal((60000, 512)).astype(np.float32)
    database.create("t", ["grad:512:f32"], row_group=512)
    source = files.grad("v.safetensors", vectors)
    for checkpoint in ("a", "b"):
        database.ingest("t", source, checkpoint=checkpoint)
    both = ["drift", "t", "--from", "a", "--to", "b"]
    out = tmp_path / "rows.jsonl"
    screen = run_on_terminal(*both, "--out", out, "--db", database.path, stream="stderr")
    assert screen.status == OK and "comparing" in screen.terminal
    assert len(out.read_text().splitlines()) == 60000
    out.unlink()
    process = database.start(*both, "--json", "--out", out)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.status == INTERRUPTED and result.stdout == b"", result
    assert not out.exists() and list(tmp_path.glob("*.partial")) == []
