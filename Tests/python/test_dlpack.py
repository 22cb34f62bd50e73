"""Tensors of packages that the library knows nothing of, in the host's memory, by DLPack. (On GPUs:
test_gpu.py.)"""

import gc
import sys

import numpy as np
import pytest

import graddb
from graddb._tensors import TensorArray
from test_tensors import DIMS, ROWS, needs_torch, stored_as, torch


class Handed:
    """A tensor that can be handed over, and nothing else."""

    def __init__(self, value):
        self.value = value

    def __len__(self):
        return len(self.value)

    def __dlpack_device__(self):
        return self.value.__dlpack_device__()

    def __dlpack__(self, **options):
        assert "stream" not in options
        return self.value.__dlpack__(**options)


class Old(Handed):
    """The same from before DLPack 1."""

    def __dlpack__(self):
        return self.value.__dlpack__()


def views(rng):
    base = rng.standard_normal((3 * ROWS, 4 * DIMS))
    for type in ("f4", "f2", "f8"):
        array = base.astype(type)
        yield array[:ROWS, :DIMS].copy()
        yield array[::3, 7:7 + DIMS]
        yield array[ROWS - 1::-1, :2 * DIMS:2]
        yield np.asfortranarray(array[:ROWS, :DIMS])
    for type in ("i1", "u2", "i4", "i8"):
        yield (100 * base[:ROWS, :DIMS]).astype(type)


@pytest.mark.parametrize("kind", [Handed, Old])
def test_the_host_s_tensors_are_read(db, rng, kind):
    for number, view in enumerate(views(rng)):
        stored = stored_as(db, kind(view), f"t{number}")
        assert (stored == view.astype(np.float32)).all(), (number, view.dtype, view.strides)


@needs_torch
def test_bf16_is_not_widened(db, rng):
    base = torch.from_numpy(rng.standard_normal((ROWS, 2 * DIMS))).to(torch.bfloat16)
    for number, view in enumerate((base[:, :DIMS], base[:, ::2], base[:, :DIMS].clone())):
        assert (stored_as(db, Handed(view), f"t{number}") == view.float().numpy()).all()
    array = TensorArray(Handed(base), "it")
    assert (array.array[0].data, array.array[0].dtype) == (base.data_ptr(), 2)


def test_nothing_is_copied_and_everything_is_given_back(table, rng):
    q = rng.standard_normal((2, 96)).astype(np.float32)
    before = sys.getrefcount(q)
    array = TensorArray(Handed(q), "it")
    assert array.array[0].data == q.ctypes.data and sys.getrefcount(q) > before
    del array
    there = table.query("SCORE dot TO $q TOP 9", q=Handed(q))
    here = table.query("SCORE dot TO $q TOP 9", q=q)
    assert there.ids.tolist() == here.ids.tolist() and there.scores.tolist() == here.scores.tolist()
    for wrong in (Handed(np.zeros((2, 2, 96), np.float32)), Handed(np.zeros((2, 96), np.complex64))):
        value, references = wrong.value, sys.getrefcount(wrong.value)
        with pytest.raises(graddb.BadInput):
            table.query("SCORE dot TO $q TOP 9", q=wrong)
        gc.collect()
        assert sys.getrefcount(value) == references
    gc.collect()
    assert sys.getrefcount(q) == before


def test_what_is_no_tensor_is_refused(table):
    class Refuses(Handed):
        def __dlpack__(self, **options):
            raise BufferError("it is busy")

        def __dlpack_device__(self):
            return 1, 0

    class Elsewhere(Refuses):
        def __dlpack_device__(self):
            return 10, 0

    class NoCapsule(Refuses):
        def __dlpack__(self, **options):
            return self.value

    taken = np.ones((1, 96), np.float32).__dlpack__()
    for value, words in ((Refuses(None), "is not handed over: it is busy"),
                         (Elsewhere(None), "DLPack's kind 10"), (NoCapsule(None), "gave no tensor"),
                         (NoCapsule([1, 2]), "gave no tensor")):
        with pytest.raises(graddb.BadInput, match=words):
            table.query("SCORE dot TO $q TOP 9", q=value)
    once = NoCapsule(taken)
    table.query("SCORE dot TO $q TOP 9", q=once)
    with pytest.raises(graddb.BadInput, match="gave no tensor"):  # a capsule is taken once
        table.query("SCORE dot TO $q TOP 9", q=once)
