"""--format npy and --out: whole matrices and answers in files, which are there whole or not at all."""

import json
import os
import signal
import time

import numpy as np
import pytest

from graddb import INTERRUPTED, IO, USAGE, finish
from scored_tables import LAYERS, QUERIES, ROWS, ScoredTable, WEIGHTS, groups


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    return ScoredTable(tmp_path_factory.mktemp("export"))


def export(table, statement, path):
    told = table.database.query_result(statement, "--out", path, format="npy").line
    array = np.load(path)
    assert array.dtype == np.dtype("<f8") and array.flags.c_contiguous
    assert told["output"] == str(path) and told["bytes"] == os.path.getsize(path)
    assert told["rows"] == array.shape[-1] and told["queries"] == array.shape[-2]
    with open(f"{path}.rows.jsonl") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == array.shape[-1]
    assert not [name for name in os.listdir(path.parent) if "partial" in name]
    return array, rows


@pytest.mark.parametrize("measure,reduction", [("dot", "EACH"), ("cosine", "EACH"), ("cosine", "MEAN"),
                                               ("dot", "SUM"), ("dot", "MAX"), ("self", "")])
@pytest.mark.parametrize("clause", ["", "ACROSS ALL"], ids=["newest", "all"])
def test_a_matrix_has_all_scores_in_the_order_of_rows(table, tmp_path, measure, reduction, clause):
    source = f"TO '{table.file}' {reduction}" if reduction else ""
    where = "WHERE loss >= 0"
    statement = f"SELECT source, length AS n, row FROM t SCORE {measure} {source} {clause} {where} ALL"
    array, rows = export(table, statement, tmp_path / "scores.npy")
    scores = table.scores(measure, reduction, WEIGHTS if clause else None)
    passes = [row for row in range(ROWS)
              if table.value(row, "loss") >= 0 and not np.isnan(scores[0, row])]
    assert rows == [{"id": f"r{row}", "source": table.value(row, "source"),
                     "n": table.value(row, "length"), "row": row} for row in passes]
    assert array.shape == (QUERIES if reduction == "EACH" else 1, len(passes))
    assert np.allclose(array, scores[:, passes], rtol=1e-9, atol=1e-9)
    # Bit for bit what the rows of the same statement have.
    listed = {}
    for line in table.database.query(statement):
        listed.setdefault(line["query"], {})[line["row"]] = line["score"]
    assert [[answer[row] for row in passes] for answer in listed.values()] == array.tolist()


@pytest.mark.parametrize("group", [None, "source"])
def test_a_matrix_for_each_layer(table, tmp_path, group):
    by = f"GROUP BY {group} WITH mean" if group else ""
    array, rows = export(
        table, f"SELECT * PER LAYER FROM t SCORE cosine TO '{table.file}' ACROSS ALL {by} ALL",
        tmp_path / "scores.npy")
    assert array.shape == (len(LAYERS), QUERIES, len(rows))
    for number, layer in enumerate(LAYERS):
        scores = table.scores("cosine", "EACH", WEIGHTS, layers=[layer])
        if group:
            values = [table.value(row, group) for row in range(ROWS)]
            found = [groups(answer, values, "mean") for answer in scores]
            assert [(line["id"], line["rows"]) for line in rows] == [x[:2] for x in found[0]]
            scores = np.array([[score for _, _, score, _ in answer] for answer in found])
        assert np.allclose(array[number], scores, rtol=1e-9, atol=1e-9)


def test_an_empty_matrix(table, tmp_path):
    array, rows = export(
        table, f"FROM t SCORE dot TO '{table.file}' WHERE length > 99 ALL", tmp_path / "none.npy")
    assert array.shape == (QUERIES, 0) and rows == []


@pytest.mark.parametrize("format", ["csv", "json", "jsonl"])
def test_answers_go_to_a_file(table, tmp_path, format):
    statements = f"FROM t SCORE dot TO '{table.file}' TOP 3; FROM t SCORE self TOP 2;"
    expected = table.database.query_result(statements, format=format).stdout
    path = tmp_path / "answers"
    path.write_text("old")
    told = table.database.query_result(statements, "--out", path, format=format)
    assert told.stdout == b"" and path.read_bytes() == expected
    assert os.listdir(tmp_path) == ["answers"]


def refused(table, statement, status, *arguments):
    result = table.database.run("query", statement, *arguments)
    assert result.expect(status).stdout == b""
    return result.stderr.decode()


def test_what_cannot_be_written_is_refused(table, tmp_path):
    score = f"FROM t SCORE dot TO '{table.file}'"
    path = tmp_path / "F"
    assert "ALL" in refused(table, f"{score} TOP 3", USAGE, "--format", "npy", "--out", path)
    assert "--out" in refused(table, f"{score} ALL", USAGE, "--format", "npy")
    assert "--out" in refused(table, f"{score} ALL", USAGE, "--format", "table", "--out", path)
    assert "2" in refused(table, f"{score} ALL; {score} ALL", USAGE, "--format", "npy", "--out", path)
    for column in ["rank", "query AS q"]:
        statement = f"SELECT id, {column} {score} ALL"
        assert column[-1:] in refused(table, statement, USAGE, "--format", "npy", "--out", path)
    for format in ["npy", "csv"]:
        arguments = ["--format", format, "--out"]
        refused(table, f"{score} ALL", IO, *arguments, tmp_path)
        refused(table, f"{score} ALL", IO, *arguments, "/dev/null")
        refused(table, f"{score} ALL", IO, *arguments, tmp_path / "no" / "such")
    # What fails in the middle leaves nothing either.
    refused(table, f"{score} ACROSS 'late' WEIGHT 1e308, 'early' WEIGHT 1e308 ALL", USAGE,
            "--format", "npy", "--out", path)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_export_leaves_nothing(table, tmp_path):
    """The file is begun, and the signal comes while its rows are written."""
    many = table.directory / "many.npy.safetensors"
    if not many.exists():
        random = np.random.default_rng(9)
        table.files.tensors(many.name, {layer: random.standard_normal((20_000, dims)).astype(np.float32)
                                        for layer, dims in LAYERS.items()})
    for format in ["npy", "jsonl"]:
        path = tmp_path / format
        process = table.database.start(
            "query", f"FROM t SCORE cosine TO '{many}' ACROSS ALL ALL", "--format", format, "--out", path)
        while process.poll() is None and not os.listdir(tmp_path):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert finish(process).status == INTERRUPTED
        assert os.listdir(tmp_path) == []
