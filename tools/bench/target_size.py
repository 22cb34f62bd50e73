"""Targets of size: RapidIn's table, growth, memory."""

import math
import os
import shutil
import statistics
import subprocess
import threading

import numpy

import common

RAPIDIN_DIMS = 65_536
GROWTH_DIMS = 8_192
BASE_BYTES = 256 << 20
ROW_AND_QUERY_BYTES = 4


def at_most(what, measured, limit, unit, **more):
    """A result that must not exceed a limit."""
    return {
        "what": what, "measured": measured, "limit": limit, "unit": unit,
        "ratio": measured / limit, "goal": 1, "higher_is_better": False,
        "pass": measured <= limit, **more,
    }


def rapidin(tables, options):
    """Bits add pi/2 to the variance of a score: that many more dims have the fidelity of f16."""
    dims = math.ceil(RAPIDIN_DIMS * math.pi / 2 / 64) * 64
    database = tables.database("bit", dims, options.rapidin_rows)
    query = tables.queries(1, dims)
    scans = common.scans(database, query, tables.threads, options.rounds + 2)[2:]
    seconds, lowest, highest = common.spread([scan["statement_seconds"] for scan in scans])
    what = f"{options.rapidin_rows:,} rows x {dims:,} bits, one query, whole statement, warm"
    return [at_most(what, seconds, 0.05, "s", range=[lowest, highest])]


# ---- growth ----


def row_counts(tables, top):
    """1e4, 1e5, ... up to what disk and page cache hold, and why it ends there."""
    row_bytes = GROWTH_DIMS // 8
    disk = shutil.disk_usage(tables.work.path).free
    room = min(disk / 1.5, common.available_memory() / 1.2)
    note = ""
    if top * row_bytes > room:
        top, wanted = int(room / row_bytes), top
        note = f"; {wanted:,} rows do not fit memory and disk"
    counts = []
    count = 10_000
    while count < top:
        counts.append(count)
        count *= 10
    return counts + [top], note


def growth(tables, options):
    counts, note = row_counts(tables, options.growth_top)
    query = tables.queries(1, GROWTH_DIMS)
    seconds = []
    for count in counts:
        database = tables.database("bit", GROWTH_DIMS, count)
        # Short scans for about a second: two threads take some passes to find a core each.
        passes = max(options.rounds, min(400, 20_000_000 // count))
        scans = common.scans(database, query, tables.threads, passes + 2)[2:]
        seconds.append(statistics.median(scan["seconds"] for scan in scans))
    per_row = [s / n * 1e9 for s, n in zip(seconds, counts)]
    table = ", ".join(f"{n:,}: {ns:.2f}" for n, ns in zip(counts, per_row))
    large = [ns for n, ns in zip(counts, per_row) if n >= 100_000] or per_row
    middle = statistics.median(large)
    results = [("time per row from 100,000 rows on", max(abs(ns / middle - 1) for ns in large))]
    if len(counts) > 2:
        results.append(("a + b N through all", fit_deviation(counts, seconds)))
    return [
        at_most(f"{what}: deviation from linear (ns a row: {table}{note})", value, 0.10, "share",
                rows=counts, seconds=seconds)
        for what, value in results
    ]


def fit_deviation(counts, seconds):
    """The largest relative distance from a + b N, fitted to small relative distances."""
    n, s = numpy.array(counts, float), numpy.array(seconds)
    design = numpy.stack([1 / s, n / s], axis=1)
    factors, *_ = numpy.linalg.lstsq(design, numpy.ones(len(s)), rcond=None)
    return float(numpy.abs(design @ factors - 1).max())


# ---- memory ----


def peak_anonymous(command, script):
    """The most anonymous memory of a process, in bytes, sampled every two milliseconds: pages of
    mapped table files belong to the page cache and do not count."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    peak = 0
    done = threading.Event()

    def sample():
        nonlocal peak
        while not done.wait(0.002):
            try:
                with open(f"/proc/{process.pid}/status") as file:
                    for fact in file:
                        if fact.startswith("RssAnon:"):
                            peak = max(peak, int(fact.split()[1]) * 1024)
            except OSError:
                return

    sampler = threading.Thread(target=sample)
    sampler.start()
    process.communicate(script.encode())
    status = process.returncode
    done.set()
    sampler.join()
    if status:
        raise SystemExit(f"targets: gradctl query failed with {status}")
    return peak


def memory_line(tables, what, database, rows, dims, query_count):
    query = tables.queries(query_count, dims)
    command = [common.GRADCTL, "query", "-", "--db", database, "--json",
               "--threads", str(tables.threads)]
    # One statement after the other, so that short scans too are seen at their peak.
    peak = peak_anonymous(command, common.statement(query) * 5)
    limit = BASE_BYTES + ROW_AND_QUERY_BYTES * rows * query_count
    return at_most(f"peak anonymous memory, {what}", peak / 2**20, limit / 2**20, "MiB")


def memory(tables, options):
    database, rows = tables.sized("int8", 8, options.gib)
    size = f"int8, {rows:,} rows"
    return [
        memory_line(tables, f"{count} queries, {size}", database, rows, options.dims, count)
        for count in (1, 128)
    ]


def memory_growth(tables, options):
    counts, _ = row_counts(tables, options.growth_top)
    # The table of `growth`, when it has run: what fits may look different by now.
    names = [os.path.basename(path) for path in tables.known]
    made = [name.rsplit("-", 1) for name in names if name.startswith(f"bit-{GROWTH_DIMS}-")]
    rows = max((int(rows) for _, rows in made), default=counts[-1])
    database = tables.database("bit", GROWTH_DIMS, rows)
    return [memory_line(tables, f"one query, bit, {rows:,} rows", database, rows, GROWTH_DIMS, 1)]
