"""bench --device: what it prints, what it keeps, what the planner makes of it, how it fails. Never how
fast anything is.
"""

import json
import signal
import time

import numpy as np
import pytest

from graddb import FAILED, INTERRUPTED, OK, USAGE, environment, finish, run, start
from terminal import display_width

CODECS = {"f32": 32, "f16": 16, "bf16": 16, "int8": 8, "int4": 4, "bit": 1}
ROWS, DIMS = 64, 1024
SMALL = ["--size", ROWS * DIMS, "--dims", DIMS, "--queries", 1, "--queries", 70]
SHORT = ["--seconds", "0.1", "--threads", "2"]
STATEMENT = "FROM t SCORE dot TO ROW 0 TOP 3 EXACT"


@pytest.fixture
def room(tmp_path):
    """An environment with a cache and a directory for temporary files of its own."""
    (tmp_path / "scratch").mkdir()
    return environment(XDG_CACHE_HOME=tmp_path / "cache", TMPDIR=tmp_path / "scratch")


@pytest.fixture
def table(database, files):
    rows = np.random.default_rng(7).standard_normal((300, 512)).astype(np.float32)
    database.create("t", ["a:512:int8"])
    database.ingest("t", files.tensors("t.safetensors", {"a": rows}), checkpoint="c")
    return database


def profile_path(tmp_path):
    return tmp_path / "cache" / "graddb" / "machine.json"


def close(value, wanted):
    assert value == pytest.approx(wanted, rel=1e-6), (value, wanted)


def check_device(device, counts=(1, 70), rows=ROWS, dims=DIMS):
    """All that the fields promise of each other."""
    for name in ("start_seconds", "launch_us", "back_gb_per_s", "read_gb_per_s", "int8_gmac_per_s"):
        assert device[name] > 0, name
    for name in ("ring", "pinned"):
        assert set(device[name]) == {"bytes", "gb_per_s"} and min(device[name].values()) > 0
    assert device["ring"]["bytes"] <= device["pinned"]["bytes"]
    copy = device["copy_gb_per_s"]
    close(copy["total"], 2 * copy["read"])
    kinds = [(kernel["codec"], kernel["queries"]) for kernel in device["kernels"]]
    assert kinds == [(codec, count) for codec in CODECS for count in counts]
    for kernel in device["kernels"]:
        bits = CODECS[kernel["codec"]]
        assert kernel["dims"] == dims
        assert kernel["rows"] == min(2 * rows, rows * 8 // bits)
        assert kernel["bytes"] == kernel["rows"] * dims * bits // 8
        assert 0 < kernel["seconds"] < kernel["scan_seconds"]
        close(kernel["gb_per_s"], kernel["bytes"] / kernel["seconds"] / 1e9)
        close(kernel["gmac_per_s"], kernel["rows"] * dims * kernel["queries"] / kernel["seconds"] / 1e9)
        close(kernel["read_ratio"], kernel["gb_per_s"] / device["read_gb_per_s"])
        close(kernel["copy_ratio"], kernel["gb_per_s"] / copy["read"])
        if bits > 8:
            assert kernel["peak_ratio"] is None
        else:
            close(kernel["peak_ratio"], kernel["gmac_per_s"] / device["int8_gmac_per_s"])
    staged, resident = device["staged"], device["resident"]
    for part in (staged, resident):
        assert (part["rows"], part["dims"], part["bytes"]) == (rows, dims, rows * dims)
    close(staged["gb_per_s"], staged["bytes"] / staged["seconds"] / 1e9)
    close(staged["pinned_ratio"], staged["gb_per_s"] / device["pinned"]["gb_per_s"])
    assert min(staged["verifying_gb_per_s"], staged["copy_seconds"], staged["kernel_seconds"]) > 0
    assert resident["top"] == min(1000, rows // 2)
    for name in ("statement_ms", "scan_ms"):
        assert 0 < resident[name]["best"] <= resident[name]["median"], name
    split = resident["split_ms"]
    assert set(split) == {"prepare", "copies", "kernels", "selection", "read_back", "host"}
    # Everything was there already.
    assert split["copies"] == 0 and min(split.values()) >= 0
    assert min(split["prepare"], split["kernels"], split["selection"]) > 0


def nothing_is_left(tmp_path):
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_said_of_a_device(gradctl, tmp_path, room):
    words = ["--device", "staged", *SMALL, *SHORT]
    line = run("bench", *words, "--json", cwd=tmp_path, env=room).expect(OK).line
    (device,) = line["devices"]
    assert (device["name"], device["ordinal"], device["driver"]) == ("host", 0, None)
    assert device["usable_bytes"] == 10**9 and line["threads"] == 2
    check_device(device)
    # A small table tells a planner nothing.
    assert line["stored"] is None and not profile_path(tmp_path).exists()
    nothing_is_left(tmp_path)
    text = run("bench", *words, cwd=tmp_path, env=room).expect(OK).text
    assert max(map(display_width, text.splitlines())) <= 80
    for word in ("launch and wait", "device read", "int8 peak", "of copy", "staged:", "statement"):
        assert word in text, word


def explained(table, env, *flags):
    words = ["explain", STATEMENT, "--json", "--device", "staged", *flags]
    return table.run(*words, env=env).expect(OK).line


@pytest.fixture(scope="module")
def measured(gradctl, tmp_path_factory):
    """What was kept of the host in the part of a device, of its usual size, beside the machine."""
    directory = tmp_path_factory.mktemp("measured")
    env = environment(XDG_CACHE_HOME=directory / "cache", TMPDIR=directory)
    run("bench", "--device", "cpu", *SHORT, cwd=directory, env=env).expect(OK)
    line = run("bench", "--device", "staged", *SHORT, "--json", cwd=directory, env=env).expect(OK).line
    check_device(line["devices"][0], (1, 16, 64, 128, 1024), 10**6 // 4096, 4096)
    assert line["stored"] == str(profile_path(directory))
    kept = profile_path(directory).read_text()
    assert [len(json.loads(kept)[part]) for part in ("profiles", "devices")] == [1, 1]
    return kept


def test_rates_are_kept_for_the_planner(table, tmp_path, room, measured):
    assert "device_limits" not in table.run("explain", STATEMENT, "--json", env=room).expect(OK).line
    assert explained(table, room)["device_limits"] == "assumed"
    path = profile_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(measured)
    after = explained(table, room)
    assert after["device_limits"] == "measured"
    kept = json.loads(measured)
    (device,) = kept["devices"]
    rates = device["kernels"]["gigabytes"]["int8"]
    bytes_of_table = 300 * 512
    scoring = bytes_of_table / rates["1"] / 1e9
    reading = bytes_of_table / device["staged"] / 1e9
    least = device["start"] + device["passSeconds"] + max(scoring, reading)
    # What is not in memory is read from the disk meanwhile.
    assert least * 0.999 <= after["seconds"] <= least + 1
    text = table.run("explain", STATEMENT, "--device", "staged", env=room).expect(OK).text
    assert "the device's limits are those that `gradctl bench --device` measured" in text

    def changed(change):
        change(device)
        path.write_text(json.dumps(kept))
        return explained(table, room)

    assert changed(lambda d: d.update(passSeconds=500))["seconds"] > 500
    assert changed(lambda d: rates.update({"1": 1e-9}))["seconds"] > 1e5
    # Those of another device, or without sense, are not this one's.
    assert changed(lambda d: d.update(staged=-1))["device_limits"] == "assumed"
    assert changed(lambda d: d.update(staged=1, key=dict(d["key"], name="x")))["device_limits"] == "assumed"


def test_gpus_by_a_stand_in(gradctl, tmp_path, room, driver):
    env = driver(room, DEVICES=2, MEMORY=128 << 20)
    for device, ordinals in (("gpu", [0, 1]), ("gpu:1", [1])):
        words = ["--device", device, *SMALL, *SHORT, "--json"]
        line = run("bench", *words, cwd=tmp_path, env=env).expect(OK).line
        assert [device["ordinal"] for device in line["devices"]] == ordinals
        for device in line["devices"]:
            assert device["driver"].startswith("12.") and device["name"] != "host"
            check_device(device)
    nothing_is_left(tmp_path)


def test_a_gpu_that_was_measured_is_known_without_its_driver(table, tmp_path, room, driver, measured):
    """By what was kept of another device, so that no large table need be measured here."""
    path = profile_path(tmp_path)
    path.parent.mkdir(parents=True)
    env = driver(room, MEMORY=128 << 20, LOG=tmp_path / "calls")
    small = ["--device", "gpu", *SMALL, *SHORT, "--json"]
    gpu = run("bench", *small, cwd=tmp_path, env=env).expect(OK).line["devices"][0]
    assert not path.exists()
    (tmp_path / "calls").unlink()

    def limits(*flags):
        return table.run("explain", STATEMENT, "--json", *flags, env=env).expect(OK).line["device_limits"]

    assert limits() == limits("--device", "gpu") == "assumed"
    (tmp_path / "calls").unlink()
    kept = json.loads(measured)
    (device,) = kept["devices"]
    device["key"].update(name=gpu["name"], driver=gpu["driver"])
    path.write_text(json.dumps(kept))
    assert limits() == "measured"
    assert not (tmp_path / "calls").exists() or not (tmp_path / "calls").read_text()
    assert limits("--device", "gpu") == "measured"
    device["key"].update(driver="11.0")
    path.write_text(json.dumps(kept))
    assert limits("--device", "gpu") == "assumed"


@pytest.mark.parametrize("fault", [
    "cuLaunchKernel:1", "cuLaunchKernel:99:719", "cuMemHostAlloc:1", "cuMemAlloc_v2:2", "cuModuleLoadDataEx:1:218",
    "no-device", "old-driver",
])  # fmt: skip
def test_a_gpu_that_fails(gradctl, tmp_path, room, driver, fault):
    env = driver(room, MEMORY=128 << 20, FAIL=fault)
    failed = run("bench", "--device", "gpu", *SMALL, *SHORT, "--json", cwd=tmp_path, env=env).expect(FAILED)
    assert failed.stdout == b"" and failed.error["kind"] == "failed"
    assert "CUDA" in failed.error["error"]
    nothing_is_left(tmp_path)
    assert not profile_path(tmp_path).exists()


def test_no_gpu_at_all(gradctl, tmp_path, room):
    env = dict(room, GRADDB_CUDA_LIBRARY=str(tmp_path / "libcuda.so.1"))
    failed = run("bench", "--device", "gpu", "--json", cwd=tmp_path, env=env).expect(FAILED)
    assert "there is no NVIDIA driver here" in failed.error["error"]


@pytest.mark.parametrize("words", [
    ["--device", "auto"], ["--device", "tpu"], ["t", "--device", "staged"], ["--size", "1M"], ["--dims", 512],
    ["--queries", 3], ["--device", "cpu", "--gpu-memory", "1G"], ["--device", "staged", "--size", "1T"],
    ["--device", "staged", "--size", "big"], ["--device", "staged", "--dims", 1],
    ["--device", "staged", "--queries", 0], ["--device", "staged", "--queries", 2, "--queries", 2],
    ["--device", "staged", "--queries", 5000], ["--device", "staged", "--size", 1000],
    ["--device", "staged", "--projector", "sketch,dims=64"],
])  # fmt: skip
def test_wrong_arguments(gradctl, tmp_path, room, words):
    failed = run("bench", *words, "--json", cwd=tmp_path, env=room).expect(USAGE)
    assert failed.stdout == b"" and failed.error["exit"] == USAGE
    nothing_is_left(tmp_path)


def test_too_little_memory(gradctl, tmp_path, room):
    words = ["--device", "staged", "--gpu-memory", "1M", "--size", "300k", *SHORT, "--json"]
    failed = run("bench", *words, cwd=tmp_path, env=room).expect(FAILED)
    assert "--gpu-memory" in failed.error["error"]
    nothing_is_left(tmp_path)


@pytest.mark.parametrize("seconds, table", [(600, None), (8, "f32"), (6, "int8")])
def test_ctrl_c_leaves_nothing(gradctl, tmp_path, room, seconds, table):
    """While limits are measured, and in scans of a table that is there already."""
    words = ["--device", "staged", *SMALL, "--seconds", seconds, "--json"]
    process = start("bench", *words, cwd=tmp_path, env=room)
    deadline = time.monotonic() + 60
    while table and not any((tmp_path / "scratch").glob(f"*/{table}")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stopped = finish(process).expect(INTERRUPTED)
    assert stopped.stdout == b"" and stopped.error["kind"] == "interrupted"
    nothing_is_left(tmp_path)
    assert not profile_path(tmp_path).exists()
