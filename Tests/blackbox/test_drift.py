"""`gradctl drift` against definitions (drift_tables.py), and its answers against statements."""

import signal
import time

import numpy as np
import pytest

from drift_tables import CODECS, History, split
from graddb import CORRUPT, INTERRUPTED, IO, NOT_FOUND, OK, USAGE, finish
from terminal import run_on_terminal


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


def test_deleted_rows_do_not_count(database, files, tmp_path):
    table = History(database, files, {"grad": (50, "int8"), "more": (20, "f16")}, rows=200)
    out = tmp_path / "rows.jsonl"
    database.json("delete", "t", "--where", "n % 10 = 3")
    table.expect(out=out, keep=lambda n: n % 10 != 3)
    table.expect("--where", "n < 50", out=out, keep=lambda n: n < 50 and n % 10 != 3)
    table.expect("--at", 3, out=out)
    # Ids that come again are other rows, which have vectors where they came.
    table.has_early = [n for n in table.has_early if n % 10 != 3] + [13, 23]
    table.has_late = [n for n in table.has_late if n % 10 != 3]
    table.ingest("early", table.early, [13, 23])
    table.expect(out=out)
    database.json("compact", "t", "--all")
    table.expect(out=out)
    database.json("restore", "t", "--to", 0)
    database.run("drift", "t", "--from", "early", "--to", "late", "--json").expect(USAGE)


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
    vectors = random.standard_normal((24000, 512)).astype(np.float32)
    database.create("t", ["grad:512:f32"], row_group=512)
    source = files.grad("v.safetensors", vectors)
    for checkpoint in ("a", "b"):
        database.ingest("t", source, checkpoint=checkpoint)
    both = ["drift", "t", "--from", "a", "--to", "b"]
    out = tmp_path / "rows.jsonl"
    screen = run_on_terminal(*both, "--out", out, "--db", database.path, stream="stderr")
    assert screen.status == OK and "comparing" in screen.terminal
    assert len(out.read_text().splitlines()) == 24000
    out.unlink()
    process = database.start(*both, "--json", "--out", out)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.status == INTERRUPTED and result.stdout == b"", result
    assert not out.exists() and list(tmp_path.glob("*.partial")) == []
