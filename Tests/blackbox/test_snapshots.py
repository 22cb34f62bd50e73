"""Snapshots, tags and what info says: numbers that never change under the reader."""

import re

import numpy as np
import pytest

from graddb import OK, USAGE

DIMS = 16
RANDOM = np.random.default_rng(12)
PARTS = [RANDOM.standard_normal((20, DIMS)).astype(np.float32) for _ in range(4)]
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def table(database):
    database.create("t", [f"grad:{DIMS}"], ["part:int"], row_group=8)
    return database


def ingest_part(database, files, part, checkpoint, ids=None, **options):
    ids = ids if ids is not None else range(20 * part, 20 * part + 20)
    rows = [{"id": f"x{i}", "part": i // 20} for i in ids]
    return database.ingest(
        "t",
        files.grad(f"{part}.safetensors", PARTS[part]),
        checkpoint=checkpoint,
        metadata=files.metadata(f"{part}.jsonl", rows),
        **options,
    )


def statements(at):
    return [
        f"SELECT row, part FROM t {at} SCORE cosine TO $q TOP 30 BOTTOM 30",
        f"SELECT row FROM t {at} SCORE dot TO $q MEAN WHERE part IN (0, 2) TOP 1000",
    ]


def answers(database, query, at):
    return [database.query_result(s, params={"q": query}).stdout for s in statements(at)]


def test_later_commits_change_no_byte_of_an_older_snapshot(table, files):
    query = files.grad("q.safetensors", PARTS[3][:2])
    first = ingest_part(table, files, 0, "c1")["snapshot"]
    before = {first: answers(table, query, "")}
    for step, (part, checkpoint, ids) in enumerate(
        [(1, "c1", None), (2, "c2", range(19, -1, -1)), (3, "c2", None)]
    ):
        number = ingest_part(table, files, part, checkpoint, ids)["snapshot"]
        assert number > max(before), step
        before[number] = answers(table, query, "")
        for old, expected in before.items():
            assert answers(table, query, f"AT {old}") == expected
    assert len({tuple(a) for a in before.values()}) == 4


def test_snapshots_tell_what_each_commit_added(table, files):
    acknowledged = [
        ingest_part(table, files, 0, "c1", message="the first, \"quoted\"\nand 漢"),
        ingest_part(table, files, 1, "c1", tag="half"),
        ingest_part(table, files, 2, "c2", tag="whole", message="other"),
    ]
    lines = table.snapshots("t")
    assert [s["snapshot"] for s in lines] == sorted((s["snapshot"] for s in lines), reverse=True)
    ours = lines[:3][::-1]
    assert [s["snapshot"] for s in ours] == [done["snapshot"] for done in acknowledged]
    assert [s["checkpoint"] for s in ours] == ["c1", "c1", "c2"]
    assert [s["rows"] for s in ours] == [20, 40, 60]
    assert [s["message"] for s in ours] == ["the first, \"quoted\"\nand 漢", "", "other"]
    assert [s["tags"] for s in ours] == [[], ["half"], ["whole"]]
    assert [s["parent"] for s in ours[1:]] == [s["snapshot"] for s in ours[:-1]]
    sizes = [s["bytes"] for s in ours]
    added = [done["bytes"] for done in acknowledged]
    assert [b - a for a, b in zip(sizes, sizes[1:])] == added[1:]
    segments = [s["segments"] for s in ours]
    assert segments == sorted(set(segments))
    times = [s["time"] for s in ours]
    assert all(RFC_3339.fullmatch(time) for time in times) and times == sorted(times)


def test_info_describes_the_newest_snapshot(table, files):
    ingest_part(table, files, 0, "c1", step=100, weight="2e-5")
    done = ingest_part(table, files, 1, "c2", tag="final")
    info = table.info("t")
    newest = table.snapshots("t")[0]
    assert {k: info[k] for k in ("table", "unit", "rows", "snapshot", "row_group")} == {
        "table": "t",
        "unit": "example",
        "rows": 40,
        "snapshot": done["snapshot"],
        "row_group": 8,
    }
    assert (info["segments"], info["bytes"]) == (newest["segments"], newest["bytes"])
    assert info["layers"] == [
        {"name": "grad", "dims": DIMS, "codec": "int8", "codecs": ["int8"]}
    ]
    assert info["fields"] == [{"name": "part", "type": "int"}]
    assert info["checkpoints"] == [
        {"name": "c1", "step": 100, "weight": 2e-5, "rows": 20},
        {"name": "c2", "step": None, "weight": None, "rows": 20},
    ]
    assert info["tags"] == {"final": done["snapshot"]}
    database = table.info()
    assert database["tables"] == [
        {"table": "t", "rows": 40, "snapshot": done["snapshot"], "deleted": 0, "bytes": info["bytes"]}
    ]
    assert database["format_version"] >= 1 and database["bytes"] > 0


def test_tags_name_move_and_go(table, files):
    first = ingest_part(table, files, 0, "c1")["snapshot"]
    second = ingest_part(table, files, 1, "c1")["snapshot"]
    query = files.grad("q.safetensors", PARTS[3][:1])
    tagged = table.json("tag", "t", "here", first).line
    assert tagged == {"table": "t", "tag": "here", "snapshot": first}
    assert answers(table, query, "AT 'here'") == answers(table, query, f"AT {first}")
    assert table.json("tag", "t", "here").line["snapshot"] == second
    assert answers(table, query, "AT 'here'") == answers(table, query, "")
    assert table.info("t")["tags"] == {"here": second}
    assert table.json("tag", "t", "here", "--delete").line["deleted"] is True
    assert table.info("t")["tags"] == {}
    gone = table.run("query", statements("AT 'here'")[0], "--param", f"q={query}")
    gone.expect(USAGE)


def test_a_snapshot_is_found_by_time(table, files):
    query = files.grad("q.safetensors", PARTS[3][:1])
    for part in range(3):
        ingest_part(table, files, part, "c1")
    for line in table.snapshots("t")[:3]:
        at_time = answers(table, query, f"AT '{line['time']}'")
        # Commits within the same millisecond are told apart by number only: the newest counts.
        same = [s for s in table.snapshots("t") if s["time"] == line["time"]]
        assert at_time == answers(table, query, f"AT {same[0]['snapshot']}")
    newest = answers(table, query, "")
    assert answers(table, query, "AT '2999-01-01T00:00:00.000Z'") == newest
    before = f"SELECT row FROM t AT '1999-01-01T00:00:00.000Z' SCORE dot TO '{query}' TOP 1"
    table.run("query", before).expect(USAGE)


def test_tables_of_a_database_do_not_know_of_each_other(table, files):
    table.create("u", [f"grad:{DIMS}:f32"])
    ingest_part(table, files, 0, "c1", tag="mine")
    table.ingest("u", files.grad("u.safetensors", PARTS[1][:3]), checkpoint="other")
    names = {t["table"]: t["rows"] for t in table.info()["tables"]}
    assert names == {"t": 20, "u": 3}
    assert table.info("u")["tags"] == {}
    assert [c["name"] for c in table.info("u")["checkpoints"]] == ["other"]
    summary = table.run("check", "--json").expect(OK).lines[-1]
    assert summary["tables"] == 2 and summary["ok"] and not summary["deep"]
    assert table.check()["deep"] is True
