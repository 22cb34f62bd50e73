#!/usr/bin/env python3
"""The engine's two ratios, measured side by side on one machine.

Ingest: f16 safetensors into an int8 layer, in GB/s of input, beside a plain write of as many bytes
as it stores (the disk's limit for it). Scan: one query over an int8 layer, warm, in GB/s of
payload, beside a plain read of the same mapped files (read_limit.c).

Both scan and read are shown for their first pass, which also maps the pages, and for later passes
over pages that are mapped already. Passes alternate, so that a slow moment hits both.

    python3 tools/bench/engine.py [--gib 4] [--rounds 5] [--dims 65536]

Needs numpy, a C compiler (cc or clang), and free memory for the data to stay in the page cache.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GRADCTL = os.environ.get("GRADCTL", os.path.join(ROOT, ".build", "release", "gradctl"))


def gradctl(database, *arguments):
    """Runs gradctl with --json and returns its lines."""
    command = [GRADCTL, *arguments, "--db", database, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def write_gradients(path, rows, dims, seed):
    """One f16 tensor of Gaussian rows: 64 MiB of random numbers, rolled from row to row."""
    random = numpy.random.default_rng(seed)
    pool = random.standard_normal((512, dims), dtype=numpy.float32).astype(numpy.float16)
    header = {"grad": {"dtype": "F16", "shape": [rows, dims], "data_offsets": [0, rows * dims * 2]}}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, rows, len(pool)):
            block = numpy.roll(pool, start, axis=1)[: min(len(pool), rows - start)]
            file.write(block.tobytes())


def plain_write(directory, count):
    """GB/s of writing and syncing `count` bytes."""
    path = os.path.join(directory, "plain")
    data = os.urandom(1 << 20) * 64
    started = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(max(1, count // len(data))):
            file.write(data)
        os.fsync(file.fileno())
    seconds = time.monotonic() - started
    os.remove(path)
    return max(1, count // len(data)) * len(data) / seconds / 1e9


def scan_seconds(plan):
    """The scan operator's own GB/s in an analyzed plan."""
    if plan["operator"] == "scan":
        return plan["actual"]["gb_per_s"]
    return scan_seconds(plan["inputs"][0])


def scans(database, query, threads, passes):
    """GB/s of consecutive scans in one process: the first maps the pages."""
    statement = f"EXPLAIN ANALYZE SELECT id FROM bench SCORE dot TO '{query}' TOP 10;\n" * passes
    command = [GRADCTL, "query", "-", "--db", database, "--json", "--threads", str(threads)]
    done = subprocess.run(command, input=statement.encode(), check=True, stdout=subprocess.PIPE)
    return [scan_seconds(json.loads(line)["plan"]) for line in done.stdout.splitlines()]


def reads(program, database, threads, passes):
    """GB/s of consecutive plain reads of the block files in one process."""
    files = [os.path.join(database, name) for name in os.listdir(database)]
    files = [name for name in files if name.endswith(".sst") and os.path.getsize(name) > 1 << 20]
    command = [program, str(threads), str(passes), *files]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [float(line) for line in done.stdout.split()]


def ratio_line(name, ours, limit):
    ratios = [a / b for a, b in zip(ours, limit)]
    print(
        f"{name:44} {statistics.median(ours):6.2f} GB/s   limit {statistics.median(limit):6.2f}"
        f"   ratio {statistics.median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=4, help="GiB of int8 payload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dims", type=int, default=65536)
    parser.add_argument("--codec", default="int8", choices=["int8", "f16", "f32"])
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    options = parser.parse_args()

    work = tempfile.mkdtemp(dir=options.directory)
    try:
        program = os.path.join(work, "read_limit")
        compiler = shutil.which("cc") or "clang"
        source = os.path.join(ROOT, "tools", "bench", "read_limit.c")
        subprocess.run([compiler, "-O3", "-march=native", "-pthread", source, "-o", program],
                       check=True)
        element = {"int8": 1, "f16": 2, "f32": 4}[options.codec]
        rows = int(options.gib * 2**30 / options.dims / element)
        source = os.path.join(work, "gradients.safetensors")
        write_gradients(source, rows, options.dims, seed=1)
        query = os.path.join(work, "query.npy")
        numpy.save(query, numpy.random.default_rng(2).standard_normal(
            (1, options.dims), dtype=numpy.float32))

        rates, limits = [], []
        for attempt in range(3):
            database = os.path.join(work, f"db{attempt}")
            gradctl(database, "init")
            gradctl(database, "create", "bench", "--layer", f"grad:{options.dims}:{options.codec}")
            result = gradctl(database, "ingest", "bench", source, "--checkpoint", "c")[0]
            rates.append(result["input_bytes"] / result["seconds"] / 1e9)
            limits.append(plain_write(work, result["bytes"])
                          * result["input_bytes"] / result["bytes"])
            if attempt < 2:
                shutil.rmtree(database)
        os.remove(source)

        cores = os.cpu_count()
        print(f"{rows} rows x {options.dims} dims, {options.codec}, {cores} cores; medians, range")
        ratio_line("ingest, GB/s of f16 input", rates, limits)
        for threads in sorted({1, cores}):
            first_scan, first_read, warm_scan, warm_read = [], [], [], []
            for _ in range(options.rounds):
                ours = scans(database, query, threads, 4)
                limit = reads(program, database, threads, 4)
                first_scan.append(ours[0])
                first_read.append(limit[0])
                warm_scan.append(statistics.median(ours[1:]))
                warm_read.append(statistics.median(limit[1:]))
            ratio_line(f"scan, {threads} threads, pages being mapped", first_scan, first_read)
            ratio_line(f"scan, {threads} threads, pages mapped", warm_scan, warm_read)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
