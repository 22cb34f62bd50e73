"""All that a user can see of a world, for comparing it with what it was or should be."""

import json
from pathlib import Path

from calls import graddb

# Of every snapshot, every row with every digit of its score, through every checkpoint and codec.
STATEMENTS = (
    "SELECT row, part, text FROM t AT {n} SCORE dot TO '{query}' ACROSS ALL ALL EXACT;",
    "SELECT row, checkpoint FROM t AT {n} SCORE cosine TO '{query}' TOP 7 BOTTOM 7 EXACT;",
)


def see(world, query, env=None):
    """What is there: nothing, a database without a table, or the table with all its answers."""
    world = Path(world)
    path = world / "runs/db"

    def gradctl(*arguments, **options):
        return graddb.run(*arguments, "--db", path, "--json", env=env, **options)

    info = gradctl("info", "t").expect(graddb.OK, graddb.NOT_FOUND)
    if info.status != graddb.OK:
        there = gradctl("info").expect(graddb.OK, graddb.NOT_FOUND)
        return {"database": there.status == graddb.OK and there.line["tables"]}
    seen = {"table": info.line, "snapshots": gradctl("snapshots", "t").expect().lines}
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


def timeless(seen):
    """The same without the moments at which things were done."""
    seen = json.loads(json.dumps(seen))
    for line in [*seen.get("snapshots", []), *seen.get("staged", [])]:
        line.pop("time", None)
        line.pop("begun", None)
    return seen
