"""Batches of queries over 16-bit floats that a device has already: their scores are bounded first, and only
those near the cut computed. The answers are the processor's, to the bit.

Bounds are for what the device has, so statements run several times in one process: the first time blocks are
brought there.
"""

import random

import numpy as np
import pytest

from gradient_files import Files
from graddb import SCALE, Database

ROWS, ROW_GROUP = 1500, 128
# Beside rows at random: all of them but one alike; products that cancel; numbers that are hardly any; rows of
# all lengths, and zeros.
LAYERS = {
    "plain": (2500, "f16"), "short": (40, "bf16"), "alike": (64, "f16"), "cancel": (300, "f16"),
    "tiny": (100, "f16"), "wide": (130, "bf16"), "int": (64, "int8"),
}  # fmt: skip
HALVES = [name for name, (_, codec) in LAYERS.items() if codec in ("f16", "bf16")]
COUNTS = (9, 70)


def rows_of(values, name, dims):
    rows = values.standard_normal((ROWS, dims)).astype(np.float32)
    if name == "alike":
        rows[1:] = rows[1]
    if name == "cancel":
        rows[:, : dims // 2] += 200
        rows[:, dims // 2 :] -= 200
    if name == "tiny":
        rows *= 2.0**-20
    if name == "wide":
        rows *= (10.0 ** values.integers(-18, 18, (ROWS, 1))).astype(np.float32)
        rows[::7] = 0
    rows[300:360] = rows[300]
    return rows


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bounds")
    files = Files(directory)
    database = Database(directory / "db").init()
    layers = [f"{name}:{dims}:{codec}" for name, (dims, codec) in LAYERS.items()]
    database.create("t", layers, ["bucket:int"], row_group=ROW_GROUP)
    values = np.random.default_rng(23)
    vectors = {name: rows_of(values, name, dims) for name, (dims, _) in LAYERS.items()}
    metadata = [{"id": f"r{i}", "bucket": i % 50} for i in range(ROWS)]
    database.json(
        "ingest", "t", files.tensors("c.safetensors", vectors, "F32"), "--checkpoint", "c",
        "--metadata", files.metadata("m.jsonl", metadata),
    )  # fmt: skip
    database.json("delete", "t", "--where", "bucket = 7")
    queries = {count: {} for count in COUNTS}
    for count in COUNTS:
        for name, (dims, _) in LAYERS.items():
            query = values.standard_normal((count, dims)).astype(np.float32)
            if name == "cancel":
                query[:] = 1 + query * 2.0**-12
            if name == "wide":
                query *= (10.0 ** values.integers(-12, 12, (count, 1))).astype(np.float32)
            query[3] = vectors[name][300]
            queries[count][name] = query
    database.queries = {
        count: files.tensors(f"q{count}.safetensors", queries[count], "F32") for count in COUNTS
    }
    return database


def random_statement(chance):
    layers = chance.sample(HALVES, chance.choice([1, 1, 2, 3]))
    if chance.random() < 0.1:
        layers.append("int")
    measure = chance.choice(["dot", "cosine"])
    where = chance.choice(["", "", "WHERE bucket < 20", "WHERE bucket = 3"])
    limit = chance.choice(["TOP 1", "TOP 10", "TOP 25 BOTTOM 8", "BOTTOM 7"])
    chosen = ", ".join(f"'{name}'" for name in layers)
    return f"FROM t SCORE {measure} TO $q LAYERS {chosen} {where} {limit}"


def script(database, statements, count, *flags, env=None):
    """Answers to several statements, one after the other in one process."""
    return database.run(
        "query", "-", "--json", "--param", f"q={database.queries[count]}", *flags,
        stdin="".join(f"{statement};\n" for statement in statements).encode(), env=env,
    ).expect()  # fmt: skip


def scan_of(node):
    if node["operator"] == "scan":
        return node
    return next(filter(None, map(scan_of, node["inputs"])), None)


def facts(line):
    return scan_of(line["plan"])["actual"]


def without_times(lines):
    return [{key: value for key, value in line.items() if key in ("query", "results", "rows", "answers")}
            for line in lines]


def compare(scene, statements, count, *flags, env=None):
    """The same statements on the processor and, again and again, on a device."""
    here = script(scene, statements, count, "--device", "cpu", "--plan", "exact")
    there = script(scene, statements * 2, count, *flags, env=env)
    expected = without_times(here.lines)
    assert expected[0], "an answer has none of the keys that are compared"
    assert without_times(there.lines) == expected * 2


@pytest.mark.parametrize("memory", ["40M", "400M"])
@pytest.mark.parametrize("count", COUNTS)
def test_random_statements_have_the_same_answers(scene, count, memory, seed):
    chance = random.Random(f"{seed} {count} {memory}")
    for _ in range(2 * SCALE):
        statements = [random_statement(chance) for _ in range(6)]
        compare(
            scene, statements, count, "--device", "staged", "--gpu-memory", memory,
            "--threads", chance.choice([1, 3]),
        )  # fmt: skip


def explained(scene, statement, count, *flags, env=None):
    lines = script(scene, [f"EXPLAIN ANALYZE {statement}"] * 3, count, *flags, env=env).lines
    return [facts(line) for line in lines]


def test_what_a_plan_says_of_bounds(scene):
    statement = "FROM t SCORE dot TO $q LAYERS 'plain' TOP 10"
    flags = ["--device", "staged", "--gpu-memory", "400M"]
    first, *others = explained(scene, statement, 70, *flags)
    assert "rescored" not in first and "bounded_rows" not in first
    for other in others:
        # What is wanted, of every query, and few more: bounds are narrow.
        assert other["bounded_rows"] == other["rows"] == ROWS - ROWS // 50
        assert 70 * 10 <= other["rescored"] < 4 * 70 * 10
    # One query, all scores, or a good part of the table: nothing to be gained.
    for statement, count in [
        ("FROM t SCORE dot TO ROW 'r1' LAYERS 'plain' TOP 10", 70),
        ("FROM t SCORE dot TO $q MEAN LAYERS 'plain' TOP 10", 70),
        ("FROM t SCORE dot TO $q LAYERS 'plain' TOP 200", 9),
        ("FROM t SCORE dot TO $q LAYERS 'plain', 'int' TOP 10", 9),
    ]:
        assert all("rescored" not in fact for fact in explained(scene, statement, count, *flags))


def test_bounds_that_leave_too_many_rows(scene):
    """Nearly all scores are equal, so all of them would have to be computed: all of them are."""
    flags = ["--device", "staged", "--gpu-memory", "400M"]
    statement = "FROM t SCORE dot TO $q LAYERS 'alike' TOP 10 BOTTOM 1"
    compare(scene, [statement], 70, *flags)
    assert all("rescored" not in fact for fact in explained(scene, statement, 70, *flags))


def test_a_part_of_the_table_stays(scene):
    """What is there is bounded, what is brought is computed, and both make one answer."""
    flags = ["--device", "staged", "--gpu-memory", "9M"]
    statement = "FROM t SCORE cosine TO $q LAYERS 'plain' TOP 12 BOTTOM 5"
    compare(scene, [statement], 9, *flags)
    for fact in explained(scene, statement, 9, *flags)[1:]:
        assert 0 < fact["bounded_rows"] < fact["rows"] and fact["staged_bytes"] > 0


def test_the_kernels_own_source_gives_the_same_answers(scene, driver, emulated, seed):
    """With matrix units that round worse than any known ones."""
    chance = random.Random(f"{seed} emulated")
    env = driver(KERNELS=emulated, MEMORY=64 << 20)
    layers = ["short", "tiny", "wide"]
    for _ in range(SCALE):
        statements = [
            f"FROM t SCORE {measure} TO $q LAYERS {chosen} {where} TOP 10 BOTTOM 2"
            for measure, chosen, where in [
                ("dot", "'tiny'", ""), ("cosine", "'short', 'wide'", "WHERE bucket < 20"),
                (chance.choice(["dot", "cosine"]), f"'{chance.choice(layers)}'", ""),
            ]
        ]  # fmt: skip
        compare(scene, statements, 9, "--device", "gpu", env=env)
    for fact in explained(scene, statements[0], 9, "--device", "gpu", env=env)[1:]:
        assert fact["bounded_rows"] > 0


@pytest.mark.parametrize("units, layer", [("flushing", "tiny"), ("coarse", "tiny"), ("coarse", "short")])
def test_units_that_cannot_be_relied_on(scene, driver, emulated, units, layer):
    """A device whose bounds do not hold is found out before its first ones, and does without."""
    env = driver(KERNELS=emulated, MEMORY=64 << 20, GRADDB_EMULATED_UNITS=units)
    statement = f"FROM t SCORE dot TO $q LAYERS '{layer}' TOP 10"
    compare(scene, [statement], 9, "--device", "gpu", env=env)
    for fact in explained(scene, statement, 9, "--device", "gpu", env=env):
        assert "bounded_rows" not in fact and fact["device"]
