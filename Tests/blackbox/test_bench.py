"""bench: what it prints, what it keeps, what it refuses. Never how fast anything is."""

import json
import os
import signal
import time

import numpy as np
import pytest

from graddb import FAILED, INTERRUPTED, NOT_FOUND, OK, USAGE, environment, finish, run
from terminal import display_width

CODECS = ["f32", "f16", "bf16", "int8", "int4", "bit"]
BATCHED = ["int8", "int4", "bit"]
SHORT = ["--seconds", "0.2", "--threads", "2"]


@pytest.fixture
def cached(tmp_path):
    """An environment whose cache directory is a new one."""
    return environment(XDG_CACHE_HOME=tmp_path / "cache")


@pytest.fixture
def table(database, files):
    random = np.random.default_rng(7)
    database.create("t", ["a:96:int8", "b.c:64:bit"])
    for name, rows in (("c1", 40), ("it's", 24)):
        layers = {"a": random.standard_normal((rows, 96)), "b.c": random.standard_normal((rows, 64))}
        source = files.tensors(f"{rows}.safetensors", layers)
        database.ingest("t", source, checkpoint=name)
    return database


def check_rate(rate):
    assert set(rate) == {"one", "all"} and all(value > 0 for value in rate.values())


def check_machine(line):
    assert line["threads"] == 2 and line["processor"] and line["kernel"]
    for name in ("memory_gb_per_s", "int8_gmac_per_s"):
        check_rate(line[name])
    assert line["f32_gmac_per_s"] is None or check_rate(line["f32_gmac_per_s"]) is None
    assert line["disk_gb_per_s"] is None or line["disk_gb_per_s"] > 0
    assert [codec["codec"] for codec in line["codecs"]] == CODECS
    for codec in line["codecs"]:
        for place in ("cache", "memory"):
            check_rate(codec[f"{place}_gb_per_s"])
            check_rate(codec[f"{place}_gmac_per_s"])
        for count in (16, 128):
            batch = codec[f"batch_{count}_gmac_per_s"]
            assert codec["codec"] in BATCHED or batch is None
            if batch is not None:
                check_rate(batch)


def test_the_machine_is_measured_without_a_database(gradctl, tmp_path, cached):
    line = run("bench", *SHORT, "--json", cwd=tmp_path, env=cached).expect(OK).line
    check_machine(line)
    assert "scans" not in line and "table" not in line
    path = tmp_path / "cache" / "graddb" / "machine.json"
    assert line["stored"] == str(path)
    (kept,) = json.loads(path.read_text())["profiles"]
    assert kept["key"] == {key: line[key] for key in ("processor", "kernel", "threads")}
    # Nothing else was left behind.
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["machine.json"]


def test_each_number_of_threads_and_kernel_has_its_own_profile(gradctl, tmp_path, cached):
    path = tmp_path / "cache" / "graddb" / "machine.json"
    for threads in (1, 2, 1):
        words = ["--seconds", "0.1", "--threads", threads]
        run("bench", *words, cwd=tmp_path, env=cached).expect(OK)
    keys = [profile["key"] for profile in json.loads(path.read_text())["profiles"]]
    assert sorted(key["threads"] for key in keys) == [1, 2]
    scalar = dict(cached, GRADDB_FORCE_KERNEL="scalar")
    line = run("bench", *SHORT, "--json", cwd=tmp_path, env=scalar).expect(OK).line
    assert line["kernel"] == "scalar"
    assert len(json.loads(path.read_text())["profiles"]) == 3


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"format": 99, "profiles": []}', "\xff" * 99])
def test_a_foreign_file_is_replaced(gradctl, tmp_path, cached, content):
    path = tmp_path / "cache" / "graddb" / "machine.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    run("bench", *SHORT, cwd=tmp_path, env=cached).expect(OK)
    assert len(json.loads(path.read_text())["profiles"]) == 1


def test_without_xdg_the_cache_is_in_the_home_directory(gradctl, tmp_path):
    env = environment(XDG_CACHE_HOME=None, HOME=tmp_path / "home")
    line = run("bench", *SHORT, "--json", cwd=tmp_path, env=env).expect(OK).line
    assert line["stored"] == str(tmp_path / "home/.cache/graddb/machine.json")
    assert os.path.exists(line["stored"])


def test_a_cache_that_cannot_be_written_is_a_note(gradctl, tmp_path):
    (tmp_path / "file").write_text("")
    env = environment(XDG_CACHE_HOME=tmp_path / "file")
    done = run("bench", *SHORT, "--json", cwd=tmp_path, env=env).expect(OK)
    check_machine(done.line)
    assert done.line["stored"] is None
    assert b"note: the measurements are not kept" in done.stderr
    quiet = run("bench", *SHORT, "--json", "--quiet", cwd=tmp_path, env=env).expect(OK)
    assert quiet.stderr == b""


@pytest.mark.parametrize("words, checkpoint, rows", [([], "it's", 24), (["c1"], "c1", 40)])
def test_a_table_is_scanned_beside_the_limits(table, cached, words, checkpoint, rows):
    before = table.info("t")
    words = ["--checkpoint", *words] if words else []
    line = table.run("bench", "t", *words, *SHORT, "--json", env=cached).expect(OK).line
    check_machine(line)
    assert (line["table"], line["checkpoint"], line["peak"]) == ("t", checkpoint, "int8")
    kinds = [(scan["queries"], scan["cold"]) for scan in line["scans"]]
    assert sorted(kinds) == [(q, cold) for q in (1, 16, 128) for cold in (False, True)]
    for scan in line["scans"]:
        assert (scan["rows"], scan["bytes"]) == (rows, rows * (96 + 64 // 8))
        assert min(scan["seconds"], scan["rows_per_s"], scan["gb_per_s"], scan["gmac_per_s"]) > 0
        assert scan["peak_ratio"] > 0
        assert scan["read_ratio"] is None or scan["read_ratio"] > 0
    assert table.info("t") == before


def test_tables_for_people_fit_a_terminal(table, cached):
    done = table.run("bench", "t", *SHORT, env=cached).expect(OK)
    assert max(map(display_width, done.text.splitlines())) <= 80
    for word in ("memory read", "int8 peak", "Q=128", "of peak", "rows/s"):
        assert word in done.text


def test_wrong_arguments_and_names(table, cached, tmp_path):
    table.create("empty", ["a:8"])
    for words, status in (
        (["--seconds", "0"], USAGE),
        (["--seconds", "-1"], USAGE),
        (["--seconds", "nan"], USAGE),
        (["--seconds", "soon"], USAGE),
        (["--checkpoint", "c1"], USAGE),
        (["t", "u"], USAGE),
        (["t", "--checkpoint", "c9"], USAGE),
        (["nothing"], NOT_FOUND),
        (["empty"], FAILED),
    ):
        failed = table.run("bench", *words, "--json", env=cached).expect(status)
        assert failed.stdout == b"" and failed.error["exit"] == status, words
    missing = run("bench", "t", "--db", tmp_path / "no", "--json", env=cached)
    assert missing.expect(NOT_FOUND).error["kind"] == "not_found"
    # Refused before anything was measured.
    assert not (tmp_path / "cache").exists()


def test_ctrl_c_ends_it(table, cached, tmp_path):
    process = table.start("bench", "t", "--seconds", "600", "--json", env=cached)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    stopped = finish(process).expect(INTERRUPTED)
    assert stopped.stdout == b"" and stopped.error["kind"] == "interrupted"
    assert not (tmp_path / "cache").exists()


def test_projections_are_measured_beside_memory(gradctl):
    words = ["sketch,dims=1024,seed=3,normalise=tensor", "dense,dims=8", "rapidgrad,dims=64,rounds=1"]
    arguments = [part for word in words for part in ("--projector", word)]
    line = run("bench", *arguments, "--seconds", 3, "--threads", 1, "--json").expect().line
    assert [result["projector"]["kind"] for result in line["projections"]] == ["sketch", "dense", "rapidgrad"]
    assert (line["threads"], line["projections"][0]["projector"]["normalise"]) == (1, "tensor")
    for result in line["projections"]:
        for key in ("gb_per_s", "memory_gb_per_s", "read_ratio"):
            check_rate(result[key])
    assert "sketch,dims=1024" in run("bench", *arguments[:2], "--seconds", 0.5).expect().text


@pytest.mark.parametrize("arguments", [
    ["--projector", "sketch"], ["--projector", "factored,rank=2x2"], ["t", "--projector", "sketch,dims=64"],
])
def test_what_cannot_be_measured_is_a_usage_error(gradctl, arguments):
    run("bench", *arguments, "--seconds", 0.5).expect(USAGE)
