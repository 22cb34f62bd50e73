"""Tensors that lie in the memory of the stand-in for NVIDIA's driver (Tests/gpu/stub), handed over by
DLPack: for processes that GRADDB_CUDA_LIBRARY tells of it."""

import ctypes
import os
from ctypes import POINTER, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p

import numpy as np

CUDA = ctypes.CDLL(os.environ["GRADDB_CUDA_LIBRARY"])
CODES = {"float32": (2, 32), "float16": (2, 16), "bfloat16": (4, 16), "float64": (2, 64), "int32": (0, 32)}
DELETER = ctypes.CFUNCTYPE(None, c_void_p)

new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [c_void_p, ctypes.c_char_p, c_void_p]
name_of = ctypes.pythonapi.PyCapsule_GetName
name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]


class Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", c_void_p), ("deleter", DELETER)]


class Versioned(ctypes.Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", DELETER),
                ("flags", c_uint64), ("tensor", Tensor)]


def made(name, kind, *arguments):
    value = kind()
    code = getattr(CUDA, name)(ctypes.byref(value), *arguments)
    assert code == 0, (name, code)
    return value


def enter(device):
    """Makes the context of a GPU current, as whoever has tensors there has done."""
    assert CUDA.cuInit(0) == 0
    assert CUDA.cuCtxPushCurrent_v2(made("cuDevicePrimaryCtxRetain", c_void_p, device)) == 0


def bf16(array):
    """The bits of the nearest bf16, of numbers that are none of the extremes."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class GPUTensor:
    """An array in the memory of a GPU, with `before` bytes in front of it and rows that are `pitch`
    elements apart. `log` gets what happens to it."""

    def __init__(self, array, type="float32", device=0, before=0, pitch=None, versioned=True, strides=True,
                 device_type=2, major=1, lanes=1, step=1):
        self.device, self.device_type, self.versioned, self.major = device, device_type, versioned, major
        stored = bf16(array) if type == "bfloat16" else np.asarray(array, type)
        width = array.shape[-1] * step
        pitch = pitch or width
        rows = stored.reshape(-1, stored.shape[-1])
        padded = np.full((len(rows), pitch), 7, stored.dtype)
        padded[:, :width:step] = rows
        enter(device)
        size = before + padded.nbytes
        self.address = made("cuMemAlloc_v2", c_uint64, c_size_t(max(1, size))).value
        # The stand-in's memory is the host's.
        ctypes.memmove(self.address + before, padded.tobytes(), padded.nbytes)
        CUDA.cuCtxPopCurrent_v2(ctypes.byref(c_void_p()))
        self.shape = (c_int64 * array.ndim)(*array.shape)
        self.strides = (c_int64 * array.ndim)(*([pitch, step][-array.ndim:]))
        code, bits = CODES[type]
        self.tensor = Tensor(self.address, device_type, device, array.ndim, code, bits, lanes, self.shape,
                             self.strides if strides else None, before)
        self.deleted, self.streams, self.capsules = 0, [], []
        self.deleter = DELETER(self.delete)

    def delete(self, address):
        assert address == ctypes.addressof(self.managed)
        self.deleted += 1

    def __dlpack_device__(self):
        return self.device_type, self.device

    def __dlpack__(self, *, stream=None, **more):
        if more and not self.versioned:
            raise TypeError("an argument that is not known")
        self.streams.append(stream)
        if self.versioned:
            assert more == {"max_version": (1, 0)}
            self.managed = Versioned(self.major, 0, None, self.deleter, 0, self.tensor)
            name = b"dltensor_versioned"
        else:
            self.managed = Managed(self.tensor, None, self.deleter)
            name = b"dltensor"
        self.name = name  # of the capsule, which does not copy it
        self.capsules.append(new_capsule(ctypes.addressof(self.managed), name, None))
        return self.capsules[-1]

    def was_taken_once(self):
        """Handed over once, renamed, given back once."""
        assert [name_of(one) for one in self.capsules] == [b"used_" + self.name], self.capsules
        assert self.deleted == 1, self.deleted
        assert self.streams == [1], self.streams
        return True
