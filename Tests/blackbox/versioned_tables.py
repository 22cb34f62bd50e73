"""A small table with a history, for tests of what makes and removes snapshots."""

import numpy as np

DIMS = 8
ROWS = 40


def make(database, files, rows=ROWS, codec="f32"):
    """Rows x0, x1, … with n = 0, 1, … in two checkpoints: snapshots 1, which is tagged `first`, and 2."""
    database.create("t", [f"grad:{DIMS}:{codec}"], ["n:int", "s:string"], row_group=4)
    vectors = np.random.default_rng(3).standard_normal((rows, DIMS)).astype(np.float32)
    metadata = files.metadata("m.jsonl", [{"id": f"x{i}", "n": i} for i in range(rows)])
    source = files.grad("rows.safetensors", vectors)
    for checkpoint, tag in (("a", "first"), ("b", None)):
        database.ingest("t", source, checkpoint=checkpoint, metadata=metadata, tag=tag)
    return database


def ids(database, at="", across=""):
    """Of the rows that a snapshot has at its newest checkpoint, or another one."""
    return {line["id"] for line in database.query(f"FROM t {at} SCORE self {across} ALL")}


def names(*numbers):
    return {f"x{number}" for number in numbers}


def answer(database, at):
    """Rows, fields and scores as bytes."""
    return database.query_result(f"SELECT row, * FROM t {at} SCORE self ALL").stdout


def add(database, files, numbers, checkpoint, **fields):
    """Ingests rows by their numbers, with vectors that are all alike."""
    rows = [{"id": f"x{number}"} | fields for number in numbers]
    return database.ingest("t", files.grad("add.safetensors", np.ones((len(rows), DIMS))),
                           checkpoint=checkpoint, metadata=files.metadata("add.jsonl", rows))


def agree(said, **wanted):
    assert {key: said[key] for key in wanted} == wanted
