"""All that a user can see of a world, for comparing it with what it was or should be."""

import hashlib
import json
from pathlib import Path

import worn
from calls import graddb

# Of every snapshot, every row with every digit of its score, through every checkpoint and codec.
STATEMENTS = (
    "SELECT row, part, text FROM t AT {n} SCORE dot TO '{query}' ACROSS ALL ALL EXACT;",
    "SELECT row, checkpoint FROM t AT {n} SCORE cosine TO '{query}' TOP 7 BOTTOM 7 EXACT;",
)
LEFTOVERS = ("stored_bytes", "garbage_bytes", "amplification")


def see(world, query, env=None):
    """What is there: nothing, a database without a table, or the table with all its answers; the
    same of a database that was restored, and the backups."""
    world = Path(world)
    if (world / worn.DATABASE).exists():
        # Nothing else is looked at any more.
        statements = [statement.replace("{query}", str(query)) for statement in STATEMENTS]
        return {"worn": worn.see(world / worn.DATABASE, statements, env)}
    seen = see_database(world / "runs/db", query, env)
    restored = world / "runs/restored"
    if restored.exists():
        seen["restored"] = see_database(restored, query, env)
    backups = see_backups(world, env) if (world / "backups").exists() else []
    if backups:
        seen["backups"] = backups
    archive = world / "t.gdba"
    if archive.exists():
        seen["archive"] = hashlib.sha256(archive.read_bytes()).hexdigest()
        seen["imported"] = see_imported(world / "runs/db", query, env)
    return seen


def see_database(path, query, env):
    def gradctl(*arguments, **options):
        return graddb.run(*arguments, "--db", path, "--json", env=env, **options)

    info = gradctl("info", "t").expect(graddb.OK, graddb.NOT_FOUND)
    if info.status != graddb.OK:
        there = gradctl("info").expect(graddb.OK, graddb.NOT_FOUND)
        return {"database": there.status == graddb.OK and [table["table"] for table in there.line["tables"]]}
    # What interrupted writers have left counts in these.
    table = {name: value for name, value in info.line.items() if name not in LEFTOVERS}
    seen = {"table": table, "snapshots": gradctl("snapshots", "t").expect().lines}
    statements = "".join(
        statement.format(n=line["snapshot"], query=query)
        for line in seen["snapshots"]
        for statement in STATEMENTS
    )
    if statements:
        seen["answers"] = gradctl("query", "-", stdin=statements.encode()).expect().text
    if (path / "staged").exists():
        seen["staged"] = gradctl("staged", "t").expect().lines
    return seen


def see_imported(path, query, env):
    info = graddb.run("info", "u", "--db", path, "--json", env=env).expect(graddb.OK, graddb.NOT_FOUND)
    if info.status != graddb.OK:
        return None
    statement = f"SELECT part, text FROM u SCORE dot TO '{query}' ACROSS ALL ALL EXACT"
    answers = graddb.run("query", statement, "--db", path, "--json", env=env).expect()
    return {name: info.line[name] for name in ("rows", "snapshot", "checkpoints")}, answers.text


def see_backups(world, env):
    """Those that there are are whole."""

    def gradctl(*arguments):
        return graddb.run("backup", *arguments, world / "backups", "--json", env=env)

    listed = gradctl("list").expect(graddb.OK, graddb.NOT_FOUND)
    if listed.status == graddb.OK and listed.lines:
        gradctl("verify").expect()
    return [{k: v for k, v in line.items() if k != "database"} for line in listed.lines]


def timeless(seen):
    """The same without the moments at which things were done, how they are written in bytes, and how
    much of them an earlier attempt had done already."""
    seen = json.loads(json.dumps(seen))
    if "archive" in seen:
        seen["archive"] = "there"
    for part in (seen, seen.get("restored", {}), seen.get("worn", {})):
        for line in [*part.get("snapshots", []), *part.get("staged", [])]:
            line.pop("time", None)
            line.pop("begun", None)
    for line in seen.get("backups", []):
        for name in ("time", "bytes", "copied_bytes"):
            line.pop(name, None)
    return seen
