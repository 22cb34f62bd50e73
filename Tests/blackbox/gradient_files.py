"""Writes the input files that gradctl reads, from their formats' definitions.

No safetensors package: the writers here are also able to lie, which the bad-input tests need.
"""

import json
import struct

import numpy as np

SAFETENSORS_TYPES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I32": 4}


def to_bf16_bits(values):
    """The upper halves of float32s, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry a NaN's payload into an infinity; keep NaNs NaN.
    rounded = np.where(np.isnan(values), (bits >> 16) | 0x40, rounded)
    return rounded.astype(np.uint16)


def from_bf16_bits(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_type(values, dtype):
    """The float32 values that a file of this type holds."""
    values = np.asarray(values, dtype=np.float32)
    if dtype == "F16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        return from_bf16_bits(to_bf16_bits(values)).reshape(values.shape)
    return values


def encode(values, dtype):
    """Little-endian bytes of an array in a safetensors type."""
    if dtype == "BF16":
        return to_bf16_bits(values).astype("<u2").tobytes()
    numpy_type = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I32": "<i4"}[dtype]
    return np.ascontiguousarray(values).astype(numpy_type).tobytes()


def safetensors(tensors, dtype="F32", metadata=None):
    """A well-formed safetensors document of named arrays."""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, values in tensors.items():
        body = encode(values, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(np.shape(values)),
            "data_offsets": [len(data), len(data) + len(body)],
        }
        data += body
    return raw_safetensors(header, data)


def raw_safetensors(header, data, header_bytes=None):
    """A document from a given header (dict, or bytes as they are) that may promise anything."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    if not isinstance(header, bytes):
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if header_bytes is None else header_bytes) + text + data


def npy(values, version=(1, 0)):
    """A well-formed .npy file in C order; `values` has the dtype to store."""
    values = np.ascontiguousarray(values)
    descr = values.dtype.newbyteorder("<").str
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {values.shape}, }}"
    return raw_npy(header, values.astype(descr).tobytes(), version)


def raw_npy(header, data, version=(1, 0)):
    """An .npy file with a given header text, padded to 64 bytes as the format asks."""
    text = header.encode("latin-1" if version[0] < 3 else "utf-8")
    width = 2 if version[0] == 1 else 4
    text += b" " * (-(8 + width + len(text) + 1) % 64) + b"\n"
    length = len(text).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + data


def frame(document):
    """One message of a stream: the document's length, then the document."""
    return struct.pack("<Q", len(document)) + document


def stream(documents):
    return b"".join(map(frame, documents))


def metadata_lines(rows):
    """JSON Lines, one object per row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


class Files:
    """Writes into one directory, and returns the paths."""

    def __init__(self, directory):
        self.directory = directory

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def tensors(self, name, tensors, dtype="F32"):
        return self.write(name, safetensors(tensors, dtype))

    def grad(self, name, values, dtype="F32"):
        """A safetensors file for the usual one-layer table."""
        return self.tensors(name, {"grad": values}, dtype)

    def npy(self, name, values, version=(1, 0)):
        return self.write(name, npy(values, version))

    def metadata(self, name, rows):
        return self.write(name, metadata_lines(rows))
