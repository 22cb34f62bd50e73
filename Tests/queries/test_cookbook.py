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


ASKED = [pytest.param(words, id=f"line {step.line}") for step, words in cookbook.statements(STEPS)]


@pytest.mark.parametrize("words", ASKED)
def test_a_statement_answers_what_the_oracle_says(session, tables, words):
    text = words[0]
    if "EXPLAIN" in text or "sorce" in text:
        pytest.skip("no answer")
    parameters = dict(value.split("=", 1) for flag, value in zip(words, words[1:]) if flag == "--param")
    files = QueryFiles(session.directory)
    question = query_oracle.question(tables, files, parameters, statement_reader.read(text))
    expected = query_files.rows_text(question.answer())
    flags = [word for name, value in parameters.items() for word in ("--param", f"{name}={value}")]
    said = graddb.run("query", text, *flags, "--quiet", "--json", "--db", session.database,
                      cwd=session.directory).expect(graddb.OK)
    assert question.clarity > 1e-9
    assert not query_files.differences(expected, query_files.rows_text(said.lines), 1e-6)


def test_nothing_is_left_in_the_repository(session):
    changed = subprocess.run(
        ["git", "status", "--porcelain", "tools"], cwd=cookbook.ROOT, capture_output=True, text=True)
    assert changed.returncode != 0 or "cookbook" not in changed.stdout
