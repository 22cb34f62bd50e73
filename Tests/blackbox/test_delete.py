"""delete: acknowledgements, every form of ids, conditions, refusals; what comes again is a new row."""

import json

import numpy as np
import pytest

import second_reader
from graddb import BAD_INPUT, USAGE
from versioned_tables import ROWS, add, agree, answer, ids, make, names

NAMES = ["plain", "with space", "é", "e\u0301", '"quoted"', "[1]", "7", "-3", "null", "true", "{}", "漢字",
         "back\\slash", "tab\tin it"]
# What is no JSON, and so is meant as it is.
PLAIN = ["with space", "é", "漢字"]


@pytest.fixture
def table(database, files):
    return make(database, files)


def test_a_delete_says_what_it_did_and_older_snapshots_keep_the_rows(table):
    before = answer(table, "AT 2")
    said = table.json("delete", "t", "--where", "n >= 30 OR n = 2", "--tag", "d", "--message", "m").line
    agree(said, snapshot=3, table="t", deleted=11, missing=0, rows=29, dry_run=False)
    assert said["seconds"] >= 0
    left = {f"x{i}" for i in range(30) if i != 2}
    assert ids(table) == ids(table, "AT 'd'") == ids(table, "", "ACROSS 'a'") == left
    assert answer(table, "AT 2") == before and len(ids(table, "AT 1")) == ROWS
    agree(table.snapshots("t")[0], snapshot=3, parent=2, operation="delete", message="m",
          checkpoint=None, rows=29, deleted=11, restored=None, tags=["d"])
    info = table.info("t")
    assert info["rows"] == 29 and [c["rows"] for c in info["checkpoints"]] == [29, 29]
    # Of all blocks, and none is rewritten.
    assert info["bytes"] == table.snapshots("t")[1]["bytes"]
    refused = table.run("query", "FROM t SCORE dot TO ROW 'x2'", "--json").expect(USAGE)
    assert "no row" in refused.error["error"]
    table.check()
    assert second_reader.problems(table.path) == []


@pytest.mark.parametrize("form", ["plain", "json", "escaped", "objects", "crlf"])
@pytest.mark.parametrize("from_file", [True, False], ids=["file", "stdin"])
def test_ids_come_in_every_form(database, files, form, from_file):
    database.create("t", ["grad:2:f32"])
    database.ingest("t", files.grad("rows.safetensors", np.ones((len(NAMES), 2))), checkpoint="a",
                    metadata=files.metadata("m.jsonl", [{"id": name} for name in NAMES]))
    gone = PLAIN if form in ("plain", "crlf") else [name for name in NAMES if name != "plain"]
    shaped = {
        "plain": str, "crlf": str, "json": lambda name: json.dumps(name, ensure_ascii=False),
        "escaped": json.dumps,
        "objects": lambda name: json.dumps({"rank": 1, "id": name, "other": {"id": "plain"}}),
    }[form]
    end = "\r\n" if form == "crlf" else "\n"
    text = (end + end.join([*map(shaped, gone + gone[:2]), ""])).encode()
    source = files.write("ids", text) if from_file else "-"
    said = database.json("delete", "t", "--ids", source, stdin=None if from_file else text).line
    agree(said, deleted=len(gone), missing=0, rows=len(NAMES) - len(gone))
    assert ids(database) == set(NAMES) - set(gone)


@pytest.mark.parametrize("text", [
    "3\n-1\n9223372036854775807",
    '{"id": 3}\n{"id": -1}\n\n{"id": 9223372036854775807, "score": 1e300}\n',
])
def test_integer_ids(database, files, text):
    numbers = [3, -1, 2**63 - 1, 0, -(2**63)]
    database.create("t", ["grad:1:f32"])
    database.ingest("t", files.grad("rows.safetensors", [[1]] * 5), checkpoint="a",
                    metadata=files.metadata("m.jsonl", [{"id": name} for name in numbers]))
    assert database.json("delete", "t", "--ids", "-", stdin=text.encode()).line["deleted"] == 3
    assert ids(database) == set(numbers[3:])


def test_what_query_and_select_print_can_be_deleted(table, tmp_path):
    chosen = table.query_result("FROM t SCORE dot TO ROW 'x1' TOP 5")
    assert table.json("delete", "t", "--ids", "-", stdin=chosen.stdout).line["deleted"] == 5
    left = ids(table)
    assert left == {f"x{i}" for i in range(ROWS)} - {line["id"] for line in chosen.lines}
    table.json("select", "t", "--coreset", "--count", 4, "--out", tmp_path / "chosen.jsonl")
    assert table.json("delete", "t", "--ids", tmp_path / "chosen.jsonl").line["deleted"] == 4
    assert len(ids(table)) == ROWS - 9


def test_missing_ids_are_refused_or_passed_over(table, files):
    state = table.state("t")
    lines = files.write("ids", "x1\nnot there\nx2\n")
    refused = table.run("delete", "t", "--ids", lines, "--json").expect(BAD_INPUT)
    assert "not there" in refused.error["error"] and refused.stdout == b""
    assert table.state("t") == state
    agree(table.json("delete", "t", "--ids", lines, "--ignore-missing").line, snapshot=3, deleted=2,
          missing=1, rows=ROWS - 2)
    # A deleted row is missing, too; another one of the same id is not.
    again = files.write("again", "x1\n\n")
    table.run("delete", "t", "--ids", again, "--json").expect(BAD_INPUT)
    agree(table.json("delete", "t", "--ids", again, "--ignore-missing").line, snapshot=3, deleted=0,
          missing=1)
    add(table, files, [1], "b")
    agree(table.json("delete", "t", "--ids", again).line, snapshot=5, deleted=1, missing=0)


def test_a_dry_run_and_a_delete_of_nothing_make_no_snapshot(table):
    state = table.state("t")
    agree(table.json("delete", "t", "--where", "n < 10", "--dry-run").line, snapshot=2, deleted=10,
          rows=30, dry_run=True)
    agree(table.json("delete", "t", "--where", "n < 0").line, snapshot=2, deleted=0, rows=40,
          dry_run=False)
    assert table.state("t") == state
    table.json("delete", "t", "--where", "s = 'none'", "--tag", "unchanged")
    assert table.info("t")["tags"] == {"first": 1, "unchanged": 2}
    state = table.state("t")
    table.run("delete", "t", "--where", "n < 10", "--dry-run", "--tag", "x", "--json")
    assert table.state("t") == state


def test_conditions_take_parameters_and_know_three_values(table):
    said = table.json("delete", "t", "--where", "n BETWEEN $low AND $high OR s IS NOT NULL",
                      "--param", "low=5", "--param", "high=7").line
    assert said["deleted"] == 3
    # Unknown is not true: no row has s.
    assert table.json("delete", "t", "--where", "s != 'a' OR NOT s = 'a'").line["deleted"] == 0
    said = table.json("delete", "t", "--where", "NOT n = 11 AND row < 12 AND id LIKE 'x1%'").line
    assert said["deleted"] == 2
    assert ids(table) == {f"x{i}" for i in range(ROWS)} - names(5, 6, 7, 1, 10)


def test_an_id_that_comes_again_is_a_new_row_with_its_own_fields_and_checkpoints(table, files):
    table.json("delete", "t", "--where", "n < 4")
    said = add(table, files, [2, 100], "b", n=-2, s="again")
    agree(said, snapshot=4, rows=2, new_rows=2, skipped=0)
    found = {line["id"]: line for line in table.query("SELECT row, n, s FROM t SCORE self ALL")}
    assert {key: found["x2"][key] for key in ("row", "n", "s")} == {"row": 40, "n": -2, "s": "again"}
    assert found["x100"]["row"] == 41 and len(found) == ROWS - 4 + 2
    # It has a vector where it came, and none from before.
    assert "x2" not in ids(table, "", "ACROSS 'a'")
    old = {line["id"]: line for line in table.query("SELECT row, n FROM t AT 2 SCORE self ALL")}
    assert (old["x2"]["row"], old["x2"]["n"]) == (2, 2)
    agree(table.snapshots("t")[0], rows=38, deleted=4)
    # To the other checkpoint it comes as the row that it is now.
    refused = table.run("ingest", "t", files.grad("v.safetensors", np.ones((1, 8))), "--checkpoint", "a",
                        "--metadata", files.metadata("v.jsonl", [{"id": "x2", "n": 2}]), "--json")
    refused.expect(BAD_INPUT)
    agree(add(table, files, [2], "a", n=-2), new_rows=0, rows=1)
    # Where it is live it is refused, as any; under --resume left out.
    agree(table.ingest("t", files.grad("v.safetensors", np.ones((2, 8))), checkpoint="a", resume=True,
                       metadata=files.metadata("v.jsonl", [{"id": "x2"}, {"id": "x3"}])),
          rows=1, new_rows=1, skipped=1)
    table.check()
    assert second_reader.problems(table.path) == []


def test_ids_that_ingests_make_up_are_new_rows_as_well(database, files):
    """The n-th row that a checkpoint receives gets n - 1: deleted rows were received."""
    database.create("t", ["grad:1:f32"])
    source = files.grad("v.safetensors", [[1], [2], [3]])
    database.ingest("t", source, checkpoint="a")
    database.json("delete", "t", "--ids", "-", stdin=b"1\n")
    database.ingest("t", source, checkpoint="a")
    found = ids(database)
    assert len(found) == 5 and {0, 2} <= found
    assert second_reader.problems(database.path) == []


def test_all_rows_can_go_and_others_come(table, files):
    agree(table.json("delete", "t", "--where", "TRUE = TRUE").line, deleted=ROWS, rows=0)
    assert ids(table) == set()
    info = table.info("t")
    assert info["rows"] == 0 and [c["rows"] for c in info["checkpoints"]] == [0, 0]
    table.json("compact", "t")
    table.json("expire", "t", "--keep-last", 1)
    table.json("gc")
    table.check()
    # The tag keeps what it names.
    assert len(ids(table, "AT 'first'")) == ROWS
    add(table, files, [1, 2], "b", n=5)
    assert ids(table) == names(1, 2)
    assert second_reader.problems(table.path) == []


def test_rows_beyond_one_container(database, files):
    """Containers of deleted rows have 65,536: rows in several, at their ends, and again after a restore."""
    count = 3 * 65536 - 7
    database.create("t", ["grad:1:f32"])
    database.ingest("t", files.grad("v.safetensors", np.ones((count, 1))), checkpoint="a")
    ends = {0, 65535, 65536, 131071, 131072, count - 1}
    text = "".join(f"{number}\n" for number in sorted(ends)).encode()
    agree(database.json("delete", "t", "--ids", "-", stdin=text).line, deleted=6, rows=count - 6)
    where = "FROM t {at} SCORE self WHERE row IN (0, 1, 65535, 65536, 131071, 131072, 131073, %d) ALL" % (
        count - 1)
    assert {line["id"] for line in database.query(where.format(at=""))} == {1, 131073}
    agree(database.json("delete", "t", "--where", "row BETWEEN 65530 AND 65540").line, deleted=9)
    agree(database.json("restore", "t", "--to", 2).line, rows=count - 6, snapshot=4)
    assert {line["id"] for line in database.query(where.format(at=""))} == {1, 131073}
    lines = database.snapshots("t")
    assert [line["deleted"] for line in lines] == [6, 15, 6, 0] and lines[0]["hash"] == lines[2]["hash"]
    agree(database.json("restore", "t", "--to", 1).line, rows=count)
    assert {line["id"] for line in database.query(where.format(at=""))} == ends | {1, 131073}
    database.check()
    with second_reader.Database(str(database.path)) as opened:
        for snapshot, deleted in ((1, 0), (2, 6), (3, 15), (4, 6), (5, 0)):
            assert opened.table("t", snapshot).rows == count - deleted
