"""Vectors as numpy and torch hold them: strides, types, layouts; what is copied and what is not."""

import numpy as np
import pytest

import graddb
from graddb import _library
from graddb._tensors import TensorArray

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")

ROWS, DIMS = 37, 50


def stored_as(db, given, what="t"):
    """What the engine has understood: `given` stored as f32 and read again."""
    table = db.create_table(what, layers={"grad": (DIMS, "f32")})
    table.append(given, ids=range(len(given)), checkpoint="a")
    return table.read(range(len(given)))


def numpy_views(rng):
    base = rng.standard_normal((3 * ROWS, 4 * DIMS)).astype(np.float32)
    yield "contiguous", base[:ROWS, :DIMS].copy()
    yield "rows apart", base[:ROWS, 7:7 + DIMS]
    yield "every third row", base[::3, :DIMS]
    yield "rows backwards", base[ROWS - 1::-1, :DIMS]
    yield "one row, repeated", np.broadcast_to(base[5, :DIMS], (ROWS, DIMS))
    yield "overlapping rows", np.lib.stride_tricks.sliding_window_view(base[0], DIMS)[:ROWS]
    yield "every other column", base[:ROWS, :2 * DIMS:2]
    yield "columns first", np.asfortranarray(base[:ROWS, :DIMS])
    yield "unaligned", np.frombuffer(b"x" + base[:ROWS, :DIMS].tobytes(), np.uint8)[1:].view(
        np.float32).reshape(ROWS, DIMS)
    yield "read-only", np.frombuffer(base[:ROWS, :DIMS].tobytes(), np.float32).reshape(ROWS, DIMS)
    yield "big-endian", base[:ROWS, :DIMS].astype(">f4")
    yield "f16", base[:ROWS, :DIMS].astype(np.float16)
    yield "f16, rows apart", base.astype(np.float16)[:ROWS, :DIMS]
    yield "f64", base[:ROWS, :DIMS].astype(np.float64)
    yield "integers", rng.integers(-100, 100, (ROWS, DIMS))
    yield "lists", base[:ROWS, :DIMS].tolist()


@pytest.mark.parametrize("case", range(16))
def test_numpy_arrays_of_every_layout(db, rng, case):
    name, given = list(numpy_views(rng))[case]
    assert (stored_as(db, given) == np.asarray(given).astype(np.float32)).all(), name


@needs_torch
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64", "int32"])
@pytest.mark.parametrize("layout", ["contiguous", "rows apart", "transposed", "expanded", "grad"])
def test_torch_tensors_of_every_layout(db, kind, layout):
    torch.manual_seed(5)
    tensor = (torch.randn(4 * ROWS, 4 * DIMS) * 8).to(getattr(torch, kind))
    tensor = {"contiguous": lambda: tensor[:ROWS, :DIMS].contiguous(),
              "rows apart": lambda: tensor[1:4 * ROWS:4, 3:3 + DIMS],
              "transposed": lambda: tensor[:DIMS, :ROWS].t(),
              "expanded": lambda: tensor[0, :DIMS].expand(ROWS, DIMS),
              "grad": lambda: tensor[:ROWS, :DIMS].float().requires_grad_()}[layout]()
    assert (stored_as(db, tensor) == tensor.detach().float().numpy()).all()


@needs_torch
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_torch_rows_are_not_copied(kind):
    tensor = torch.zeros(100, 80, dtype=getattr(torch, kind))[::2, 5:50]
    array = TensorArray({"grad": tensor}, "t").array[0]
    assert array.data == tensor.data_ptr()
    assert array.row_stride == 2 * 80 * tensor.element_size()


@pytest.mark.parametrize("kind, number", [(np.float32, _library.F32), (np.float16, _library.F16)])
def test_numpy_rows_are_not_copied(kind, number):
    array = np.zeros((100, 80), kind)[::-2, 5:50]
    tensor = TensorArray({"grad": array}, "t").array[0]
    assert tensor.data == array.__array_interface__["data"][0]
    assert tensor.row_stride == array.strides[0] and tensor.dtype == number
    assert (tensor.rows, tensor.dims) == array.shape


def test_one_query_vector_needs_no_second_dimension(table):
    one = table.query("SCORE dot TO $q TOP 5", q=table.vectors[4])
    assert list(one["query"]) == ["$q"] * 5
    same = table.query("SCORE dot TO $q TOP 5", {"q": {"grad": table.vectors[4:5]}})
    assert (one.ids == same.ids).all() and (one.scores == same.scores).all()


def test_a_query_may_be_a_file(table, tmp_path):
    np.save(tmp_path / "q.npy", table.vectors[4])
    file = table.query("SCORE dot TO $q TOP 5", q=tmp_path / "q.npy")
    memory = table.query("SCORE dot TO $q TOP 5", q=table.vectors[4])
    assert (file.ids == memory.ids).all() and (file.scores == memory.scores).all()


@pytest.mark.parametrize("given, message", [
    (np.zeros((2, 3, 4), np.float32), "shape"),
    (np.zeros(50, np.float32), "shape"),
    (np.float32(3), "shape"),
    (np.zeros((2, 49), np.float32), "49 dims"),
    (np.zeros((2, 0), np.float32), "dim"),
    (np.zeros((0, 50), np.float32), "no rows"),
    (np.zeros((2, 50), complex), "complex128"),
    (np.full((2, 50), "x"), "dtype"),
    (np.full((2, 50), np.nan, np.float32), "NaN"),
    (np.full((2, 50), np.inf, np.float32), "inf"),
    ({"wrong": np.zeros((2, 50), np.float32)}, "grad"),
    ({}, "grad"),
])
def test_vectors_that_cannot_be_are_refused(db, given, message):
    table = db.create_table("t", layers={"grad": (50, "int8")})
    with pytest.raises(graddb.BadInput, match=f"(?i){message}"):
        table.append(given, checkpoint="a")
    assert len(table) == 0 and table.snapshots() == []


def test_layers_must_have_the_same_rows(db):
    table = db.create_table("t", layers={"a": (4, "f32"), "b": (4, "f32")})
    with pytest.raises(graddb.BadInput, match="\"a\" has 3"):
        table.append({"a": np.ones((3, 4)), "b": np.ones((2, 4))}, checkpoint="c")
    with pytest.raises(graddb.BadInput, match="layers"):
        table.append(np.ones((3, 4)), checkpoint="c")
