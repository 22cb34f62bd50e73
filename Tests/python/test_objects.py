"""What the objects show: information, history, results as tables, and the examples of the READMEs."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graddb

ROOT = Path(__file__).resolve().parents[2]


def test_information(db, table):
    assert db.tables() == ["t"] and db.info()["format_version"] == 1
    info = table.info()
    assert (info["table"], info["rows"], info["unit"]) == ("t", 200, "example")
    assert info["layers"] == [{"name": "grad", "dims": 96, "codec": "f32", "codecs": ["f32"]}]
    assert info["fields"] == [{"name": "name", "type": "string"}, {"name": "n", "type": "int"}]
    assert table.checkpoints() == [("a", 1, 0.5, 200)]
    assert repr(table) == f"<graddb.Table 't' of {db.path!r}>"
    assert repr(db) == f"<graddb.Database {db.path!r}>"


def test_sizes_and_counts(db, table):
    table.append(2 * table.vectors[:50], ids=range(50), checkpoint="b")
    db.create_table("empty", layers={"grad": (8, "bit")})
    stats = db.stats()
    assert (stats["database"], stats["garbage_bytes"]) == (db.path, 0)
    files = [os.path.getsize(Path(db.path) / name) for name in os.listdir(db.path) if name.endswith(".sst")]
    assert stats["bytes"] == sum(files) == db.info()["bytes"]
    empty, counts = stats["tables"]
    assert (empty["table"], empty["rows"], empty["vectors"], empty["amplification"]) == ("empty", 0, 0, None)
    assert (counts["rows"], counts["vectors"], counts["snapshots"], counts["checkpoints"]) == (200, 250, 2, 2)
    assert counts["live_bytes"] == stats["live_bytes"] == 250 * 96 * 4
    assert counts["codec_bytes"] == {"f32": counts["bytes"]} and counts["stored_bytes"] == counts["bytes"]
    assert stats["amplification"] == stats["bytes"] / stats["live_bytes"]
    info = table.info()
    assert all(info[key] == counts[key] for key in counts if key not in ("table", "checkpoints"))


def test_history_and_tags(table):
    assert table.tag("old") == 1 and table.tags == {"old": 1}
    result = table.append(2 * table.vectors, ids=range(200), checkpoint="b", tag="new",
                          message="twice")
    assert (result.snapshot, result.rows, result.new_rows, result.skipped) == (2, 200, 0, 0)
    newest, first = table.snapshots()
    assert (newest.snapshot, newest.parent, newest.checkpoint, newest.message, newest.tags) == (
        2, 1, "b", "twice", ["new"])
    assert (first.checkpoint, first.tags, first.rows) == ("a", ["old"], 200)
    assert (table.read([3], at="old") == table.vectors[3]).all()
    assert (table.read([3], at=1) == table.vectors[3]).all()
    assert (table.read([3], at=newest.time) == 2 * table.vectors[3]).all()
    assert (table.read([3], checkpoint="b") == 2 * table.vectors[3]).all()
    for options in ({"at": "zz"}, {"at": 9}, {"checkpoint": "zz"}, {"layer": "zz"}):
        with pytest.raises(graddb.QueryError, match="zz|9"):
            table.read([3], **options)
    with pytest.raises(graddb.QueryError):
        table.read([3], checkpoint="b", at="old")
    table.tag("old", 2)
    table.delete_tag("new")
    assert table.tags == {"old": 2}


def test_resume_leaves_out_what_is_there(table):
    more = np.vstack([table.vectors, table.vectors[:7]])
    with pytest.raises(graddb.BadInput, match="already"):
        table.append(more, ids=range(207), checkpoint="a")
    result = table.append(more, ids=range(207), checkpoint="a", resume=True)
    assert (result.rows, result.new_rows, result.skipped) == (7, 7, 200)


def test_a_result_as_a_table(table):
    result = table.query("SELECT name, id, n SCORE dot TO ROW 3 WHERE n < 6 TOP 4 BOTTOM 1")
    assert result.columns == ["query", "rank", "end", "id", "score", "name", "n"]
    assert len(result) == 5 and bool(result)
    rows = list(result)
    assert rows[0] == result[0] and rows[-1] == result[-1] and rows[4]["end"] == "bottom"
    assert all(type(row["id"]) is int and type(row["score"]) is float for row in rows)
    assert [row["name"] for row in rows] == [f"row {row['id']}" for row in rows]
    assert (result.to_numpy()["score"] == result.scores).all()
    lines = repr(result).split("\n")
    assert lines[0].split() == ["rank", "end", "id", "score", "name", "n"] and len(lines) == 6
    for key, error in (("zz", KeyError), (5, IndexError), (-6, IndexError)):
        with pytest.raises(error):
            result[key]
    assert repr(table.query("SCORE dot TO ROW 3 WHERE n < 0")) == "(no rows)"
    assert repr(table.query("SCORE dot TO ROW 3 TOP 100")).endswith("… 100 rows")


def test_an_empty_result_has_its_columns(table):
    result = table.query("SELECT name, n SCORE dot TO ROW 3 WHERE n < 0")
    assert not result and result.ids.dtype == np.int64 and list(result) == []
    assert {name: array.dtype for name, array in result.to_numpy().items()}["n"] == np.int64
    pyarrow = pytest.importorskip("pyarrow")
    assert result.to_arrow().schema.field("name").type == pyarrow.large_string()
    assert len(result.to_pandas()) == 0


def test_plans(table):
    plan = table.explain("SCORE dot TO $q TOP 4", q=table.vectors[0])
    assert "scan" in str(plan) and plan.json["plan"]["operator"] == "hydrate"
    assert "actual" not in plan.json["plan"]
    ran = table.explain("SCORE dot TO $q TOP 4", q=table.vectors[0], analyze=True)
    assert ran.json["plan"]["actual"]["rows"] == 4
    assert table.query("SCORE dot TO ROW 1 TOP 4").plan.json["plan"]["actual"]["rows"] == 4


def test_notes_go_to_the_logger(table, caplog):
    with caplog.at_level(logging.INFO, "graddb"):
        table.append({"grad": table.vectors, "other": table.vectors}, ids=range(200), checkpoint="b")
    assert "other" in caplog.text


@pytest.mark.parametrize("file", ["README.md", "tools/python/README.md"])
def test_the_examples_of_the_readmes(file, tmp_path):
    text = (ROOT / file).read_text()
    # Others are parts of a training script.
    examples = [example for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
                if example.startswith("import graddb")]
    assert examples
    for example in examples:
        done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True,
                              text=True, env={**os.environ})
        assert done.returncode == 0, done.stderr
