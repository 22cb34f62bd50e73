"""Gradients on a GPU: what can be tested without one, and on a machine that has one all of it."""

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import graddb  # noqa: E402
from graddb.torch import Projection  # noqa: E402
from graddb.torch.precision import full_precision  # noqa: E402
from graddb.torch.transfer import Transfer  # noqa: E402

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DOCUMENTS = [
    {"kind": kind, "version": 1, "dims": 256, "seed": "0x7", "normalise": normalise,
     **({"rank": [16, 16]} if kind == "factored" else {})}
    for kind in ("sketch", "dense", "factored") for normalise in ("none", "tensor")]


def tensors(document, rows=3):
    values = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(rows, *shape, generator=values)

    if document["kind"] == "factored":
        return {"m.grad_output": normal(7, 300), "m.input": normal(7, 500)}
    return {"a.weight": normal(40, 500), "b.bias": normal(33)}


@pytest.fixture
def precision():
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['normalise']}")
def test_what_training_allows_its_products_changes_no_projection(document, precision):
    x = tensors(document)
    wanted = Projection(document, native=False).project(x)
    for allowed in ("high", "medium"):
        precision(allowed)
        with torch.autocast("cpu", torch.bfloat16):
            found = Projection(document, native=False).project(x)
            assert torch.is_autocast_enabled("cpu")
        assert (found == wanted).all()
        assert torch.get_float32_matmul_precision() == allowed


def test_threads_leave_what_is_allowed_as_it_was(precision):
    x, signs = torch.randn(64, 4096), torch.randn(4096, 256)
    wanted = x.double() @ signs.double()
    precision("highest")
    exact = ((x @ signs - wanted).norm() / wanted.norm()).item()
    precision("medium")
    worst = []

    def use():
        for _ in range(50):
            with full_precision(x.device):
                worst.append(((x @ signs - wanted).norm() / wanted.norm()).item())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worst) == 200 and max(worst) < 1.3 * exact
    assert torch.get_float32_matmul_precision() == "medium"
    for device in (torch.device("cpu"), torch.device("cuda")):
        with pytest.raises(ZeroDivisionError), full_precision(device):
            1 / 0
        assert torch.get_float32_matmul_precision() == "medium"


def test_what_is_on_the_host_is_not_copied():
    rows = {"a": torch.randn(3, 5), "b": torch.randn(3, 2).to(torch.bfloat16)}
    found = Transfer(rows).wait()
    assert found.keys() == rows.keys() and all(found[key].data_ptr() == rows[key].data_ptr() for key in rows)


@needs_gpu
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['normalise']}")
def test_projections_on_a_gpu_are_those_of_the_definition(document, precision):
    precision("high")
    x = tensors(document)
    wanted = Projection(document).project(x)
    with torch.autocast("cuda", torch.bfloat16):
        found = Projection(document).project({name: one.cuda() for name, one in x.items()})
    assert found.is_cuda
    assert ((found.cpu() - wanted).norm(dim=1) <= 1e-5 * wanted.norm(dim=1)).all()
    assert torch.backends.cuda.matmul.allow_tf32


@needs_gpu
def test_vectors_leave_a_gpu_from_any_stream():
    stream = torch.cuda.Stream()
    for _ in range(20):
        with torch.cuda.stream(stream):
            torch.cuda._sleep(10_000_000)
            rows = torch.arange(1 << 20, device="cuda").view(16, -1).float()
            transfer = Transfer({"a": rows})
            rows = None
            torch.full((1 << 20,), -1.0, device="cuda")
        found = transfer.wait()["a"]
        assert found.is_pinned() and (found.flatten() == torch.arange(1 << 20)).all()


@needs_gpu
def test_query_vectors_on_a_gpu_and_a_kept_table(table):
    q = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 96), np.float32))

    def answer(q, **options):
        result = table.query("SCORE cosine TO $q TOP 50", q=q, **options)
        return result.ids.tolist(), result.scores.tolist()

    here = answer(q)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        there = q.cuda(non_blocking=True)
        torch.cuda._sleep(50_000_000)
        there = there * 1
        assert answer(there) == here
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            assert answer(there.to(dtype)) == answer(q.to(dtype))
        assert answer(there.T.contiguous().T) == here and answer(there[0]) == answer(q[0])
    with table.keep(device="gpu", device_memory="1G") as kept:
        assert kept.bytes > 0
        assert answer(there, device="gpu", device_memory="1G") == here
    assert isinstance(kept, graddb.Kept)
