"""Targets of speed: scans beside plain reads, instruction peaks and the disk."""

import json
import shutil
import statistics
import subprocess

import common

PASSES = 4


def line(what, ours, limits, unit, goal):
    """One result: medians of what was measured round by round; the ratio is that of each round."""
    ratios = [a / b for a, b in zip(ours, limits)]
    ratio, lowest, highest = common.spread(ratios)
    return {
        "what": what, "measured": statistics.median(ours), "limit": statistics.median(limits),
        "unit": unit, "ratio": ratio, "range": [lowest, highest], "goal": goal,
        "higher_is_better": True, "pass": ratio >= goal,
    }


def beside_reads(tables, options, codec, bits, gib):
    """GB/s of the first and of later passes of scans, and of plain reads, round by round."""
    database, _ = tables.sized(codec, bits, gib)
    query = tables.queries(1, options.dims)
    common.reads(tables.reader, database, tables.threads, 1)
    first, later = ([], []), ([], [])
    for _ in range(options.rounds):
        scans = common.scans(database, query, tables.threads, PASSES)
        ours = [scan["gb_per_s"] for scan in scans]
        limit = common.reads(tables.reader, database, tables.threads, PASSES)
        first[0].append(ours[0])
        first[1].append(limit[0])
        later[0].append(statistics.median(ours[1:]))
        later[1].append(statistics.median(limit[1:]))
    return first, later


def q1_int8(tables, options):
    first, later = beside_reads(tables, options, "int8", 8, options.gib)
    return [
        line("first pass of a process (verifies, maps pages), to plain read", *first, "GB/s", 0.75),
        line("later passes, to plain read", *later, "GB/s", 0.95),
    ]


def q1_f16(tables, options):
    _, later = beside_reads(tables, options, "f16", 16, options.gib)
    return [line("later passes, to plain read", *later, "GB/s", 0.90)]


def q1_bit(tables, options):
    _, later = beside_reads(tables, options, "bit", 1, options.gib / 2)
    return [line("later passes, to plain read", *later, "GB/s", 0.80)]


def q128_int8(tables, options):
    database, _ = tables.sized("int8", 8, options.gib)
    query = tables.queries(128, options.dims)
    ours, limits = [], []
    for _ in range(min(options.rounds, 5)):
        words = ["bench", "--seconds", 2, "--threads", tables.threads, "--quiet"]
        machine = common.gradctl(database, *words)[0]
        limits.append(machine["int8_gmac_per_s"]["all"])
        scans = common.scans(database, query, tables.threads, 2)
        ours.append(scans[-1]["gmac_per_s"])
    return [line("128 queries, to the int8 instruction peak", ours, limits, "GMAC/s", 0.70)]


def fio(files):
    """GB/s of reading files one after the other past the page cache, 16 requests at a time."""
    program = shutil.which("fio")
    if not program:
        raise SystemExit("targets: `cold` needs fio (apt-get install fio)")
    command = [
        program, "--name=read", "--readonly", "--rw=read", "--direct=1", "--bs=1M",
        "--iodepth=16", "--file_service_type=sequential", "--filename=" + ":".join(files),
        "--output-format=json",
    ]
    for engine in ("io_uring", "libaio"):
        done = subprocess.run(
            [*command, f"--ioengine={engine}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            # fio may print notes before the object.
            text = done.stdout.decode()
            (job,) = json.loads(text[text.index("{") :])["jobs"]
            return job["read"]["bw_bytes"] / 1e9
    raise SystemExit("targets: fio can neither use io_uring nor libaio here")


def cold(tables, options):
    database, _ = tables.sized("int8", 8, options.gib)
    query = tables.queries(1, options.dims)
    ours, limits = [], []
    for _ in range(min(options.rounds, 5)):
        common.drop_cache(database)
        limits.append(fio(common.block_files(database)))
        common.drop_cache(database)
        ours.append(common.scans(database, query, tables.threads, 1)[0]["gb_per_s"])
    return [line("cache dropped, one query, to fio with a queue of 16", ours, limits, "GB/s", 0.90)]
