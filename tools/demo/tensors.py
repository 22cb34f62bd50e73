"""Safetensors files of one f16 tensor named `grad`: the little of the format that the demo needs.

A file is a little-endian u64 with the header's length, the header (JSON: dtype, shape and byte
range of each tensor, and `__metadata__`; padded with spaces so that the data start at a multiple
of 8), then the data. `rows` and `write_rows` need the standard library alone.
"""

import json


def read_header(blob):
    """(about `grad`, metadata, where its data start)."""
    start = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:start])
    about = header["grad"]
    assert about["dtype"] == "F16", about
    return about, header.get("__metadata__", {}), start + about["data_offsets"][0]


def read_rows(path, first, count):
    """(the bytes of rows first ... first + count - 1, dims, metadata)."""
    blob = path.read_bytes()
    about, metadata, start = read_header(blob)
    rows, dims = about["shape"]
    assert 0 <= first and first + count <= rows, (path, first, count)
    return blob[start + 2 * dims * first:start + 2 * dims * (first + count)], dims, metadata


def write_rows(path, data, dims, metadata=None):
    """The bytes of f16 rows."""
    header = {"__metadata__": metadata} if metadata else {}
    header["grad"] = {"dtype": "F16", "shape": [len(data) // (2 * dims), dims],
                      "data_offsets": [0, len(data)]}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write(path, grad, metadata=None):
    """[rows, dims]"""
    import numpy as np

    grad = np.ascontiguousarray(grad, dtype="<f2")
    write_rows(path, grad.tobytes(), grad.shape[1], metadata)


def read(path):
    """[rows, dims], f16."""
    import numpy as np

    blob = path.read_bytes()
    about, _, start = read_header(blob)
    count = about["shape"][0] * about["shape"][1]
    return np.frombuffer(blob, "<f2", count, start).reshape(about["shape"])
