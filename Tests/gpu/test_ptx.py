"""The committed PTX: what the sources give, what NVIDIA's assembler takes, and what the library carries."""

import ctypes
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools", "gpu"))

import compile_kernels  # noqa: E402

KERNELS = sorted(
    [f"gd_score_{codec}_{kind}" for codec in ("f32", "f16", "bf16", "int8", "int4", "bit")
     for kind in ("1", "few", "many")] +
    [f"gd_{kind}_{codec}" for kind in ("estimate", "rescore") for codec in ("f16", "bf16")] +
    ["gd_pack", "gd_halves", "gd_norms", "gd_cosines", "gd_select_begin", "gd_select_count", "gd_select_narrow",
     "gd_select_take", "gd_read", "gd_copy", "gd_multiply_int8"])


@pytest.fixture(scope="module")
def committed():
    with open(compile_kernels.PTX, "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def packages():
    """NVIDIA's compiler and assembler, where they have been installed."""
    if not compile_kernels.is_there():
        wanted = f"no NVRTC {compile_kernels.VERSION} in .build/gpu"
        pytest.skip(f"{wanted}: run tools/gpu/compile_kernels.py --install")


def test_it_has_every_kernel_for_compute_80(committed):
    text = committed.decode("ascii")
    assert re.search(r"^\.version 8\.2$", text, re.M)
    assert re.search(r"^\.target sm_80$", text, re.M)
    assert sorted(re.findall(r"^\.visible \.entry (\w+)\(", text, re.M)) == KERNELS


def test_it_is_what_the_sources_give(packages, committed):
    assert compile_kernels.compile_to_ptx() == committed, "run tools/gpu/compile_kernels.py"


@pytest.mark.parametrize("architecture", compile_kernels.ARCHITECTURES)
def test_it_is_assembled_without_spills(packages, architecture):
    kernels = compile_kernels.assemble(compile_kernels.PTX, architecture)
    assert sorted(kernels) == KERNELS
    assert {name: needs for name, needs in kernels.items() if needs["spills"] > 0 or needs["stack"] > 0} == {}
    for name, needs in kernels.items():
        # 256 threads a block; the scoring kernels for one query are to be there twice on a processor.
        most = 65536 // 256 // (2 if name.endswith("_1") else 1)
        assert 0 < needs["registers"] <= min(most, 255), name
        assert needs["shared"] <= 48 << 10, name


def test_a_wrong_kernel_is_not_assembled(packages, committed, tmp_path):
    """So that the tests above mean something."""
    wrong = tmp_path / "wrong.ptx"
    wrong.write_bytes(committed.replace(b"dp4a.s32.s32", b"dp4a.s33.s32", 1))
    with pytest.raises(compile_kernels.CompileError):
        compile_kernels.assemble(str(wrong), "sm_80")


def test_the_library_carries_it(committed, tmp_path):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "emulator"))
    import emulator

    library = str(tmp_path / "libptx.so")
    source = os.path.join(compile_kernels.KERNELS, "device_ptx.c")
    # The compiler that takes #embed: the one that builds the library.
    include = os.path.join(compile_kernels.KERNELS, "include")
    command = [emulator.compiler(), "-Wall", "-Wextra", "-Werror", "-I", include, "-shared", "-fPIC", source,
               "-o", library]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    carried = ctypes.CDLL(library).gd_device_ptx
    carried.restype = ctypes.c_char_p
    assert carried() == committed
