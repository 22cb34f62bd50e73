"""Vector files and streams that must be refused: truncated, lying, of the wrong shape, not finite.

All exit 65, and the message names the file; for a value that is not finite also the row's id.
"""

import struct

import numpy as np

from bad_case import (
    DIMS,
    GOOD,
    Case,
    document,
    good_document,
    header_entry,
    ingest_file,
    with_value,
)
from graddb import BAD_INPUT, ingest_arguments
from gradient_files import frame, npy, raw_npy, raw_safetensors, safetensors, stream

NAN, INF = float("nan"), float("inf")
HUGE_HEADER = 100_000_001


def refused(name, content, table="counted", words=(), suffix="safetensors"):
    file = f"bad.{suffix}"
    return Case(name, BAD_INPUT, [r"bad\." + suffix, *words], ingest_file(file, content, table))


def raw(header, data=GOOD[:2].tobytes(), **lie):
    return lambda: raw_safetensors(header, data, **lie)


def two_layers(first, second, data):
    header = {
        "a": {"dtype": "F32", "shape": [2, 4], "data_offsets": first},
        "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": second},
    }
    return raw(header, data)


def header_above_the_limit(space):
    path = space.directory / "bad.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", HUGE_HEADER) + b"{}")
        file.truncate(8 + HUGE_HEADER)
    return ingest_arguments("counted", path.name, checkpoint="c2")


BYTES = 2 * DIMS * 4
TWICE = b'{"dtype":"F32","shape":[2,8],"data_offsets":[0,64]}'

SAFETENSORS = [
    refused("empty file", b""),
    refused("file shorter than the header's length", b"\x10\0\0"),
    refused("header of no bytes", struct.pack("<Q", 0)),
    refused("header longer than the file", raw(header_entry(), header_bytes=10_000)),
    refused("header length of 64 ones", raw(header_entry(), header_bytes=2**64 - 1)),
    refused("header length of 63 ones", raw(header_entry(), header_bytes=2**63 - 1)),
    Case("header above the limit", BAD_INPUT, [r"bad\.safetensors"], header_above_the_limit),
    refused("header is not JSON", raw(b"{'grad': 1}")),
    refused("header is cut off", raw(b'{"grad":{"dtype":"F32","shape":[2,8]')),
    refused("header is not UTF-8", raw(b'{"gr\xff\xfead":{}}')),
    refused("header is an array", raw(b"[1, 2]")),
    refused("header is nested without end", raw(b'{"grad":' + b"[" * 200_000)),
    refused("header names a tensor twice", raw(b'{"grad":%s,"grad":%s}' % (TWICE, TWICE))),
    refused("entry is a number", raw({"grad": 7})),
    refused("no dtype", lambda: document(dtype=None)),
    refused("no shape", lambda: document(shape=None)),
    refused("no offsets", lambda: document(data_offsets=None)),
    refused("one offset", lambda: document(data_offsets=[BYTES])),
    refused("three offsets", lambda: document(data_offsets=[0, BYTES, BYTES])),
    refused("negative offset", lambda: document(data_offsets=[-8, BYTES - 8])),
    refused("fractional offset", lambda: document(data_offsets=[0.5, BYTES + 0.5])),
    refused("offsets reversed", lambda: document(data_offsets=[BYTES, 0])),
    refused("offsets past the end", lambda: document(data_offsets=[BYTES, 2 * BYTES])),
    refused("offsets beyond 64 bits", lambda: document(data_offsets=[0, 2**64 + BYTES])),
    refused("fewer bytes than the shape", lambda: document(data_offsets=[0, BYTES - 4])),
    refused("shape of more rows than bytes", lambda: document(shape=[3, DIMS])),
    refused("shape that overflows", lambda: document(shape=[2**61 + 2, DIMS])),
    refused("shape beyond 64 bits", lambda: document(shape=[2**64 + 2, DIMS])),
    refused("negative shape", lambda: document(shape=[-2, -DIMS])),
    refused("fractional shape", lambda: document(shape=[2.5, DIMS])),
    refused("shape is text", lambda: document(shape="2x8")),
    refused("unknown dtype", lambda: document(dtype="Q32")),
    refused("dtype of doubles", lambda: safetensors({"grad": GOOD[:2]}, "F64"), words=["F64"]),
    refused("dtype of integers", lambda: safetensors({"grad": GOOD[:2]}, "I32"), words=["I32"]),
    refused("data cut short by a byte", lambda: good_document()[:-1]),
    refused("data cut in half", lambda: good_document(10)[:-160]),
    refused("bytes after the data", lambda: good_document() + b"\0" * 4),
    refused("tensors overlap", two_layers([0, 32], [16, 40], bytes(40)), table="two"),
    refused("hole between tensors", two_layers([0, 32], [40, 64], bytes(64)), table="two"),
    refused("too few dims", lambda: safetensors({"grad": GOOD[:, :7]}), words=["grad", "7", "8"]),
    refused("too many dims", lambda: safetensors({"grad": np.ones((2, 9))}), words=["grad", "9"]),
    refused("one dimension", lambda: safetensors({"grad": GOOD[0]}), words=["grad"]),
    refused("three dimensions", lambda: safetensors({"grad": GOOD.reshape(5, 2, 8)})),
    refused("no dimension", lambda: safetensors({"grad": np.float32(1)}), words=["grad"]),
    refused("tensor of another name", lambda: safetensors({"grads": GOOD}), words=["grad"]),
    refused("no tensor at all", lambda: raw_safetensors({}, b""), words=["grad"]),
    refused("one of two layers missing", lambda: safetensors({"a": GOOD[:, :4]}), "two", ["b"]),
    refused(
        "layers of different lengths",
        lambda: safetensors({"a": GOOD[:, :4], "b": GOOD[:5, :3]}),
        "two",
    ),
]


def npy_header(text, data=GOOD[:2].tobytes()):
    return lambda: raw_npy(text, data)


def npy_shape(shape, data=GOOD[:2].tobytes(), descr="'<f4'", fortran="False"):
    return npy_header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}", data)


def refused_npy(name, content, table="counted", words=()):
    return refused(name, content, table, words, suffix="npy")


NPY = [
    refused_npy("npy: empty file", b""),
    refused_npy("npy: wrong magic", lambda: b"\x93NUMPX" + npy(GOOD)[6:]),
    refused_npy("npy: unknown version", lambda: b"\x93NUMPY\x09\0" + npy(GOOD)[8:]),
    refused_npy("npy: cut in the header", lambda: npy(GOOD)[:40]),
    refused_npy("npy: cut after the length", lambda: npy(GOOD)[:10]),
    refused_npy("npy: header longer than the file", b"\x93NUMPY\x02\0\xff\xff\xff\xff{}"),
    refused_npy("npy: data cut short", lambda: npy(GOOD)[:-1]),
    refused_npy("npy: bytes after the data", lambda: npy(GOOD) + b"\0" * 4),
    refused_npy("npy: header is no dictionary", npy_header("[1, 2, 3]")),
    refused_npy("npy: header is not closed", npy_header("{'descr': '<f4', 'shape': (2, 8")),
    refused_npy("npy: no shape", npy_header("{'descr': '<f4', 'fortran_order': False, }")),
    refused_npy("npy: no dtype", npy_header("{'fortran_order': False, 'shape': (2, 8), }")),
    refused_npy("npy: negative shape", npy_shape("(-2, -8)")),
    refused_npy("npy: shape that overflows", npy_shape(f"({2**61 + 2}, 8)")),
    refused_npy("npy: shape beyond 64 bits", npy_shape(f"({2**64 + 2}, 8)")),
    refused_npy("npy: more rows than bytes", npy_shape("(3, 8)")),
    refused_npy("npy: columns first", npy_shape("(2, 8)", fortran="True"), words=["(?i)order"]),
    refused_npy("npy: integers", npy_shape("(2, 8)", descr="'<i4'")),
    refused_npy("npy: Python objects", npy_shape("(2, 8)", descr="'|O'")),
    refused_npy("npy: records", npy_shape("(2, 8)", descr="[('x', '<f4')]")),
    refused_npy("npy: complex numbers", npy_shape("(2, 4)", descr="'<c8'")),
    refused_npy("npy: one dimension", npy_shape("(16,)")),
    refused_npy("npy: three dimensions", npy_shape("(1, 2, 8)")),
    refused_npy("npy: too many dims", npy_shape("(1, 16)")),
    refused_npy("npy: into a table of two layers", lambda: npy(GOOD[:, :7]), table="two"),
    refused_npy("npy: NaN", lambda: npy(np.where(GOOD == GOOD[1, 1], NAN, GOOD))),
]


def not_finite(label, value, dtype="F32"):
    """Row 6 has the value; its id is given, so the message must have it."""

    def arguments(space):
        space.files.write("bad.safetensors", with_value(value, 6, dtype))
        ids = space.ids(*[f"row-{i}-id" for i in range(10)])
        return ingest_arguments("t", "bad.safetensors", checkpoint="c2", metadata=ids)

    return Case(f"{label} in {dtype}", BAD_INPUT, ["row-6-id", "grad"], arguments)


def not_finite_in_second_file(space):
    space.good_file("first.safetensors", 5)
    space.files.write("second.safetensors", with_value(NAN, 2))
    inputs = "first.safetensors", "second.safetensors"
    return ingest_arguments("counted", *inputs, checkpoint="c2")


def not_finite_in_second_layer(space):
    layers = {"a": GOOD[:, :4].copy(), "b": GOOD[:, :3].copy()}
    layers["b"][9, 2] = -INF
    space.files.tensors("bad.safetensors", layers)
    ids = space.ids(*range(1000, 1010))
    return ingest_arguments("two", "bad.safetensors", checkpoint="c2", metadata=ids)


NOT_FINITE = [
    not_finite(label, value, dtype)
    for label, value in (("NaN", NAN), ("infinity", INF), ("minus infinity", -INF))
    for dtype in ("F32", "F16", "BF16")
] + [
    Case("NaN in the second file", BAD_INPUT, [r"\b7\b"], not_finite_in_second_file),
    Case("infinity in the second layer", BAD_INPUT, ["1009", "b"], not_finite_in_second_layer),
]


def refused_stream(name, stdin, words=()):
    arguments = ingest_arguments("counted", "-", checkpoint="c2")
    return Case(name, BAD_INPUT, list(words), lambda space: arguments, stdin)


ONE = frame(good_document())
STREAMS = [
    refused_stream("stream: cut in the first length", ONE[:5]),
    refused_stream("stream: cut in a message", ONE + ONE[:-9]),
    refused_stream("stream: cut in a length", ONE + ONE + b"\x08\0"),
    refused_stream("stream: message of no bytes", ONE + struct.pack("<Q", 0)),
    refused_stream("stream: length of 64 ones", ONE + b"\xff" * 8 + ONE),
    refused_stream("stream: length of a terabyte", ONE + struct.pack("<Q", 1 << 40) + ONE),
    refused_stream("stream: a document without its length", good_document()),
    refused_stream("stream: text", b"these are not gradients, by any reading of them"),
    refused_stream("stream: an .npy message", frame(npy(GOOD))),
    refused_stream(
        "stream: other dims in the second message", ONE + frame(safetensors({"grad": GOOD[:, :7]}))
    ),
    refused_stream(
        "stream: NaN in the third message",
        stream([good_document(), good_document(), with_value(NAN, 1, count=2)]),
        [r"\b5\b"],
    ),
]

CASES = SAFETENSORS + NPY + NOT_FINITE + STREAMS
