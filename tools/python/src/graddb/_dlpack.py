"""DLPack: tensors of other packages, by their memory, on the host and on NVIDIA GPUs.

A tensor is handed over as a capsule that names a C structure; whoever takes it renames the capsule, and
calls the structure's deleter once, when it is done with the memory. Both forms are taken, that of
DLPack 1 ("dltensor_versioned") and the one before ("dltensor").
"""

from __future__ import annotations

import ctypes
from ctypes import (POINTER, Structure, c_char_p, c_int32, c_int64, c_uint8, c_uint16,
                    c_uint32, c_uint64, c_void_p, py_object)
from typing import Any, NamedTuple

import numpy as np

from . import errors

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
HOSTS = (CPU, CUDA_HOST)
GPUS = (CUDA, CUDA_MANAGED)
# What the stream of a GPU is called in which the engine copies: the default one.
DEFAULT_STREAM = 1
VERSION = (1, 0)
KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}

_deleter = ctypes.PYFUNCTYPE(None, c_void_p)  # with the interpreter's lock, which it may need


class _Device(Structure):
    _fields_ = [("type", c_int32), ("number", c_int32)]


class _Type(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _Tensor(Structure):
    _fields_ = [("data", c_void_p), ("device", _Device), ("rank", c_int32), ("type", _Type),
                ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("offset", c_uint64)]


class _Managed(Structure):
    _fields_ = [("tensor", _Tensor), ("context", c_void_p), ("deleter", c_void_p)]


class _Versioned(Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p),
                ("deleter", c_void_p), ("flags", c_uint64), ("tensor", _Tensor)]


# By the capsule's name: what it holds, and its name once it has been taken, which must live on.
_FORMS: dict[bytes, tuple[Any, bytes]] = {
    b"dltensor": (_Managed, b"used_dltensor"),
    b"dltensor_versioned": (_Versioned, b"used_dltensor_versioned"),
}


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(ctypes.pythonapi, name)
    function.restype, function.argtypes = result, arguments
    return function


_name = _function("PyCapsule_GetName", c_char_p, py_object)
_pointer = _function("PyCapsule_GetPointer", c_void_p, py_object, c_char_p)
_rename = _function("PyCapsule_SetName", c_int32, py_object, c_char_p)


class _Owner:
    """What a tensor's memory lives with: calls the deleter, once."""

    def __init__(self, address: int, deleter: int | None) -> None:
        self._address, self._deleter = address, deleter

    def release(self) -> None:
        deleter, self._deleter = self._deleter, None
        if deleter and _deleter is not None:  # which it is when the interpreter ends
            _deleter(deleter)(self._address)

    def __del__(self) -> None:
        self.release()


class Taken(NamedTuple):
    """A tensor that was handed over; `owner` keeps it."""

    address: int
    device: tuple[int, int]  # DLPack's number of its kind, and which of them
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    type: str  # "float32", "bfloat16", "int8", …
    owner: Any


def device_of(value: Any) -> tuple[int, int] | None:
    """Where a tensor lies that can be handed over; None for what is none."""
    if not (hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__")):
        return None
    kind, number = value.__dlpack_device__()
    return int(kind), int(number)


def take(value: Any, what: str) -> Taken:
    """Takes a tensor over. Raises BadInput for one that is on no host and no NVIDIA GPU."""
    device = device_of(value)
    if device is None or device[0] not in HOSTS + GPUS:
        raise errors.BadInput(f"{what} is on a device of DLPack's kind {device and device[0]}; the host "
                              "and NVIDIA GPUs can be read: copy it there")
    # The producer sees to it that the stream waits for what writes the tensor.
    options: dict[str, Any] = {"stream": DEFAULT_STREAM} if device[0] in GPUS else {}
    try:
        try:
            capsule = value.__dlpack__(**options, max_version=VERSION)
        except TypeError:  # older than DLPack 1
            capsule = value.__dlpack__(**options)
    except BufferError as error:
        raise errors.BadInput(f"{what} is not handed over: {error}") from None
    return _opened(capsule, what)


def _opened(capsule: Any, what: str) -> Taken:
    if type(capsule).__name__ != "PyCapsule" or (name := _name(capsule)) not in _FORMS:
        raise errors.BadInput(f"{what}: its __dlpack__ gave no tensor that can be taken")
    form, used = _FORMS[name]
    address = _pointer(capsule, name)
    managed = form.from_address(address)
    _rename(capsule, used)
    owner = _Owner(address, managed.deleter)
    try:
        if form is _Versioned and managed.major != VERSION[0]:
            raise errors.BadInput(f"{what} comes as DLPack {managed.major}.{managed.minor}; version 1 "
                                  "and those before are read")
        return _described(managed.tensor, owner, what)
    except BaseException:
        owner.release()  # now, and not when nobody looks at the error any more
        raise


def _described(tensor: _Tensor, owner: _Owner, what: str) -> Taken:
    if tensor.type.lanes != 1:
        raise errors.BadInput(f"{what} has elements of {tensor.type.lanes} numbers; one is needed")
    shape = tuple(tensor.shape[:tensor.rank])
    if tensor.strides:
        strides = tuple(tensor.strides[:tensor.rank])
    else:
        strides, step = (), 1
        for extent in reversed(shape):
            strides, step = (step, *strides), step * extent
    kind = KINDS.get(tensor.type.code, f"type {tensor.type.code}, ")
    # An address of 0 is that of a tensor without elements.
    return Taken((tensor.data or 0) + tensor.offset, (tensor.device.type, tensor.device.number),
                 shape, strides, f"{kind}{tensor.type.bits}", owner)


# As numpy calls them; bf16, which it does not know, by its bits.
_NUMPY = {"float16": "f2", "float32": "f4", "float64": "f8", "bfloat16": "u2",
          **{f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)}}


def on_host(taken: Taken, what: str) -> np.ndarray:
    """A tensor in the host's memory, as an array over it that keeps it; bf16 as uint16."""
    if taken.type not in _NUMPY:
        raise errors.BadInput(f"{what} has elements of type {taken.type}; numbers are needed")
    type = np.dtype(_NUMPY[taken.type])
    if 0 in taken.shape:
        return np.empty(taken.shape, type)
    return np.asarray(_Memory({
        "version": 3, "typestr": type.str, "shape": taken.shape, "data": (taken.address, True),
        "strides": tuple(stride * type.itemsize for stride in taken.strides),
    }, taken.owner))


class _Memory:
    """What numpy makes an array of, which keeps it."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__, self.owner = interface, owner
