#!/usr/bin/env python3
"""Compiles the kernels of Sources/CGradKernels/cuda to graddb.ptx, which is committed beside them.

    tools/gpu/compile_kernels.py              writes graddb.ptx
    tools/gpu/compile_kernels.py --check      fails where that is not what the sources give
    tools/gpu/compile_kernels.py --assemble   shows what each kernel takes of sm_80 and sm_90
    tools/gpu/compile_kernels.py --install    only gets the compiler, which the others do, too

NVIDIA's compiler comes from its Python packages, into the environment .build/gpu; no GPU and no CUDA
is needed. Its version decides how old a driver may be: 12.2 writes PTX 8.2, which drivers from 535 on take.
"""

import argparse
import ctypes
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
KERNELS = os.path.join(ROOT, "Sources", "CGradKernels")
PTX = os.path.join(KERNELS, "cuda", "graddb.ptx")
ENVIRONMENT = os.path.join(ROOT, ".build", "gpu")

VERSION = "12.2.140"
PACKAGES = [f"nvidia-cuda-nvrtc-cu12=={VERSION}", f"nvidia-cuda-nvcc-cu12=={VERSION}"]
ARCHITECTURES = ["sm_80", "sm_90"]
OPTIONS = ["-arch=compute_80", "-std=c++17", "-fmad=false", "-default-device"]


class CompileError(Exception):
    """What went wrong, in words for people."""


def find_in_environment(pattern):
    found = glob.glob(os.path.join(ENVIRONMENT, "lib", "python*", "site-packages", "nvidia", pattern))
    return found[0] if found else None


def installed_version():
    found = glob.glob(os.path.join(ENVIRONMENT, "lib", "python*", "site-packages",
                                   "nvidia_cuda_nvrtc_cu12-*.dist-info"))
    return re.search(r"-([0-9.]+)\.dist-info", found[0]).group(1) if found else None


def is_there():
    """Whether the compiler and the assembler are there, in the version that is wanted."""
    return installed_version() == VERSION and compiler() is not None and assembler() is not None


def compiler():
    return find_in_environment("cuda_nvrtc/lib/libnvrtc.so.12")


def assembler():
    return find_in_environment("cuda_nvcc/bin/ptxas")


def install():
    """Makes the environment where it is not there. Raises CompileError where that cannot be done."""
    if is_there():
        return
    python = os.path.join(ENVIRONMENT, "bin", "python")
    commands = [[python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *PACKAGES]]
    if not os.path.exists(python):
        commands.insert(0, [sys.executable, "-m", "venv", ENVIRONMENT])
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise CompileError(f"{' '.join(command)}:\n{done.stdout[-2000:]}")
    if not is_there():
        raise CompileError(f"{ENVIRONMENT} has no NVRTC and ptxas after {' '.join(PACKAGES)} were installed")


def compile_to_ptx():
    """The kernels' PTX, as bytes."""
    nvrtc = ctypes.CDLL(compiler())
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    program = ctypes.c_void_p()

    def call(name, *arguments):
        code = getattr(nvrtc, name)(*arguments)
        if code != 0:
            raise CompileError(f"{name}: {nvrtc.nvrtcGetErrorString(code).decode()}\n{log()}")

    def text(of, size_of):
        size = ctypes.c_size_t()
        if getattr(nvrtc, size_of)(program, ctypes.byref(size)) != 0:
            return b""
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, of)(program, buffer)
        return buffer.value

    def log():
        return text("nvrtcGetProgramLog", "nvrtcGetProgramLogSize").decode(errors="replace")

    with open(os.path.join(KERNELS, "cuda", "graddb.cu"), "rb") as file:
        source = file.read()
    options = [*OPTIONS, f"-I{KERNELS}/cuda", f"-I{KERNELS}/include"]
    encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    call("nvrtcCreateProgram", ctypes.byref(program), source, b"graddb.cu", 0, None, None)
    try:
        call("nvrtcCompileProgram", program, len(options), encoded)
        if "warning" in log():
            raise CompileError(log())
        return without_comments(text("nvrtcGetPTX", "nvrtcGetPTXSize"))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def without_comments(ptx):
    """Without what names the compiler's build, and without blank lines."""
    lines = [line.rstrip() for line in ptx.decode("ascii").splitlines()]
    kept = [line for line in lines if line and not line.lstrip().startswith("//")]
    header = "// Made by tools/gpu/compile_kernels.py from the .cu files beside it."
    return ("\n".join([header, *kept]) + "\n").encode("ascii")


def assemble(ptx, architecture):
    """What ptxas says about each kernel of a file: {name: {registers, spills, stack, shared}}."""
    with tempfile.TemporaryDirectory() as directory:
        command = [assembler(), "-v", "-arch", architecture, ptx, "-o", os.path.join(directory, "cubin")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise CompileError(done.stdout)
    kernels = {}
    name = None
    for line in done.stdout.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            name = match.group(1)
            kernels[name] = {"registers": 0, "spills": 0, "stack": 0, "shared": 0}
        if match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill", line):
            stack, stores, loads = map(int, match.groups())
            kernels[name]["stack"] = stack
            kernels[name]["spills"] = stores + loads
        if match := re.search(r"Used (\d+) registers", line):
            kernels[name]["registers"] = int(match.group(1))
        if match := re.search(r"(\d+) bytes smem", line):
            kernels[name]["shared"] = int(match.group(1))
    return kernels


def show(architecture, kernels):
    print(f"{architecture:24} registers  spills  stack  static shared")
    for name, needs in sorted(kernels.items()):
        print(f"{name:24} {needs['registers']:9} {needs['spills']:7} {needs['stack']:6} {needs['shared']:14}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--assemble", action="store_true", help="show registers, spills and shared memory")
    parser.add_argument("--install", action="store_true", help="only get NVIDIA's compiler")
    arguments = parser.parse_args()
    install()
    if arguments.install:
        return
    if arguments.assemble:
        for architecture in ARCHITECTURES:
            show(architecture, assemble(PTX, architecture))
        return
    ptx = compile_to_ptx()
    if not arguments.check:
        with open(PTX, "wb") as file:
            file.write(ptx)
        return
    with open(PTX, "rb") as file:
        if file.read() != ptx:
            raise CompileError(f"{PTX} is not what the sources give: run tools/gpu/compile_kernels.py")


if __name__ == "__main__":
    try:
        main()
    except (CompileError, OSError) as error:
        sys.exit(f"compile_kernels: {error}")
