"""The stub of NVIDIA's driver (stub/stub.h): that it is as strict as it says, through its C interface."""

import ctypes
import os
import subprocess
import sys

import pytest

import stub

PTX = b".version 8.2\n.target sm_80\n.visible .entry gd_copy(\n)\n.visible .entry gd_read(\n)\n"


@pytest.fixture(scope="session")
def directory():
    try:
        return stub.build(stub.USUAL)
    except stub.BuildError as error:
        if "there is none of" in str(error):
            pytest.skip(str(error))
        raise


# What each case runs in a process of its own, because some of them end it.
PRELUDE = """
import ctypes, sys
cuda = ctypes.CDLL(sys.argv[1] + "/libcuda.so.1")
P, U64, SIZE = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t

def call(name, *arguments):
    return getattr(cuda, name)(*arguments)

def make(name, kind, *arguments):
    value = kind()
    code = call(name, ctypes.byref(value), *arguments)
    assert code == 0, (name, code)
    return value

class Stream(ctypes.Structure):
    _fields_ = [("source", U64), ("target", U64), ("bytes", U64)]

def launch(kernel, stream, source, target, bytes, threads=256, shared=0):
    args = Stream(source, target, bytes)
    pointers = (P * 1)(ctypes.addressof(args))
    return call("cuLaunchKernel", kernel, 1, 1, 1, threads, 1, 1, shared, stream, pointers, None)

assert call("cuInit", 0) == 0
context = make("cuDevicePrimaryCtxRetain", P, 0)
assert call("cuCtxPushCurrent_v2", context) == 0
module = make("cuModuleLoadDataEx", P, %r, 0, None, None)
copy = make("cuModuleGetFunction", P, module, b"gd_copy")
first, second = make("cuStreamCreate", P, 0), make("cuStreamCreate", P, 0)
memory = make("cuMemAlloc_v2", U64, SIZE(1024))
other = make("cuMemAlloc_v2", U64, SIZE(1024))
host = make("cuMemHostAlloc", P, SIZE(1024), 0)
copied = lambda stream: call("cuMemcpyDtoHAsync_v2", host, other, SIZE(1024), stream)
finished = lambda stream: call("cuStreamSynchronize", stream)
""" % PTX


def run(directory, body, **settings):
    environment = {**os.environ, **{f"GRADDB_STUB_{name}": value for name, value in settings.items()}}
    return subprocess.run(
        [sys.executable, "-B", "-c", PRELUDE + body, directory], env=environment, text=True,
        capture_output=True, timeout=60)


def passes(directory, body, **settings):
    done = run(directory, body, **settings)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_bytes_go_there_and_back(directory):
    passes(directory, """
ctypes.memset(host, 5, 1024)
assert call("cuMemcpyHtoDAsync_v2", memory, host, SIZE(1024), first) == 0
assert launch(copy, first, memory.value, other.value, 1000) == 0
assert finished(first) == 0
assert copied(first) == 0 and finished(first) == 0
assert ctypes.string_at(host, 1024) == bytes([5]) * 1000 + bytes([255]) * 24
""")


def test_streams_know_of_each_other_by_events_alone(directory):
    """Without the event the copy comes before what it copies has been written, sooner or later."""
    body = """
late = 0
for round in range(50):
    assert call("cuMemsetD8Async", other, 0, SIZE(1024), first) == 0
    assert finished(first) == 0
    assert call("cuMemsetD8Async", other, 7, SIZE(1024), first) == 0
    if %s:
        event = make("cuEventCreate", P, 0)
        assert call("cuEventRecord", event, first) == 0
        assert call("cuStreamWaitEvent", second, event, 0) == 0
    assert copied(second) == 0 and finished(second) == 0
    late += ctypes.string_at(host, 1) == bytes(1)
print(late, file=sys.stderr)
"""
    assert int(passes(directory, body % True, DELAY="2000")) == 0
    assert int(passes(directory, body % False, DELAY="2000")) > 0


def test_a_kernel_that_leaves_its_memory_ends_the_process(directory):
    done = run(directory, "launch(copy, first, memory.value, other.value, 1 << 20); finished(first)")
    assert done.returncode < 0
    assert "the kernel gd_copy touched memory at 0x" in done.stderr


def test_memory_that_was_freed_is_no_memory(directory):
    done = run(directory, """
assert call("cuMemFree_v2", other) == 0
assert copied(first) == 1
launch(copy, first, memory.value, other.value, 16)
finished(first)
""")
    assert done.returncode < 0
    assert "touched memory" in done.stderr


def test_what_is_not_as_it_should_be_is_refused(directory):
    said = passes(directory, """
ordinary = ctypes.create_string_buffer(64)
assert call("cuMemcpyHtoDAsync_v2", memory, ordinary, SIZE(64), first) == 1
assert call("cuMemcpyHtoDAsync_v2", U64(memory.value + 1), host, SIZE(1024), first) == 1
assert call("cuMemsetD8Async", memory, 0, SIZE(1025), first) == 1
assert launch(copy, first, memory.value, other.value, 0, threads=128) == 1
assert launch(copy, first, memory.value, other.value, 0, shared=1 << 16) == 1
assert call("cuFuncSetAttribute", copy, 8, 1 << 16) == 0
assert launch(copy, first, memory.value, other.value, 0, shared=1 << 16) == 0
assert call("cuModuleGetFunction", ctypes.byref(P()), module, b"gd_nothing") == 500
assert call("cuMemAlloc_v2", ctypes.byref(U64()), SIZE(1 << 21)) == 2
assert finished(first) == 0
assert call("cuCtxPopCurrent_v2", ctypes.byref(P())) == 0
assert launch(copy, first, memory.value, other.value, 0) == 201
""", MEMORY=str(1 << 20))
    assert "memory that is not pinned" in said
    assert "was not given 65536 bytes of shared memory" in said


def test_what_is_left_behind_is_said(directory):
    said = passes(directory, 'call("cuDevicePrimaryCtxRelease_v2", 0)')
    assert "left behind: 2 allocations, 2 streams, 0 events, 1 modules" in said


def test_a_lost_device_stays_lost_until_its_context_has_gone(directory, tmp_path):
    log = tmp_path / "calls"
    passes(directory, """
for number in range(2):
    assert launch(copy, first, memory.value, other.value, 16) == 0
assert finished(first) == 719
assert finished(second) == 719
assert copied(first) == 719
assert call("cuDevicePrimaryCtxRelease_v2", 0) == 0
assert make("cuDevicePrimaryCtxRetain", P, 0).value == context.value
assert finished(second) == 0
""", FAIL="cuLaunchKernel:2", LOG=str(log))
    assert log.read_text().count("cuLaunchKernel gd_copy 1 1\n") == 2


def test_a_driver_without_a_function(directory, tmp_path):
    other = ctypes.CDLL(os.path.join(stub.build(str(tmp_path), "cuMemHostAlloc"), "libcuda.so.1"))
    assert hasattr(other, "cuMemFreeHost") and not hasattr(other, "cuMemHostAlloc")
