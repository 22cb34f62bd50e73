"""GPUs by a stand-in for NVIDIA's driver (Tests/gpu/stub): the real launches of real scans, with kernels
that run on the processor, and every way in which a GPU or its driver can fail.
"""

import random

import numpy as np
import pytest

from gradient_files import Files
from graddb import FAILED, SCALE, Database, environment

ROWS, ROW_GROUP = 150, 32
LAYERS = {
    "a": (300, "int8"), "b": (4600, "int8"), "c": (1001, "int4"), "d": (3000, "bit"),
    "e": (70, "f32"), "f": (300, "f16"), "g": (131, "bf16"),
}  # fmt: skip
COUNTS = (1, 5, 70)
ON_GPU = ["--plan", "exact, on GPU"]


@pytest.fixture(scope="module")
def scene(gradctl, tmp_path_factory):
    directory = tmp_path_factory.mktemp("gpu")
    files = Files(directory)
    database = Database(directory / "db").init()
    layers = [f"{name}:{dims}:{codec}" for name, (dims, codec) in LAYERS.items()]
    database.create("t", layers, ["bucket:int"], row_group=ROW_GROUP)
    values = np.random.default_rng(18)

    def vectors(count):
        return {
            name: values.standard_normal((count, dims)).astype(np.float32)
            for name, (dims, _) in LAYERS.items()
        }

    rows = vectors(ROWS)
    for layer in rows.values():
        layer[60:90] = layer[60]
    metadata = files.metadata("m.jsonl", [{"id": f"r{i}", "bucket": i % 9} for i in range(ROWS)])
    vectors_file = files.tensors("t.safetensors", rows, "F32")
    database.json("ingest", "t", vectors_file, "--checkpoint", "c", "--metadata", metadata)
    database.queries = {
        count: files.tensors(f"q{count}.safetensors", vectors(count), "F32") for count in COUNTS
    }
    return database


def statements(chance, count):
    for _ in range(count):
        measure = chance.choice(["dot", "cosine"])
        layers = chance.sample(sorted(LAYERS), chance.choice([1, 2, 7]))
        chosen = ", ".join(f"'{name}'" for name in layers)
        reduction = chance.choice(["", "", "MEAN", "MAX"])
        where = chance.choice(["", "", "WHERE bucket < 4", "WHERE bucket = 3"])
        limit = chance.choice(["TOP 1", "TOP 35 BOTTOM 3", "BOTTOM 7", "ALL"])
        yield (
            chance.choice(COUNTS),
            f"FROM t SCORE {measure} TO $q {reduction} LAYERS {chosen} {where} {limit}",
        )


def ask(database, statement, *flags, env=None):
    return database.run("query", statement, "--format", "jsonl", *flags, env=env)


def compare(scene, statement, count, env, device, what):
    flags = ["--param", f"q={scene.queries[count]}"]
    here = ask(scene, statement, "--device", "cpu", *flags).expect().stdout
    there = ask(scene, statement, "--device", device, *flags, env=env).expect().stdout
    assert here == there, f"{what}: {statement} with {count} queries"


@pytest.mark.parametrize("devices", [1, 3])
def test_random_statements_have_the_same_answers(scene, driver, devices, seed):
    chance = random.Random(f"{seed} gpu {devices}")
    env = driver(DEVICES=devices, MEMORY=64 << 20, DELAY=200)
    for count, statement in statements(chance, 12 * SCALE):
        device = chance.choice(["gpu", f"gpu:{chance.randrange(devices)}"])
        compare(scene, statement, count, env, device, f"seed {seed}")


def test_the_kernels_own_source_gives_the_same_answers(scene, driver, emulated, seed):
    chance = random.Random(f"{seed} emulated")
    env = driver(KERNELS=emulated, MEMORY=64 << 20)
    for count, statement in statements(chance, 6 * SCALE):
        compare(scene, statement, count, env, "gpu", f"seed {seed}")


# What the driver does, and words of the message.
FAILURES = [
    (dict(FAIL="no-device"), ["CUDA_ERROR_NO_DEVICE"]),
    (dict(FAIL="old-driver"), ["too old", "12.2"]),
    (dict(CAPABILITY="7.0"), ["7.0"]),
    (dict(FAIL="cuCtxSetCurrent:1:999", ), None),
    (dict(FAIL="cuMemAlloc_v2:1"), None),
    (dict(FAIL="cuMemHostAlloc:1"), ["CUDA_ERROR_OUT_OF_MEMORY"]),
    (dict(FAIL="cuMemHostAlloc:3"), ["CUDA_ERROR_OUT_OF_MEMORY"]),
    (dict(FAIL="cuModuleLoadDataEx:1:218"), ["CUDA_ERROR_INVALID_PTX"]),
    (dict(FAIL="cuStreamCreate:1:999"), ["CUDA_ERROR_UNKNOWN"]),
    (dict(FAIL="cuMemcpyHtoDAsync_v2:2:700"), ["CUDA_ERROR_ILLEGAL_ADDRESS"]),
    (dict(FAIL="cuMemcpyDtoHAsync_v2:1"), ["CUDA_ERROR_UNKNOWN"]),
    (dict(FAIL="cuLaunchKernel:1"), ["CUDA_ERROR_LAUNCH_FAILED"]),
    (dict(FAIL="cuLaunchKernel:4:719"), ["CUDA_ERROR_LAUNCH_FAILED"]),
    (dict(FAIL="cuLaunchKernel:2:702"), ["CUDA_ERROR (702)"]),
    (dict(FAIL="cuEventRecord:5:700"), ["CUDA_ERROR_ILLEGAL_ADDRESS"]),
    (dict(FAIL="cuEventSynchronize:1:214"), ["CUDA_ERROR_ECC_UNCORRECTABLE"]),
    (dict(MEMORY=1 << 20), ["--gpu-memory"]),
]  # fmt: skip
STATEMENT = "FROM t SCORE dot TO ROW 'r7' LAYERS 'b' TOP 5"


@pytest.mark.parametrize("settings, words", FAILURES, ids=[str(s) for s, _ in FAILURES])
def test_a_gpu_that_fails(scene, driver, settings, words):
    """Named, it is an error in the driver's own words; under auto a note, and the processor's answer."""
    env = driver(**settings)
    here = ask(scene, STATEMENT).expect().stdout
    named = ask(scene, STATEMENT, "--device", "gpu", "--json", env=env)
    auto = ask(scene, STATEMENT, *ON_GPU, env=env).expect()
    assert auto.stdout == here
    if words is None and named.status == 0:
        # It did without, or was not asked at all.
        assert named.stdout == here
        return
    error = named.expect(FAILED).error
    assert all(word in error["error"] for word in words or []), error
    notes = auto.stderr.decode()
    assert "gradctl: note: " in notes and "the processor" in notes, notes
    assert all(word in notes for word in words or []), notes


def test_no_driver_at_all(scene, tmp_path):
    env = environment(GRADDB_CUDA_LIBRARY=str(tmp_path / "libcuda.so.1"))
    error = ask(scene, STATEMENT, "--device", "gpu", "--json", env=env).expect(FAILED).error
    assert "there is no NVIDIA driver here" in error["error"]
    # Nobody is told of what was not asked for.
    auto = ask(scene, STATEMENT, env=env).expect()
    assert auto.stderr == b"" and auto.stdout == ask(scene, STATEMENT, "--device", "cpu").stdout


def test_a_gpu_that_is_not_there(scene, driver):
    error = ask(scene, STATEMENT, "--device", "gpu:2", "--json", env=driver(DEVICES=2)).expect(FAILED)
    assert "there is no GPU 2" in error.error["error"]


def test_small_scans_do_not_start_a_driver(scene, driver, tmp_path):
    log = tmp_path / "calls"
    assert ask(scene, STATEMENT, env=driver(LOG=log)).expect().stdout
    assert not log.exists() or not log.read_text()
