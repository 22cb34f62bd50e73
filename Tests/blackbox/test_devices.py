"""Scores on another device than the processor are the same to the bit.

`--device staged` brings blocks through the ring that a GPU uses, into a memory of the size that
`--gpu-memory` says: so rings, what stays, layers in order and selections are tested everywhere. The
sizes below go from what holds a fraction of the table to what holds all of it.
"""

import random

import numpy as np
import pytest

from gradient_files import Files
from graddb import FAILED, SCALE, USAGE, Database

ROWS, ROW_GROUP = 300, 32
LAYERS = {
    "a": (300, "int8"), "b": (5000, "int8"), "c": (9001, "int4"), "d": (40000, "bit"),
    "e": (70, "f32"), "f": (2500, "f16"), "g": (1031, "bf16"),
}  # fmt: skip
# Of queries: one, few, and so many that they are scored as a product of matrices.
COUNTS = (1, 3, 9, 70)
# Sizes of memory, and how many queries have room there beside blocks: the first holds a part of the table.
MEMORIES = [("9M", (1, 3, 9)), ("40M", COUNTS), ("400M", COUNTS)]
FACTS = ["device", "staged_bytes", "resident_bytes", "copy_seconds", "kernel_seconds", "overlap",
         "bus_gb_per_s", "device_gb_per_s"]  # fmt: skip


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    """A table with two checkpoints, deleted rows, equal rows, and files of queries."""
    directory = tmp_path_factory.mktemp("devices")
    files = Files(directory)
    database = Database(directory / "db").init()
    layers = [f"{name}:{dims}:{codec}" for name, (dims, codec) in LAYERS.items()]
    database.create("t", layers, ["bucket:int", "source:string"], row_group=ROW_GROUP)
    values = np.random.default_rng(17)
    for checkpoint, weight in (("c1", 0.5), ("c2", 0.25)):
        vectors = {}
        for name, (dims, _) in LAYERS.items():
            rows = values.standard_normal((ROWS, dims), np.float32)
            rows[100:160] = rows[100]
            rows[200] = 0
            vectors[name] = rows
        metadata = [
            {"id": f"r{i}", "bucket": i % 50, "source": "abc"[i % 3]} for i in range(ROWS)
        ]
        database.json(
            "ingest", "t", files.tensors(f"{checkpoint}.safetensors", vectors, "F32"),
            "--checkpoint", checkpoint, "--weight", weight,
            "--metadata", files.metadata(f"{checkpoint}.jsonl", metadata),
        )  # fmt: skip
    database.json("delete", "t", "--where", "bucket = 7")
    database.queries = {
        count: files.tensors(
            f"q{count}.safetensors",
            {
                name: values.standard_normal((count, dims), np.float32)
                for name, (dims, _) in LAYERS.items()
            },
            "F32",
        )
        for count in COUNTS
    }
    return database


def answers(database, statement, *flags):
    return database.run("query", statement, "--format", "jsonl", *flags).expect().stdout


def statements(chance, count, counts):
    """Random statements over all that a device does."""
    for _ in range(count):
        measure = chance.choice(["dot", "cosine"])
        layers = chance.sample(sorted(LAYERS), chance.choice([1, 1, 2, 7]))
        chosen = ", ".join(f"'{name}'" for name in layers)
        reduction = chance.choice(["", "", "", "MEAN", "MAX", "SUM"])
        where = chance.choice(["", "", "WHERE bucket < 20", "WHERE bucket = 3", "WHERE source = 'a'"])
        across = chance.choice(["", "", "ACROSS ALL"])
        limit = chance.choice(["TOP 1", "TOP 10", "TOP 65 BOTTOM 3", "BOTTOM 7", "TOP 100%", "ALL"])
        source = chance.choice(["$q", "$q", "$q", "ROW 'r100'"])
        yield (
            chance.choice(counts),
            f"FROM t SCORE {measure} TO {source} {reduction} LAYERS {chosen} {where} {across} {limit}",
        )


@pytest.mark.parametrize("memory, counts", MEMORIES, ids=[memory for memory, _ in MEMORIES])
def test_random_statements_have_the_same_answers(scene, memory, counts, seed):
    chance = random.Random(f"{seed} {memory}")
    for count, statement in statements(chance, 15 * SCALE, counts):
        flags = ["--param", f"q={scene.queries[count]}", "--threads", chance.choice([1, 2, 5])]
        here = answers(scene, statement, "--device", "cpu", *flags)
        there = answers(scene, statement, "--device", "staged", "--gpu-memory", memory, *flags)
        assert here == there, f"seed {seed}: {statement} with {count} queries in {memory}"


def scan_of(node):
    if node["operator"] == "scan":
        return node
    return next(filter(None, map(scan_of, node["inputs"])), None)


def explain(database, statement, *flags):
    plan = database.json("explain", "--analyze", statement, *flags).line
    return plan, scan_of(plan["plan"])["actual"]


def test_what_a_plan_says_of_a_device(scene):
    statement = "FROM t SCORE dot TO ROW 'r1' LAYERS 'b' TOP 3"
    plan, facts = explain(scene, statement, "--device", "staged")
    assert plan["chosen"].endswith(", on host")
    assert all(fact in facts for fact in FACTS), facts
    assert facts["device"] == "host" and facts["resident_bytes"] == 0
    assert facts["staged_bytes"] >= ROWS * 5000
    plan, facts = explain(scene, statement)
    assert "device" not in facts and "host" not in plan["chosen"]


def test_what_was_brought_to_a_device_stays_for_the_next_statement(scene):
    statement = "EXPLAIN ANALYZE FROM t SCORE dot TO ROW 'r1' LAYERS 'b' TOP 3;\n"

    def staged(memory):
        script = scene.run(
            "query", "-", "--json", "--device", "staged", "--gpu-memory", memory,
            stdin=(statement * 3).encode(),
        ).expect()  # fmt: skip
        facts = [scan_of(line["plan"])["actual"] for line in script.lines]
        return [(fact["staged_bytes"], fact["resident_bytes"]) for fact in facts]

    first, *others = staged("400M")
    assert first[1] == 0 and all(other == (0, first[0]) for other in others)
    # Where a part of the layer fits, that part stays, scan after scan.
    first, *others = staged("6M")
    assert first[1] == 0
    for staged_bytes, resident in others:
        assert 0 < resident < first[0] and staged_bytes + resident == first[0]


@pytest.mark.parametrize("flags, status", [
    (["--device", "cuda"], USAGE), (["--device", "gpu:x"], USAGE), (["--device", "gpu:0,0"], USAGE),
    (["--device", "gpu:-1"], USAGE), (["--gpu-memory", "much"], USAGE), (["--gpu-memory", "0"], USAGE),
    (["--device", "staged", "--gpu-memory", "1M"], FAILED),
])  # fmt: skip
def test_devices_that_are_not_there(scene, flags, status):
    statement = "FROM t SCORE dot TO ROW 'r1' LAYERS 'b' TOP 3"
    error = scene.run("query", statement, "--json", *flags).expect(status).error
    assert error["error"] and "\n" not in error["error"]
