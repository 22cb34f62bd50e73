"""docs/cookbook.md: its commands print what it says, and its statements answer what the oracle says."""

import json
import os
import subprocess

import numpy as np
import pytest

import cookbook
import query_files
import query_oracle
import statement_reader
from query_tables import graddb

TEXT = (cookbook.ROOT / "docs" / "cookbook.md").read_text("utf-8")
STEPS = cookbook.steps(TEXT)
DATA = cookbook.ROOT / "tools" / "demo" / "data"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The whole document, run once: what each command did."""
    if not os.access(cookbook.GRADCTL, os.X_OK):
        pytest.exit(f"no gradctl at {cookbook.GRADCTL}: build it, or set GRADCTL", returncode=2)
    found = cookbook.Session(tmp_path_factory.mktemp("cookbook"))
    found.printed = {step.line: found.run(step.command) for step in STEPS}
    return found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"line {step.line}")
def test_a_command_prints_what_the_document_says(session, step):
    status, printed = session.printed[step.line]
    assert cookbook.same(step.expected, printed), f"exit {status}\n{printed}"
    assert (status == 0) != step.expected.startswith("gradctl: ")


# ---- against the oracle ----


def tensor(path, name):
    """One tensor of a safetensors file in float64."""
    blob = path.read_bytes()
    start = 8 + int.from_bytes(blob[:8], "little")
    about = json.loads(blob[8:start])[name]
    first, last = about["data_offsets"]
    kind = {"F16": "<f2", "F32": "<f4"}[about["dtype"]]
    return np.frombuffer(blob[start + first:start + last], kind).reshape(about["shape"]).astype(np.float64)


@pytest.fixture(scope="module")
def tables(session):
    """The tables that the document makes."""
    def table(name, fields, rows, checkpoints, layers=("grad",), unit="example"):
        there = []
        for checkpoint, weight, path in checkpoints:
            vectors = {layer: tensor(path, layer) for layer in layers}
            there.append(query_oracle.Checkpoint(checkpoint, weight, vectors, np.ones(len(rows), bool)))
        return query_oracle.Table(name, list(layers), fields, rows, there, unit)

    def read(path):
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    weights = {"step-50": 1e-3, "step-150": 8.571e-4, "step-400": 5e-4}
    corpus = table("corpus", {"source": "string", "backdoor": "bool", "tokens": "int", "text": "string"},
                   read(DATA / "rows.jsonl"), [(n, w, DATA / f"{n}.safetensors") for n, w in weights.items()])
    early = query_oracle.Table("corpus", ["grad"], corpus.fields, corpus.rows, corpus.checkpoints[:2])
    corpus.snapshots = {2: early, 3: corpus}
    corpus.preconditioners["fisher"] = query_oracle.preconditioner(corpus)
    words = table("words", {"example": "string", "position": "int", "text": "string"},
                  read(session.directory / "words.jsonl"), [("step-400", None, DATA / "tokens.safetensors")],
                  unit="token")
    layered = table("layered", {}, [{"id": n} for n in range(40)],
                    [("only", None, session.directory / "layers.safetensors")], ("embed", "mlp"))
    return {"corpus": corpus, "words": words, "layered": layered}


class QueryFiles(dict):
    """Query files of the session, read when they are asked for."""

    def __init__(self, directory):
        super().__init__()
        self.directory = directory

    def __missing__(self, path):
        layers = ("embed", "mlp") if path == "question.safetensors" else ("grad",)
        self[path] = {layer: tensor(self.directory / path, layer) for layer in layers}
        return self[path]


ASKED = [pytest.param(words, id=f"line {step.line}") for step, words in cookbook.statements(STEPS)
         if not step.expected.startswith("gradctl: ") and not words[0].startswith("EXPLAIN")]


@pytest.mark.parametrize("words", ASKED)
def test_a_statement_answers_what_the_oracle_says(session, tables, words):
    text = words[0]
    parameters = dict(value.split("=", 1) for flag, value in zip(words, words[1:]) if flag == "--param")
    files = QueryFiles(session.directory)
    question = query_oracle.question(tables, files, parameters, statement_reader.read(text))
    expected = query_files.rows_text(question.answer())
    flags = [word for name, value in parameters.items() for word in ("--param", f"{name}={value}")]
    said = graddb.run("query", text, *flags, "--quiet", "--json", "--db", session.database,
                      cwd=session.directory).expect(graddb.OK)
    assert question.clarity > 1e-9
    assert not query_files.differences(expected, query_files.rows_text(said.lines), 1e-6)


# ---- what is no statement ----


def read_lines(session, name):
    return [json.loads(line) for line in (session.directory / name).read_text("utf-8").splitlines()]


def unit_rows(tables):
    """Rows of the last checkpoint, each of length 1, and their ids."""
    grad = tables["corpus"].checkpoints[-1].vectors["grad"]
    return grad / np.linalg.norm(grad, axis=1, keepdims=True), [row["id"] for row in tables["corpus"].rows]


def test_what_helps_a_task_is_the_top_of_a_statement(session, tables):
    rows, ids = unit_rows(tables)
    queries = tensor(session.directory / "clean.safetensors", "grad")
    means = (rows @ (queries / np.linalg.norm(queries, axis=1, keepdims=True)).T).mean(axis=1)
    clean = [n for n, row in enumerate(tables["corpus"].rows) if not row["backdoor"]]
    best = sorted(clean, key=lambda n: -means[n])[:(len(clean) + 19) // 20]
    chosen = read_lines(session, "chosen.jsonl")
    assert [line["id"] for line in chosen] == [ids[n] for n in best]
    assert np.allclose([line["score"] for line in chosen], means[best], rtol=0, atol=1e-9)


def test_exported_scores_are_the_cosines_of_all_rows(session, tables):
    rows, ids = unit_rows(tables)
    queries = tensor(session.directory / "howdy.safetensors", "grad")
    scores = np.load(session.directory / "scores.npy")
    assert scores.shape == (8, 2200) and scores.dtype == np.float64
    cosines = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ rows.T
    assert np.allclose(scores, cosines, rtol=0, atol=1e-12)
    assert [line["id"] for line in read_lines(session, "scores.npy.rows.jsonl")] == ids


def test_a_cover_goes_to_the_farthest_row_each_time(session, tables):
    rows, ids = unit_rows(tables)
    found = read_lines(session, "cover.jsonl")
    assert len(found) == 110 and found[0]["id"] == ids[int((rows @ rows.mean(axis=0)).argmax())]
    distances = 1 - rows @ rows[ids.index(found[0]["id"])]
    for line in found[1:]:
        row = ids.index(line["id"])
        assert distances[row] > distances.max() - 1e-9 and abs(line["score"] - distances[row]) < 1e-9
        distances = np.minimum(distances, 1 - rows @ rows[row])


def test_duplicates_are_all_pairs_that_near(session, tables):
    rows, ids = unit_rows(tables)
    cosines = np.triu(rows @ rows.T, 1)
    near = {frozenset((ids[i], ids[j])) for i, j in zip(*np.nonzero(cosines >= 0.98))}
    groups = [set(line["ids"]) for line in read_lines(session, "duplicates.jsonl")]
    assert sum(len(group) for group in groups) == len(set.union(*groups))
    assert all(any(pair <= group for group in groups) for pair in near)
    for group in groups:  # connected by such pairs alone
        reached = {min(group)}
        while more := {i for pair in near if pair & reached for i in pair} - reached:
            reached |= more
        assert reached == group


def test_nothing_is_left_in_the_repository(session):
    changed = subprocess.run(
        ["git", "status", "--porcelain", "tools"], cwd=cookbook.ROOT, capture_output=True, text=True)
    assert changed.returncode != 0 or "cookbook" not in changed.stdout
