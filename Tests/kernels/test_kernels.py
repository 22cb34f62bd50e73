"""The kernels against plain arithmetic: natively, under sanitizers, and for AArch64 in an emulator.

kernel_cases.c and the files beside it are the program; this compiles and runs it.
"""

import concurrent.futures
import glob
import os
import platform
import random
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
KERNELS = os.path.normpath(os.path.join(HERE, "..", "..", "Sources", "CGradKernels"))
SOURCES = sorted(glob.glob(os.path.join(KERNELS, "*.c")) + glob.glob(os.path.join(HERE, "*.c")))

IS_NIGHTLY = int(os.environ.get("GRADDB_TEST_SCALE") or 1) >= 10
CASES = 1_000_000 if IS_NIGHTLY else 10_000
# One seed for all runs; a failure prints it.
SEED = int(os.environ.get("GRADDB_TEST_SEED") or random.SystemRandom().randrange(1 << 32))

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Less optimised, and without the warnings about that, so that they do not take a minute to build.
SANITIZERS = ["-O2", "-g", "-Wno-pass-failed"]
SANITIZERS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Debian's cross C library; its compiler is not needed, as clang is one for every target.
CROSS_ROOT = "/usr/aarch64-linux-gnu"
CROSS_GCC = "/usr/lib/gcc-cross/aarch64-linux-gnu"


def beside_swift(name):
    """A tool on PATH, or else of the Swift toolchain, whose directory need not be on it."""
    swift = shutil.which("swift")
    directory = os.path.dirname(os.path.realpath(swift)) if swift else None
    return shutil.which(name) or (directory and shutil.which(name, path=directory))


@pytest.fixture(scope="module")
def clang():
    found = beside_swift("clang")
    assert found, "there is no clang, neither on PATH nor beside swift"
    return found


def run(command, limit=3600 if IS_NIGHTLY else 600):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-8000:]}"
    return done.stdout


def build(clang, directory, flags=(), link=()):
    """Compiles the kernels as Package.swift does, and the program with them."""

    def compile(source):
        target = os.path.join(directory, os.path.basename(source) + ".o")
        include = ["-I", os.path.join(KERNELS, "include")]
        run([clang, "-O3", *WARNINGS, *flags, *include, "-c", source, "-o", target])
        return target

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile, SOURCES))
    program = os.path.join(directory, "kernel_cases")
    run([clang, *flags, *link, *objects, "-o", program, "-lm"])
    return program


def variants_that_ran(output):
    """The names at the beginnings of lines: one line for each variant that passed."""
    print(output)
    return [line.split(":")[0] for line in output.splitlines()]


def variants_here():
    """Those that this machine's processor has by its own account."""
    with open("/proc/cpuinfo") as file:
        flags = set(file.read().split())
    wanted = {
        "neon": {"asimddp"},
        "avx2": {"avx2", "fma", "f16c"},
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"},
    }
    wanted["avx512-vpopcntdq"] = wanted["avx512"] | {"avx512_vpopcntdq", "avx512vbmi"}
    return ["scalar"] + [name for name, needed in wanted.items() if needed <= flags]


def test_every_variant_of_this_machine(clang, tmp_path):
    program = build(clang, tmp_path)
    output = run([program, "--cases", str(CASES), "--seed", str(SEED)])
    assert variants_that_ran(output) == variants_here()


def test_every_variant_under_sanitizers(clang, tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    linking = ["-fuse-ld=lld"] if beside_swift("ld.lld") else []
    probing = [clang, *SANITIZERS, *linking, str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(probing, capture_output=True).returncode != 0:
        pytest.skip("the sanitizers' runtime does not link here")
    program = build(clang, tmp_path, SANITIZERS, linking)
    output = run([program, "--thin", "--cases", str(CASES // 10), "--seed", str(SEED)])
    assert variants_that_ran(output) == variants_here()


@pytest.fixture(scope="module")
def on_aarch64(clang, tmp_path_factory):
    """Makes the command that runs the program on an emulated processor; or skips."""
    if platform.machine() == "aarch64":
        pytest.skip("this machine is one: the native test has run these kernels")
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    missing = [
        package for package, is_there in {
            "qemu-user": emulator,
            "libc6-dev-arm64-cross": os.path.exists(f"{CROSS_ROOT}/include/stdio.h"),
            "libgcc-12-dev-arm64-cross": glob.glob(f"{CROSS_GCC}/*/libgcc.a"),
            "lld (of clang)": beside_swift("ld.lld"),
        }.items() if not is_there]
    if missing:
        pytest.skip(f"to emulate AArch64 there is no {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("aarch64")
    # The one header from outside the C library, without those of this machine's around it.
    shutil.copy("/usr/include/xxhash.h", directory)
    flags = ["--target=aarch64-linux-gnu", "-nostdlibinc", "-isystem", f"{CROSS_ROOT}/include"]
    flags += ["-isystem", str(directory)]
    linking = ["-static", "-fuse-ld=lld", "-Wno-unused-command-line-argument"]
    program = build(clang, directory, flags, linking)

    return lambda processor, *arguments: [emulator, "-cpu", processor, program, *arguments]


def test_neon(on_aarch64):
    cases = str(20_000 if IS_NIGHTLY else 500)
    output = run(on_aarch64("max", "--thin", "--cases", cases, "--seed", str(SEED)))
    assert variants_that_ran(output) == ["scalar", "neon"]


def test_a_processor_without_dot_products_has_no_neon_variant(on_aarch64):
    command = on_aarch64("cortex-a53", "--variant", "neon")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such variant here" in done.stderr
