"""A reader opens while a writer moves what was published from the log into table files: it has seen the
manifest before, and sees the directory afterwards. What others have seen in the log must not be missing."""

import shutil

from calls import graddb
from points import POINTS
from script import database
from test_kills import killed


def test_what_others_have_seen_in_the_log_is_seen(script, faults, between):
    point = next(p for p in POINTS if (p.name, p.step) == ("publish: sync of the log", "ingest"))
    match = point.match(script.taken["ingest"])
    world, _ = killed(script, faults, "ingest", match=match, action="kill-after")

    def snapshots(world):
        return ["snapshots", "t", "--json", "--db", database(world)]

    # To look makes nothing in the database.
    path = database(world)
    looked = between.calls(snapshots(world), path, script.directory / "between.calls")
    listings = [number for number, (kind, _) in enumerate(looked, 1) if kind == "list"]
    seen = graddb.run(*snapshots(world)).expect().lines
    ran = 0
    for at in listings:
        copy = script.directory / f"between-{at}"
        shutil.copytree(world, copy)
        path = database(copy)
        writer = ["tag", "t", "later", "--quiet", "--db", path]
        found, (tagged,) = between.run(snapshots(copy), path, at, [writer], script.directory / f"{at}.results")
        tagged.expect()
        assert [line["snapshot"] for line in found.expect().lines] == [line["snapshot"] for line in seen], at
        ran += not any(file.stat().st_size for file in path.glob("*.log"))
        shutil.rmtree(copy)
    assert ran
    shutil.rmtree(world)
