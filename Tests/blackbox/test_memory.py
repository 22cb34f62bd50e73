"""An ingest and a recode need memory for row groups, not for all rows."""

import json
import os
import struct
import subprocess

from graddb import Database, environment, GRADCTL

ROWS, DIMS = 16384, 65536
LIMIT_BYTES = 512 << 20


def write_sparse_zeros(path):
    """2 GiB of f16 zeros that take no room on the disk."""
    size = ROWS * DIMS * 2
    header = {"grad": {"dtype": "F16", "shape": [ROWS, DIMS], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)


def peak_bytes(*arguments):
    """Runs gradctl, expects success, and returns the most memory it held."""
    process = subprocess.Popen(
        [GRADCTL, *map(str, arguments)], env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_a_large_input_is_ingested_in_bounded_memory(gradctl, tmp_path):
    source = tmp_path / "zeros.safetensors"
    write_sparse_zeros(source)
    database = Database(tmp_path / "db").init()
    database.create("t", [f"grad:{DIMS}:int8"])
    peak = peak_bytes("ingest", "t", source, "--checkpoint", "c", "--db", database.path)
    assert peak < LIMIT_BYTES, f"{peak >> 20} MiB"
    assert database.info("t")["rows"] == ROWS
    peak = peak_bytes("recode", "t", "--codec", "int4", "--beside", "--db", database.path)
    assert peak < LIMIT_BYTES, f"{peak >> 20} MiB"
