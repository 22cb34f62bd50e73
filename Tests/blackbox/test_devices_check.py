"""`gradctl devices`: what GPUs there are, and whether a device computes what the processor does."""

import json
import subprocess
import sys

import pytest

from graddb import FAILED, IO, REPOSITORY, USAGE, environment, run

CHECK = ["devices", "check", "--json", "--cases"]
# Runs the kernels' twins, and changes one bit of what one of them gives.
WRONG = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "graddb_device.h"

int gd_emulate(const char *kernel, uint32_t x, uint32_t y, const void *arguments) {
    static int (*right)(const char *, uint32_t, uint32_t, const void *);
    if (!right) right = dlsym(dlopen(getenv("RIGHT_KERNELS"), RTLD_NOW), "gd_emulate");
    const int code = right(kernel, x, y, arguments);
    if (strcmp(kernel, getenv("WRONG_KERNEL"))) return code;
    if (!strncmp(kernel, "gd_score_", 9)) {
        const gd_score_args *a = arguments;
        const gd_tile *tile = (const gd_tile *)a->tiles + a->tile_count - 1;
        const gd_item *item = (const gd_item *)a->items + tile->item;
        for (uint32_t q = 0; q < a->layer.query_count; q++)
            ((uint64_t *)a->dots)[q * a->stride + item->first + tile->row] ^= 1;
    } else if (!strcmp(kernel, "gd_cosines")) {
        *(uint64_t *)((const gd_cosines_args *)arguments)->dots ^= 1;
    } else if (!strcmp(kernel, "gd_norms")) {
        *(uint64_t *)((const gd_norms_args *)arguments)->norms ^= 1;
    } else if (!strcmp(kernel, "gd_select_take")) {
        *(uint32_t *)((const gd_select_args *)arguments)->found += 1;
    } else {
        *(uint8_t *)((const gd_stream_args *)arguments)->target ^= 1;
    }
    return code;
}
"""


def without_a_gpu(**changes):
    return environment(GRADDB_CUDA_LIBRARY="/nowhere/libcuda.so.1", **changes)


def test_no_gpu_is_no_error(gradctl):
    result = run("devices", "list", "--json", env=without_a_gpu()).expect()
    assert result.stdout == b"" and b"no GPU can be used: there is no NVIDIA driver" in result.stderr
    error = run("devices", "check", "--json", env=without_a_gpu()).expect(FAILED)
    assert "there is no NVIDIA driver here" in error.error["error"]


def test_gpus_are_listed(gradctl, driver):
    lines = run("devices", "list", "--json", env=driver(DEVICES=3, CAPABILITY="8.6")).expect().lines
    assert [line["device"] for line in lines] == ["gpu:0", "gpu:1", "gpu:2"]
    for line in lines:
        assert line["capability"] == "8.6" and line["cuda"] == "12.4"
        assert 0 < line["free_bytes"] <= line["memory_bytes"] == 1 << 30
    text = run("devices", "list", env=driver(DEVICES=2)).expect().text
    assert len(text.splitlines()) == 3 and "gpu:1" in text


def check(*arguments, env=None, expect=0):
    result = run(*CHECK, *arguments, env=env).expect(expect)
    *checks, last = result.lines
    assert last["differing"] == sum(line["differing"] for line in checks)
    assert last["values"] == sum(line["values"] for line in checks) > 1000
    return {line["check"]: line for line in checks}, last, result


def test_a_device_that_computes_what_it_should(gradctl, driver):
    staged, last, _ = check(3, "--device", "staged", "--seed", 5, env=without_a_gpu())
    assert last["differing"] == 0 and last["unchecked"] == [] and last["seed"] == 5
    assert sum(name.startswith("gd_score_") for name in staged) == 18
    gpu, last, _ = check(3, "--device", "gpu:0", "--seed", 5, env=driver())
    assert last["differing"] == 0 and last["unchecked"] == []
    # The same seed makes the same cases.
    assert {name: line["values"] for name, line in gpu.items()} == {
        name: line["values"] for name, line in staged.items()
    }
    other, _, _ = check(3, "--device", "gpu:0", "--seed", 6, env=driver())
    assert other["scans"]["values"] != gpu["scans"]["values"]


def test_the_kernels_own_source(gradctl, driver, emulated):
    _, last, _ = check(1, "--seed", 3, env=driver(KERNELS=emulated))
    assert last["differing"] == 0 and last["unchecked"] == []


def test_all_gpus_are_checked(gradctl, driver):
    lines = run(*CHECK, 1, "--device", "gpu", env=driver(DEVICES=2)).expect().lines
    assert [line["device"] for line in lines if "name" in line] == ["gpu:0", "gpu:1"]


def test_kernels_that_do_not_fit_are_named(gradctl, driver):
    checks, last, _ = check(1, env=driver(SHARED=49152))
    assert last["differing"] == 0 and last["unchecked"]
    assert not set(last["unchecked"]) & set(checks)
    text = run("devices", "check", "--cases", 1, env=driver(SHARED=49152)).expect().text
    assert last["unchecked"][0] in text


@pytest.mark.parametrize("kernel", [
    "gd_score_bit_1", "gd_score_int8_few", "gd_score_f16_many", "gd_cosines", "gd_norms", "gd_select_take",
    "gd_copy",
])  # fmt: skip
def test_a_wrong_bit_is_found(gradctl, driver, stub, tmp_path, kernel):
    source, library = tmp_path / "wrong.c", tmp_path / "wrong.so"
    source.write_text(WRONG)
    subprocess.run(
        [stub.compiler("clang", "gcc"), "-O1", "-fPIC", "-shared", f"-I{stub.INCLUDE}", source, "-o", library],
        check=True)  # fmt: skip
    env = driver(
        KERNELS=library, RIGHT_KERNELS=f"{stub.USUAL}/libstub_kernels.so", WRONG_KERNEL=kernel)
    if kernel == "gd_select_take":
        # What a scan is told of rows that there are not ends it.
        result = run(*CHECK, 4, "--seed", 2, env=env).expect(FAILED)
        assert "selected rows that there are not" in result.error["error"]
        assert [line["check"] for line in result.lines if line["differing"]][0].count(kernel) == 1
        return
    checks, last, result = check(4, "--seed", 2, env=env, expect=FAILED)
    wrong = {name for name, line in checks.items() if line["differing"]}
    assert len([name for name in wrong if kernel in name]) == 1
    assert wrong <= {name for name in checks if kernel in name} | {"scans"}
    assert f"the seed {last['seed']}" in result.error["error"]


def test_a_device_that_fails(gradctl, driver):
    error = run(*CHECK, 2, env=driver(FAIL="cuLaunchKernel:7")).expect(FAILED)
    assert "CUDA_ERROR" in error.error["error"]


@pytest.mark.parametrize("arguments, words", [
    (["--device", "cpu"], "what devices are checked against"),
    (["--device", "gpu:x"], "there is no device"),
    (["--cases", "0"], "--cases"),
    (["--seed", "-1"], "seed"),
])  # fmt: skip
def test_wrong_words(gradctl, arguments, words):
    result = run("devices", "check", "--json", *arguments).expect(USAGE)
    assert words in result.error["error"]


def test_nothing_is_left_behind(gradctl, tmp_path):
    run(*CHECK, 1, "--device", "staged", env=environment(TMPDIR=tmp_path)).expect()
    assert list(tmp_path.iterdir()) == []
    error = run(*CHECK, 1, "--device", "staged", env=environment(TMPDIR=tmp_path / "none")).expect(IO)
    assert "TMPDIR" in error.error["error"]


def test_the_script_that_carries_everything(gradctl, stub, tmp_path):
    """It runs where there is nothing of what it was built with."""
    script = REPOSITORY / "tools/gpu/check.sh"
    packed = tmp_path / "check"
    subprocess.run([script, "--pack", packed], check=True, capture_output=True)
    done = subprocess.run(
        ["bash", packed, "--device", "staged", "--cases", "1", "--rows", "200", "--dims", "1024", "--seconds", "1",
         "--json", "result.json"],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "resident int8, Q = 1,024: of the int8 peak" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["check"][-1]["differing"] == 0
    assert result["bench"][0]["devices"][0]["kernels"]
    page = tmp_path / "gpu.md"
    report = REPOSITORY / "tools/gpu/report.py"
    subprocess.run([sys.executable, report, tmp_path / "result.json", "--out", page], check=True)
    assert "**0 differ**" in page.read_text()
