"""Builds the stand-in for NVIDIA's driver library that the tests run against: see stub/stub.h.

    stub.py DIRECTORY [--without FUNCTION]
"""

import argparse
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "stub")
KERNELS = os.path.normpath(os.path.join(HERE, "..", "..", "Sources", "CGradKernels"))
INCLUDE = os.path.join(KERNELS, "include")
# Where the tests share it.
USUAL = os.path.normpath(os.path.join(HERE, "..", "..", ".build", "gpu-stub"))

FLAGS = ["-O2", "-g", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]


class BuildError(Exception):
    """What a compiler said."""


def compiler(*names):
    """The first of these on PATH, or beside swift, whose directory need not be on PATH."""
    swift = shutil.which("swift")
    beside = os.path.dirname(os.path.realpath(swift)) if swift else None
    for name in names:
        found = shutil.which(name) or (beside and shutil.which(name, path=beside))
        if found:
            return found
    raise BuildError(f"there is none of {', '.join(names)}")


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}")


def is_newer(target, sources):
    """Whether a target that was built before is still what the sources give."""
    return os.path.exists(target) and all(
        os.path.getmtime(source) <= os.path.getmtime(target) for source in sources)


def build_kernels(directory):
    """libstub_kernels.so: gd_emulate by the kernels' twins."""
    target = os.path.join(directory, "libstub_kernels.so")
    sources = glob.glob(os.path.join(KERNELS, "*.c")) + [os.path.join(SOURCES, "emulate.c")]
    if is_newer(target, sources + glob.glob(os.path.join(INCLUDE, "*.h"))):
        return
    clang = compiler("clang")  # the kernels are written for it

    def compile(source):
        object = os.path.join(directory, os.path.basename(source) + ".o")
        run([clang, *FLAGS, "-fvisibility=default", f"-I{INCLUDE}", "-c", source, "-o", object])
        return object

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile, sources))
    run([clang, "-shared", *objects, "-o", target, "-lm"])
    for object in objects:
        os.remove(object)


def build_driver(directory, without):
    target = os.path.join(directory, "libcuda.so.1")
    sources = sorted(glob.glob(os.path.join(SOURCES, "*.cpp")))
    exports = os.path.join(directory, "exports.map")
    text = "{ global: cu*; local: %s *; };\n" % (f"{without};" if without else "")
    if is_newer(target, sources + glob.glob(os.path.join(SOURCES, "*.h"))) and contents(exports) == text:
        return
    with open(exports, "w") as file:
        file.write(text)
    run([compiler("g++", "clang++"), "-std=c++17", *FLAGS, f"-I{INCLUDE}", "-shared", "-pthread", *sources,
         f"-Wl,--version-script={exports}", "-o", target])


def contents(path):
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return file.read()


def build(directory, without=None):
    """Gives the directory, with libcuda.so.1 in it, and the kernels that it runs.

    Without one of its functions, if that is named: then without kernels too.
    """
    os.makedirs(directory, exist_ok=True)
    if not without:
        build_kernels(directory)
    build_driver(directory, without)
    return directory


def main():
    parser = argparse.ArgumentParser(description="Builds the stub of NVIDIA's driver library.")
    parser.add_argument("directory")
    parser.add_argument("--without", metavar="FUNCTION")
    options = parser.parse_args()
    try:
        build(options.directory, options.without)
    except BuildError as error:
        sys.exit(f"stub: {error}")


if __name__ == "__main__":
    main()
