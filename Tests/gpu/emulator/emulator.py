"""Builds the emulator: the kernels' source, compiled for this machine's processor."""

import glob
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
KERNELS = os.path.normpath(os.path.join(HERE, "..", "..", "..", "Sources", "CGradKernels"))
# Where all tests of a checkout have it.
USUAL = os.path.normpath(os.path.join(HERE, "..", "..", "..", ".build", "gpu-emulator"))
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti",
         "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-pass-failed"]


def compiler():
    """A C++ compiler: of the Swift toolchain, whose directory need not be on PATH, or of the system."""
    swift = shutil.which("swift")
    beside = os.path.dirname(os.path.realpath(swift)) if swift else None
    found = shutil.which("clang") or (beside and shutil.which("clang", path=beside)) or shutil.which("g++")
    if not found:
        raise RuntimeError("there is no clang, neither on PATH nor beside swift, and no g++")
    return found


def build(directory):
    """Compiles into a directory, unless it is there, and returns the path of libgrademulator.so."""
    os.makedirs(directory, exist_ok=True)
    target = os.path.join(directory, "libgrademulator.so")
    source = os.path.join(HERE, "emulator.cpp")
    places = [HERE, os.path.join(KERNELS, "cuda"), os.path.join(KERNELS, "include")]
    parts = [path for place in places for path in glob.glob(os.path.join(place, "*.[ch]*"))]
    if os.path.exists(target) and all(
            os.path.getmtime(part) <= os.path.getmtime(target) for part in parts):
        return target
    command = [compiler(), *FLAGS, "-DGRADDB_EMULATOR", "-I", HERE, "-I", os.path.join(KERNELS, "cuda"),
               "-I", os.path.join(KERNELS, "include"), source, "-o", target, "-lpthread", "-lm"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-8000:]}")
    return target
