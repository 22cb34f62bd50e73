"""GPUs from Python, by a stand-in for NVIDIA's driver: query vectors that lie there, what is kept there,
and what fails there. Each case runs in a process of its own, as a driver is loaded once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "gpu"))

PRELUDE = """
import logging, os, sys
import numpy as np
import graddb
import gpu_tensors
from gpu_tensors import GPUTensor, bf16

rng = np.random.default_rng(int(sys.argv[2]))
db = graddb.create(sys.argv[1])
t = db.create_table("t", layers={"g": (96, "int8")}, row_group=32)
rows = rng.standard_normal((150, 96), np.float32)
t.append(rows, ids=range(150), checkpoint="c")
heard = []
class Listener(logging.Handler):
    def emit(self, record): heard.append((record.levelname, record.getMessage()))
logging.getLogger("graddb").addHandler(Listener())

def answer(q, **options):
    r = t.query("SCORE dot TO $q TOP 150", q=q, **options)
    return r["query"].tolist(), r.ids.tolist(), r.scores.tolist()

def calls(name):
    with open(os.environ["GRADDB_STUB_LOG"]) as file:
        return [line.split()[1:] for line in file if line.split()[0] == name]

def refused(kind, words, body):
    try: body()
    except kind as error: assert words in str(error), error
    else: raise AssertionError(f"nothing was refused: {words}")
"""


@pytest.fixture(scope="module")
def driver():
    stub = pytest.importorskip("stub")
    try:
        return stub.build(stub.USUAL)
    except stub.BuildError as error:
        pytest.skip(f"no compiler for the stand-in: {error}")


@pytest.fixture
def run(driver, tmp_path):
    """Runs lines in a process that has the stand-in, with these of its settings."""

    def run(body, **settings):
        from conftest import SEED

        number = len(list(tmp_path.iterdir()))
        settings = {"LOG": tmp_path / f"log{number}", "MEMORY": 64 << 20, **settings}
        env = {
            **os.environ, "GRADDB_CUDA_LIBRARY": f"{driver}/libcuda.so.1",
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            **{f"GRADDB_STUB_{name}": str(value) for name, value in settings.items()},
        }
        done = subprocess.run(
            [sys.executable, "-B", "-c", PRELUDE + body, str(tmp_path / f"db{number}"), str(SEED)],
            env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"seed {SEED}\n{done.stderr}"
        return done.stdout

    return run


def test_query_vectors_on_a_gpu_are_those_of_the_host(run):
    run("""
q = rng.standard_normal((5, 96)).astype(np.float32)
halves = {"float32": q, "float16": q.astype(np.float16),
          "bfloat16": (bf16(q).astype(np.uint32) << 16).view(np.float32)}
copied = 0
for type, host in halves.items():
    size = 4 if type == "float32" else 2
    for shape in (q, q[0], q[:1]):
        here = answer(host[:len(shape)] if shape.ndim == 2 else host[0])
        for more in ({}, {"before": 64}, {"strides": False}, {"pitch": 99} if shape.ndim == 2 else {},
                     {"versioned": False}):
            there = GPUTensor(shape, type, **more)
            assert answer(there) == here, (type, shape.shape, more)
            assert there.was_taken_once()
            copied += shape.size * size
            assert answer({"g": GPUTensor(shape, type, **more)}) == here
            copied += shape.size * size
# Every byte was copied once, and by the driver.
assert sum(int(one[0]) for one in calls("cuMemcpyDtoH_v2")) == copied
assert not calls("cuMemcpyDtoHAsync_v2") and not calls("cuLaunchKernel")
# Nothing is copied of no rows.
nothing = np.empty((0, 96), np.float32)
refused(graddb.BadInput, "it has 0 rows", lambda: answer(GPUTensor(nothing)))
""")


def test_rows_and_the_second_gpu(run):
    run("""
more = rng.standard_normal((7, 96)).astype(np.float32)
there = GPUTensor(more, device=1)
t.append(there, ids=range(1000, 1007), checkpoint="c")
assert there.was_taken_once()
u = db.create_table("u", layers={"g": (96, "f32")})
with u.writer("c") as writer:
    writer.append(GPUTensor(more, "float16", device=1), ids=range(7))
assert (u.read(range(7)) == more.astype(np.float16)).all()
# What is scored on one GPU may be asked from another.
assert answer(GPUTensor(more, device=1), device="gpu:0") == answer(more)
""", DEVICES=2)


def test_what_cannot_be_read_is_refused(run):
    run("""
q = np.ones((3, 96), np.float32)
for words, tensor in (
    ("is of type float64 on a GPU", GPUTensor(q, "float64")),
    ("is of type int32 on a GPU", GPUTensor(q, "int32")),
    ("do not lie side by side", GPUTensor(q, step=2)),
    ("DLPack 2.0", GPUTensor(q, major=2)),
    ("elements of 2 numbers", GPUTensor(q, lanes=2)),
    ("has shape [3, 1, 96]", GPUTensor(q[:, None], strides=False)),
):
    refused(graddb.BadInput, words, lambda: answer(tensor))
    assert tensor.deleted == 1
refused(graddb.BadInput, "DLPack's kind 8", lambda: answer(GPUTensor(q, device_type=8)))
lost = GPUTensor(q)
lost.device = lost.tensor.device_id = 3
refused(graddb.Error, "there is no GPU 3: the NVIDIA driver shows 1", lambda: answer(lost))
assert lost.deleted == 1
# The wrong address: the driver says so, and the next one is read.
astray = GPUTensor(q)
astray.tensor.data += 1 << 20
refused(graddb.Error, "CUDA_ERROR_INVALID_VALUE", lambda: answer(astray))
assert astray.deleted == 1 and answer(GPUTensor(q)) == answer(q)
""")


def test_a_driver_that_fails_a_copy_says_so(run):
    run("""
q = np.ones((1, 96), np.float32)
answer(GPUTensor(q))
refused(graddb.Error, "CUDA_ERROR_UNKNOWN (999): unknown error, copying 384 bytes of a tensor from the "
        "device on Stub GPU (GPU 0)", lambda: answer(GPUTensor(q)))
""", FAIL="cuMemcpyDtoH_v2:2")


def test_an_old_gpu_can_be_read_though_nothing_runs_there(run):
    run("""
q = np.ones((1, 96), np.float32)
assert answer(GPUTensor(q)) == answer(q)
refused(graddb.Error, "compute capability 7.5", lambda: answer(q, device="gpu"))
""", CAPABILITY="7.5")


def test_tensors_of_torch_are_read_where_they_are(run):
    pytest.importorskip("torch")
    run("""
import contextlib, torch

class Wrapped(torch.Tensor):
    "A tensor of torch's whose memory the stand-in has: torch itself has no GPU here."

    @staticmethod
    def __new__(cls, inner, dtype):
        made = torch.Tensor._make_wrapper_subclass(cls, tuple(inner.shape), dtype=dtype, device="cuda:0",
                                                   requires_grad=True)
        made.inner, made.type_ = inner, dtype
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        assert function is torch.ops.aten.detach.default, function
        return Wrapped(arguments[0].inner, arguments[0].type_).requires_grad_(False)

    def __dlpack_device__(self): return self.inner.__dlpack_device__()
    def __dlpack__(self, **options): return self.inner.__dlpack__(**options)

current = []
@contextlib.contextmanager
def device(one):
    current.append(one)
    yield
torch.cuda.device = device
q = rng.standard_normal((5, 96)).astype(np.float32)
for dtype, name in ((torch.float32, "float32"), (torch.float16, "float16")):
    inner = GPUTensor(q, name)
    assert answer(Wrapped(inner, dtype)) == answer(q.astype(name)) and inner.was_taken_once()
assert current == 2 * [torch.device("cuda:0")]
assert len(calls("cuMemcpyDtoH_v2")) == 2
""")


def test_a_kept_table_is_copied_once(run):
    run("""
q = rng.standard_normal((2, 96)).astype(np.float32)
for devices in ("gpu", "gpu:1"):
    with t.keep(device=devices) as kept:
        assert "Stub GPU" in kept.device and kept.bytes > 150 * 96 and kept.row_groups == 5
        copies = len(calls("cuMemcpyHtoDAsync_v2"))
        plan = t.explain("SCORE dot TO $q TOP 3", q=q, device=devices, analyze=True).json
        assert '"staged_bytes": 0' in str(plan).replace("'", '"'), plan
        assert answer(q, device=devices) == answer(q)
    kept.release()
""", DEVICES=2)


def test_where_a_gpu_fails_under_auto_a_note_says_so(run):
    script = """
q = np.ones((1, 96), np.float32)
here = answer(q)
kept = t.keep(device="auto")
assert kept.bytes > 0
# What is there already is scored there.
r = t.query("SCORE dot TO $q TOP 150", q=q, device="auto")
print(len(calls("cuLaunchKernel")))
assert r.scores.tolist() == here[2] and not heard, heard
assert ", on Stub GPU" in str(r.plan)
r = t.query("SCORE dot TO $q TOP 150", q=q, device="auto")
assert r.scores.tolist() == here[2]
"""
    launches = int(run(script).split()[0])
    run(script + """
(level, note), = heard
assert level == "WARNING" and "CUDA_ERROR_LAUNCH_FAILED" in note, heard
assert note.endswith("the processor did what was left"), note
assert "device_failure" in str(r.plan.json)
refused(graddb.Error, "CUDA_ERROR_LAUNCH_FAILED", lambda: answer(q, device="gpu"))
""", FAIL=f"cuLaunchKernel:{launches + 1}")


def test_without_a_driver_nothing_is_kept(run):
    run("""
os.environ["GRADDB_CUDA_LIBRARY"] = "/nowhere/libcuda.so.1"
with t.keep(device="auto") as kept:
    assert kept.bytes == 0 and kept.device is None
(level, note), = heard
assert level == "WARNING" and "nothing is kept" in note
refused(graddb.Error, "there is no NVIDIA driver here", lambda: t.keep(device="gpu"))
refused(graddb.Error, "there is no NVIDIA driver here",
        lambda: answer(np.ones(96, np.float32), device="gpu"))
""")
