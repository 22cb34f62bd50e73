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
import os
import shutil
import statistics
import sys
import time

import common


def plain_write(directory, count):
    """GB/s of writing and syncing `count` bytes."""
    path = os.path.join(directory, "plain")
    data = os.urandom(1 << 20) * 64
    pieces = max(1, count // len(data))
    started = time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(pieces):
            file.write(data)
        os.fsync(file.fileno())
    seconds = time.monotonic() - started
    os.remove(path)
    return pieces * len(data) / seconds / 1e9


def ratio_line(name, ours, limit):
    ratio, lowest, highest = common.spread([a / b for a, b in zip(ours, limit)])
    print(
        f"{name:44} {statistics.median(ours):6.2f} GB/s   limit {statistics.median(limit):6.2f}"
        f"   ratio {ratio:.2f}  ({lowest:.2f} to {highest:.2f})"
    )


def measure_ingest(work, rows, options):
    """Ingests a file three times; returns the last database."""
    source = work.file("gradients.safetensors")
    common.write_gradients(source, rows, options.dims)
    rates, limits = [], []
    for attempt in range(3):
        database = work.file(f"db{attempt}")
        common.create(database, options.dims, options.codec)
        result = common.gradctl(
            database, "ingest", common.TABLE, source, "--checkpoint", common.CHECKPOINT)[0]
        rates.append(result["input_bytes"] / result["seconds"] / 1e9)
        limits.append(
            plain_write(work.path, result["bytes"]) * result["input_bytes"] / result["bytes"])
        if attempt < 2:
            shutil.rmtree(database)
    os.remove(source)
    ratio_line("ingest, GB/s of f16 input", rates, limits)
    return database


def measure_scans(work, database, options):
    program = common.build_reader(work.path)
    query = common.write_queries(work.file("query.npy"), 1, options.dims)
    for threads in sorted({1, os.cpu_count()}):
        first_scan, first_read, warm_scan, warm_read = [], [], [], []
        for _ in range(options.rounds):
            ours = [scan["gb_per_s"] for scan in common.scans(database, query, threads, 4)]
            limit = common.reads(program, database, threads, 4)
            first_scan.append(ours[0])
            first_read.append(limit[0])
            warm_scan.append(statistics.median(ours[1:]))
            warm_read.append(statistics.median(limit[1:]))
        ratio_line(f"scan, {threads} threads, pages being mapped", first_scan, first_read)
        ratio_line(f"scan, {threads} threads, pages mapped", warm_scan, warm_read)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=4, help="GiB of payload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dims", type=int, default=65536)
    parser.add_argument("--codec", default="int8", choices=["int8", "f16", "f32"])
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    options = parser.parse_args()

    element = {"int8": 1, "f16": 2, "f32": 4}[options.codec]
    rows = int(options.gib * 2**30 / options.dims / element)
    cores = os.cpu_count()
    print(f"{rows} rows x {options.dims} dims, {options.codec}, {cores} cores; medians, range")
    with common.Workplace(options.directory) as work:
        database = measure_ingest(work, rows, options)
        measure_scans(work, database, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
