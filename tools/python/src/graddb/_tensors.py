"""Vectors for the library: numpy arrays, torch tensors, and what DLPack hands over, by their memory.

Nothing is copied where each row's elements lie side by side, whatever lies between the rows; other
arrays, and types other than f32, f16 and bf16, are copied row-contiguous, to f32 where the type
changes. float64 loses digits that way, which is said nowhere but here: gradients have none to lose.

What lies on a GPU is read there by the library; what has to be changed first is changed there.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Mapping, NamedTuple

import numpy as np

from . import _dlpack, _library, errors
from ._call import call, encode

Vectors = Any  # numpy.ndarray, torch.Tensor, what has __dlpack__, or what numpy.asarray takes


class Matrix(NamedTuple):
    """A matrix in memory, and what keeps it there."""

    address: int
    rows: int
    dims: int
    row_stride: int  # bytes
    dtype: int
    owner: Any
    device: int = _library.HOST


def _matrix(value: Vectors, what: str, allow_vector: bool, allow_gpu: bool = True) -> Matrix:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _torch_matrix(torch, value, what, allow_vector, allow_gpu)
    if not isinstance(value, np.ndarray):
        device = _dlpack.device_of(value)
        # What numpy takes by itself it goes on taking.
        if device is not None and (device[0] != _dlpack.CPU or not _is_array(value)):
            return _dlpack_matrix(_dlpack.take(value, what), what, allow_vector)
    return _numpy_matrix(value, what, allow_vector)


def _is_array(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("__array_interface__", "__array_struct__", "__array__"))


def _check_shape(shape: tuple[int, ...], what: str, allow_vector: bool) -> None:
    if len(shape) == 2 or (len(shape) == 1 and allow_vector):
        return
    wanted = "[rows, dims] or [dims]" if allow_vector else "[rows, dims]"
    raise errors.BadInput(f"{what} has shape {list(shape)}, but {wanted} is needed")


def _torch_matrix(torch: Any, tensor: Any, what: str, allow_vector: bool, allow_gpu: bool) -> Matrix:
    _check_shape(tuple(tensor.shape), what, allow_vector)
    tensor = tensor.detach()
    if tensor.ndim == 1:
        tensor = tensor[None]
    if tensor.is_complex() or tensor.layout != torch.strided:
        raise errors.BadInput(f"{what} is a {tensor.dtype} tensor of layout {tensor.layout}; "
                              "dense real numbers are needed")
    kinds = {torch.float32: _library.F32, torch.float16: _library.F16,
             torch.bfloat16: _library.BF16}
    if tensor.dtype not in kinds:
        tensor = tensor.to(torch.float32)
    if tensor.device.type != "cpu":
        if allow_gpu and _can_read(tensor.device, torch):
            with torch.cuda.device(tensor.device):  # torch hands over what is on the current one
                taken = _dlpack.take(tensor.resolve_neg().contiguous(), what)
            return _dlpack_matrix(taken, what, allow_vector)
        tensor = tensor.cpu()
    if tensor.shape[1] > 1 and tensor.stride(1) != 1:
        tensor = tensor.contiguous()
    tensor = tensor.resolve_neg()
    rows, dims = tensor.shape
    return Matrix(tensor.data_ptr(), rows, dims, tensor.stride(0) * tensor.element_size(),
                  kinds[tensor.dtype], tensor)


def _can_read(device: Any, torch: Any) -> bool:
    """Whether the library reads the memory of a device of torch's; else torch copies it to the host."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    try:
        call("graddb_check_gpu", device.index)
    except errors.Error:  # a driver that is too old for the library
        return False
    return True


def _dlpack_matrix(taken: _dlpack.Taken, what: str, allow_vector: bool) -> Matrix:
    _check_shape(taken.shape, what, allow_vector)
    kinds = {"float32": (_library.F32, 4), "float16": (_library.F16, 2), "bfloat16": (_library.BF16, 2)}
    if taken.device[0] in _dlpack.HOSTS:
        array = _dlpack.on_host(taken, what)
        return _numpy_matrix(array, what, allow_vector, is_bf16=taken.type == "bfloat16")
    if taken.type not in kinds:
        raise errors.BadInput(f"{what} is of type {taken.type} on a GPU; f32, f16 and bf16 are read "
                              "there: convert it")
    if len(taken.shape) == 1:
        taken = taken._replace(shape=(1, *taken.shape), strides=(0, *taken.strides))
    (rows, dims), (row_stride, step) = taken.shape, taken.strides
    if rows and dims > 1 and step != 1:
        raise errors.BadInput(f"{what} has elements that do not lie side by side on its GPU (its strides "
                              f"are {list(taken.strides)}): make it contiguous")
    dtype, size = kinds[taken.type]
    # One row lies behind none.
    stride = row_stride * size if rows > 1 else dims * size
    return Matrix(taken.address, rows, dims, stride, dtype, taken.owner,
                  _library.GPU_0 + taken.device[1])


def _numpy_matrix(value: Any, what: str, allow_vector: bool, is_bf16: bool = False) -> Matrix:
    array = np.asarray(value)
    _check_shape(array.shape, what, allow_vector)
    if array.ndim == 1:
        array = array[None]
    if is_bf16 or array.dtype.name == "bfloat16":  # by its bits, or of the package ml_dtypes
        kind = _library.BF16
    elif array.dtype == np.float16:
        kind = _library.F16
    else:
        kind = _library.F32
        if array.dtype != np.float32:
            if array.dtype.kind not in "fiu":
                raise errors.BadInput(f"{what} has dtype {array.dtype}; numbers are needed")
            array = array.astype(np.float32)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.shape[1] > 1 and array.strides[1] != array.itemsize:
        array = np.ascontiguousarray(array)
    rows, dims = array.shape
    return Matrix(array.__array_interface__["data"][0], rows, dims, array.strides[0], kind, array)


class RawTensorArray:
    """C structures for raw tensors [rows, ...shape]; keeps alive what they point to.

    Nothing is copied where the elements of each row lie side by side.
    """

    def __init__(self, tensors: Mapping[str, Vectors]) -> None:
        self._owners: list[Any] = []
        self.count = len(tensors)
        self.array = (_library.RawTensor * max(1, self.count))()
        self.rows: int | None = None
        for target, (name, value) in zip(self.array, tensors.items()):
            shape = tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
            if not shape:
                raise errors.BadInput(f"raw tensor {name!r} has no axis of rows; [rows, ...] is "
                                      "needed")
            if self.rows not in (None, shape[0]):
                raise errors.BadInput(f"raw tensor {name!r} has {shape[0]} rows, others have "
                                      f"{self.rows}; give all the same rows")
            self.rows = shape[0]
            count = int(np.prod(shape[1:], dtype=np.int64))
            flat = value.reshape(shape[0], count) if hasattr(value, "reshape") else \
                np.asarray(value).reshape(shape[0], count)
            matrix = _matrix(flat, f"raw tensor {name!r}", False, allow_gpu=False)
            extents = (ctypes.c_int64 * max(1, len(shape) - 1))(*shape[1:])
            text = encode(name, "a tensor's name")
            self._owners += [matrix.owner, extents, text]
            target.name, target.data, target.shape = text, matrix.address, extents
            target.row_stride, target.dtype = matrix.row_stride, matrix.dtype
            target.rank = len(shape) - 1


class TensorArray:
    """C structures for named tensors; keeps alive what they point to.

    A bare array stands for the only layer of a table.
    """

    def __init__(self, vectors: Vectors | Mapping[str, Vectors], what: str,
                 allow_vector: bool = False) -> None:
        named = vectors if isinstance(vectors, Mapping) else {None: vectors}
        self._owners: list[Any] = []
        self.count = len(named)
        self.array = (_library.Tensor * max(1, self.count))()
        self.rows = 0
        for target, (name, value) in zip(self.array, named.items()):
            label = what if name is None else f"{what}, tensor {name!r}"
            matrix = _matrix(value, label, allow_vector)
            text = None if name is None else encode(name, "a layer's name")
            self._owners += [matrix.owner, text]
            target.name = text
            target.data = matrix.address
            target.rows = self.rows = matrix.rows
            target.dims = matrix.dims
            target.row_stride = matrix.row_stride
            target.dtype = matrix.dtype
            target.device = matrix.device
