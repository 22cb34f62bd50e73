"""Wrong uses of what makes and removes snapshots: the status, one message that helps, no trace."""

import numpy as np
import pytest

from gradient_files import Files, frame, safetensors
from graddb import BAD_INPUT, LOCKED, NOT_FOUND, OK, USAGE, Database, finish, run
from versioned_tables import DIMS, ids, make

ASK = "SELECT row, * FROM t SCORE self ALL"
# (status, arguments, what the message says): over a table t with snapshots 2 … 4, a tag `first` at 2,
# snapshot 1 expired, and the integer table u without a row.
CASES = [
    (USAGE, ["restore", "t"], "--to"),
    (USAGE, ["restore", "t", "--to", 5], "5"),
    (USAGE, ["restore", "t", "--to", -1], ""),
    (USAGE, ["restore", "t", "--to", 1], "expired"),
    (USAGE, ["restore", "t", "--to", "frist"], "first"),
    (USAGE, ["restore", "t", "--to", "1999-01-01"], "1999"),
    (USAGE, ["restore", "t", "--to", "1999-13-01"], "1999-13-01"),
    (USAGE, ["restore", "t", "--to", ""], ""),
    (USAGE, ["restore", "t", "--to", 2, "--tag", "not a name"], "not a name"),
    (USAGE, ["restore", "t", "--to", 2, "--tag", "12"], "12"),
    (NOT_FOUND, ["restore", "no", "--to", 2], "no"),
    (NOT_FOUND, ["diff", "no", 2, 3], "no"),
    (USAGE, ["diff", "t", 2], ""),
    (USAGE, ["diff", "t", 1, 2], "expired"),
    (USAGE, ["diff", "t", 2, 9], "9"),
    (USAGE, ["diff", "t", "frist", 2], "first"),
    (USAGE, ["tag", "t", "x", 1], "expired"),
    (USAGE, ["query", "FROM t AT 1 SCORE self"], "expired"),
    (USAGE, ["query", "FROM t SCORE dot TO ROW 'x0'"], "no row"),
    (USAGE, ["select", "t", "--coreset", "--count", 2, "--out", "o.jsonl", "--at", 1], "expired"),
    (USAGE, ["duplicates", "t", "--at", 1], "expired"),
    (USAGE, ["delete", "t"], "--where"),
    (USAGE, ["delete", "t", "--where", "n < 3", "--ids", "ids"], ""),
    (USAGE, ["delete", "t", "--where", "rov < 3"], "did you mean row"),
    (USAGE, ["delete", "t", "--where", "n <"], "column 4"),
    (USAGE, ["delete", "t", "--where", "n = 'three'"], ""),
    (USAGE, ["delete", "t", "--where", ""], ""),
    (USAGE, ["delete", "t", "--where", "n < 3 TOP 10"], "TOP"),
    (USAGE, ["delete", "t", "--where", "n < $limit"], "limit"),
    (USAGE, ["delete", "t", "--where", "n < $limit", "--param", "limit=many"], "many"),
    (USAGE, ["delete", "t", "--where", "n < 3", "--tag", "not a name"], "not a name"),
    (NOT_FOUND, ["delete", "no", "--where", "n < 3"], "no"),
    (BAD_INPUT, ["delete", "t", "--ids", "nowhere"], "nowhere"),
    (BAD_INPUT, ["delete", "t", "--ids", "unknown"], "unknown-id"),
    (BAD_INPUT, ["delete", "t", "--ids", "deleted"], "x0"),
    (BAD_INPUT, ["delete", "t", "--ids", "number"], ""),
    (BAD_INPUT, ["delete", "t", "--ids", "no-id"], ""),
    (BAD_INPUT, ["delete", "t", "--ids", "float"], ""),
    (BAD_INPUT, ["delete", "t", "--ids", "not-utf8"], ""),
    (BAD_INPUT, ["delete", "u", "--ids", "unknown"], ""),
    (NOT_FOUND, ["compact", "no"], "no"),
    (USAGE, ["compact", "t", "--some"], "--some"),
    (USAGE, ["expire", "t"], "--keep-last"),
    (USAGE, ["expire", "t", "--keep-last", 0], ""),
    (USAGE, ["expire", "t", "--keep-last", -1], ""),
    (USAGE, ["expire", "t", "--keep-last", "all"], "all"),
    (USAGE, ["expire", "t", "--older-than", "3y"], "3y"),
    (USAGE, ["expire", "t", "--older-than", "h"], "h"),
    (USAGE, ["expire", "t", "--older-than", "-3h"], ""),
    (USAGE, ["expire", "t", "--older-than", "2026-02-30"], "2026-02-30"),
    (USAGE, ["expire", "t", "--older-than", ""], ""),
    (NOT_FOUND, ["expire", "no", "--keep-last", 3], "no"),
    (USAGE, ["gc", "t"], "t"),
]
FILES = {
    "ids": b"x3\n", "unknown": b"x3\nunknown-id\n", "deleted": b"x0\n", "number": b"3\n",
    "no-id": b'{"row": 3}\n', "float": b'{"id": 3.5}\n', "not-utf8": b"x3\n\xff\xfe\n",
}


@pytest.fixture(scope="module")
def table(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("wrong")
    files = Files(directory)
    for name, content in FILES.items():
        files.write(name, content)
    table = make(Database(directory / "db").init(), files)
    table.create("u", ["grad:1:f32"])
    table.json("delete", "t", "--where", "n = 0")
    table.json("delete", "t", "--where", "n = 1")
    table.json("tag", "t", "first", 2)
    table.json("expire", "t", "--keep-last", 3)
    assert [line["snapshot"] for line in table.snapshots("t")] == [4, 3, 2]
    table.before = table.state("t", ASK)
    return table


@pytest.mark.parametrize("status,arguments,says", CASES, ids=[
    f"{number}-{' '.join(map(str, arguments))}"[:60] for number, (_, arguments, _) in enumerate(CASES)])
def test_it_is_refused_and_nothing_changes(table, status, arguments, says):
    refused = table.run(*arguments, "--json", cwd=table.path.parent).expect(status)
    assert refused.stdout == b"" and refused.error["exit"] == status
    assert says in refused.error["error"], refused
    # All of the state is compared once, behind all cases.
    assert table.json("snapshots", "t").text == table.before["snapshots"]
    assert not (table.path.parent / "o.jsonl").exists()


def test_nothing_has_changed(table):
    assert table.state("t", ASK) == table.before
    table.check()


def test_beside_another_writer_nothing_is_written_and_everything_read(database, files):
    """While a process writes, others are refused; diffs read, and are not."""
    table = make(database, files)
    before = table.state("t", ASK)
    message = frame(safetensors({"grad": np.ones((4000, DIMS), np.float32)}))
    metadata = files.metadata("new.jsonl", [{"id": f"y{i}"} for i in range(8000)])
    writer = table.start("ingest", "t", "-", "--checkpoint", "slow", "--metadata", metadata, "--json")
    try:
        for _ in range(2):
            # More than a pipe holds: when the second is written, the writer has read the first.
            writer.stdin.write(message)
            writer.stdin.flush()
        for command in (["delete", "t", "--where", "n < 9"], ["restore", "t", "--to", 1],
                        ["compact", "t"], ["expire", "t", "--keep-last", 1], ["gc"]):
            refused = table.run(*command, "--json").expect(LOCKED)
            assert refused.stdout == b"" and refused.error["kind"] == "locked"
        for command in (["delete", "t", "--where", "n < 9"], ["expire", "t", "--keep-last", 1], ["gc"]):
            # What only looks may want the lock, too.
            table.run(*command, "--dry-run", "--json").expect(OK, LOCKED)
        assert table.json("diff", "t", 0, 2).line["rows_added"] == len(ids(table))
        assert table.state("t", ASK) == before
    finally:
        writer.stdin.close()
        result = finish(writer)
    assert result.expect(OK).line["rows"] == 8000
    assert table.json("delete", "t", "--where", "id LIKE 'y%'").line["deleted"] == 8000


def test_a_database_that_is_not_there(tmp_path):
    for command in (["delete", "t", "--where", "n < 9"], ["restore", "t", "--to", 1], ["compact", "t"],
                    ["expire", "t", "--keep-last", 1], ["gc"], ["diff", "t", 0, 1]):
        run(*command, "--db", tmp_path / "nothing", "--json").expect(NOT_FOUND)
    assert list(tmp_path.iterdir()) == []
