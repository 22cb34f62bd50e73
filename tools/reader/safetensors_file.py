"""Safetensors files: the types that vectors and gradients come in, and `__metadata__`.

A file is a little-endian u64 with the header's length, the header (JSON: dtype, shape and byte
range of each tensor; padded with spaces so that the data start at a multiple of 8), then the data.
"""

import json
import math

import numpy as np

DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def write(path, tensors, metadata=None):
    """{name: f32 or f16 array}, in the order of their names; `metadata` is {key: text}."""
    header, data = {}, []
    if metadata:
        header["__metadata__"] = metadata
    end = 0
    for name in sorted(tensors, key=lambda name: name.encode("utf-8")):
        values = np.asarray(tensors[name])
        kind = next(kind for kind, dtype in DTYPES.items() if dtype == values.dtype)
        data.append(np.ascontiguousarray(values, DTYPES[kind]).tobytes())
        header[name] = {"dtype": kind, "shape": list(values.shape),
                        "data_offsets": [end, end + len(data[-1])]}
        end += len(data[-1])
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(data)


def read(path):
    """({name: array}, metadata)."""
    with open(path, "rb") as file:
        blob = file.read()
    start = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        first, end = about["data_offsets"]
        dtype = DTYPES[about["dtype"]]
        if end - first != math.prod(about["shape"]) * dtype.itemsize or start + end > len(blob):
            raise ValueError(f"{path}: tensor {name} does not fit its place")
        values = np.frombuffer(blob[start + first:start + end], dtype)
        tensors[name] = values.reshape(about["shape"])
    return tensors, metadata
