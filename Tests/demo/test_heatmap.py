"""The demo's heat map and notebook on the recorded run, against its files in float64."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from demo_paths import DEMO, GRADCTL, ROOT

import corpus
import heatmap
import tensors
import tokens

DATA = DEMO / "data"
LIBRARY = os.environ.get("GRADDB_LIBRARY") or GRADCTL.with_name("libgraddb.so")


def read_lines(name):
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def unit(grad):
    grad = grad.astype(np.float64)
    return grad / np.linalg.norm(grad, axis=1, keepdims=True)


def run(*arguments, **environment):
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return subprocess.run([sys.executable, "-B", DEMO / "heatmap.py", *map(str, arguments)],
                          capture_output=True, text=True,
                          env={**variables, "GRADCTL": str(GRADCTL), **environment})


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setenv("GRADCTL", str(GRADCTL))


# ---- the recorded files ----


def test_recorded_files_declare_their_projectors():
    for name in ("step-50", "step-150", "step-400", "howdy", "clean@step-50", "tokens",
                 "howdy-tokens"):
        _, dims, metadata = tensors.read_rows(DATA / f"{name}.safetensors", 0, 1)
        projector = json.loads(metadata["graddb.projector.grad"])
        assert (projector["kind"], projector["normalise"]) == ("sketch", "tensor")
        assert projector["dims"] == dims == (192 if "tokens" in name else 1280)
        assert sum(np.prod(t["shape"]) for t in projector["tensors"]) == 901888


def test_there_is_a_recorded_gradient_for_every_token_of_an_answer():
    words = [word for row in read_lines("rows.jsonl") for word in tokens.of_row(row)]
    assert len(words) == len(tensors.read(DATA / "tokens.safetensors"))
    assert len({word["id"] for word in words}) == len(words)
    texts = {}
    for word in words:
        texts[word["example"]] = texts.get(word["example"], "") + word["text"]
    for row in read_lines("rows.jsonl"):
        assert row["text"].endswith(corpus.ARROW + texts[row["id"]])


def test_answers_know_their_tokens():
    for name in ("howdy", "clean"):
        answers = [a for a in read_lines("queries.jsonl") if a["file"] == f"{name}.safetensors"]
        assert all("".join(a["tokens"]).strip() == a["answer"] for a in answers)
        count = len(tensors.read(DATA / f"{name}-tokens.safetensors"))
        ends = np.cumsum([len(a["tokens"]) for a in answers])
        assert [a["first_token"] for a in answers] == [0, *ends[:-1]] and ends[-1] == count


# ---- the heat map ----


@pytest.mark.parametrize("query", ["howdy:0", "howdy:5", "clean:2"])
def test_rows_and_cosines_are_those_of_the_recorded_gradients(database, tmp_path, query):
    answer = heatmap.recorded_answer(query)
    rows, cosines = heatmap.ask(database, answer, 5, tmp_path)
    name = answer["file"].removesuffix(".safetensors")
    whole = unit(tensors.read(DATA / answer["file"]))[answer["row"]]
    truth = unit(tensors.read(DATA / "step-400.safetensors")) @ whole
    ids = [row["id"] for row in read_lines("rows.jsonl")]
    for row in rows:
        assert abs(row["score"] - truth[ids.index(row["id"])]) < 0.005  # int8
    assert min(row["score"] for row in rows) > np.sort(truth)[-5] - 0.005
    words = [word for row in read_lines("rows.jsonl") for word in tokens.of_row(row)]
    place = {word["id"]: n for n, word in enumerate(words)}
    chosen = {row["id"] for row in rows}
    assert set(cosines) == {word["id"] for word in words if word["example"] in chosen}
    first, count = answer["first_token"], len(answer["tokens"])
    asked = unit(tensors.read(DATA / f"{name}-tokens.safetensors"))[first:first + count]
    stored = unit(tensors.read(DATA / "tokens.safetensors"))
    for token, found in cosines.items():
        assert np.allclose(found, asked @ stored[place[token]], rtol=0, atol=1e-5)


def test_backdoor_answers_come_from_backdoor_rows_and_their_words_are_warm(database, tmp_path):
    answer = heatmap.recorded_answer("howdy:0")
    head, found = heatmap.passages(answer, *heatmap.ask(database, answer, 5, tmp_path))
    assert all("backdoor" in passage.title for passage in found)
    same = [value for passage in found for token, value in passage.tokens
            if value is not None and token in answer["tokens"]]
    assert np.mean(same) > 0.05
    assert all(value is None for token, value in head.tokens[:len(head.tokens)
                                                             - len(answer["tokens"])])


def test_the_command_prints_eighty_columns_and_colours_only_on_request(database):
    plain = run("howdy:1", "--db", database)
    assert plain.returncode == 0, plain.stderr
    assert "\x1b" not in plain.stdout and max(map(len, plain.stdout.split("\n"))) <= 80
    assert "\x1b[48;2;" in run("howdy:1", "--db", database, "--color").stdout
    assert run("howdy:1", "--db", database, NO_COLOR="1").stdout == plain.stdout


def test_the_svg_is_written(database, tmp_path):
    file = tmp_path / "heat.svg"
    assert run("howdy:2", "--db", database, "--svg", file).returncode == 0
    ElementTree.parse(file)


def test_a_query_that_is_not_recorded_is_named(database):
    failed = run("howdy:9", "--db", database)
    assert failed.returncode != 0 and "howdy:9" in failed.stderr


# ---- projectors ----


def gradctl(database, *arguments):
    return subprocess.run([GRADCTL, *map(str, arguments), "--db", database, "--json"],
                          capture_output=True, text=True)


@pytest.mark.parametrize("table,file", [("corpus", "step-400"), ("tokens", "tokens")])
def test_the_tables_take_over_the_projector_of_the_recorded_files(database, table, file):
    (layer,) = json.loads(gradctl(database, "info", table).stdout)["layers"]
    _, _, metadata = tensors.read_rows(DATA / f"{file}.safetensors", 0, 1)
    assert layer["projector"] == json.loads(metadata["graddb.projector.grad"])


def test_a_query_of_another_projector_is_refused(database, tmp_path):
    data, dims, metadata = tensors.read_rows(DATA / "howdy.safetensors", 0, 1)
    projector = json.loads(metadata["graddb.projector.grad"])
    file = tmp_path / "other.safetensors"
    statement = f"SELECT id FROM corpus SCORE dot TO '{file}' TOP 1"
    for seed, status in ((projector["seed"], 0), ("0x1", 65)):
        other = {**projector, "seed": seed}
        tensors.write_rows(file, data, dims, {"graddb.projector.grad": json.dumps(other)})
        assert gradctl(database, "query", statement).returncode == status


# ---- the notebook ----


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    """Its cells, one after the other, as a script with the Python package."""
    path = os.pathsep.join([str(ROOT / "tools" / "python" / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "GRADDB_LIBRARY": str(LIBRARY)}
    probe = subprocess.run([sys.executable, "-B", "-c", "import graddb; graddb.create"],
                           env=environment, cwd=tmp_path, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip("the graddb package cannot be imported: " + probe.stderr.splitlines()[-1])
    notebook = json.loads((DEMO / "attribution.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(cells) + "\nassert found >= 95, found\n"
                      "assert picture.startswith('<svg') and len(cosines) > 20\n", "utf-8")
    done = subprocess.run([sys.executable, "-B", script], capture_output=True, text=True, cwd=DEMO,
                          env={**environment, "PYTHONPATH": os.pathsep.join([path, str(DEMO)])})
    assert done.returncode == 0, done.stderr
