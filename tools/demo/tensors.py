"""Safetensors files of one f16 tensor named `grad`: the little of the format that the demo needs.

A file is a little-endian u64 with the header's length, the header (JSON: dtype, shape and byte
range of each tensor; padded with spaces so that the data start at a multiple of 8), then the data.
"""

import json

import numpy as np


def write(path, grad):
    data = np.ascontiguousarray(grad, dtype="<f2").tobytes()
    about = {"dtype": "F16", "shape": list(grad.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"grad": about}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def read(path):
    blob = path.read_bytes()
    start = 8 + int.from_bytes(blob[:8], "little")
    about = json.loads(blob[8:start])["grad"]
    assert about["dtype"] == "F16", about
    first, end = about["data_offsets"]
    return np.frombuffer(blob[start + first:start + end], dtype="<f2").reshape(about["shape"])
