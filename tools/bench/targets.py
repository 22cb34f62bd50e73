#!/usr/bin/env python3
"""Where the engine stands against its targets, each held against a limit measured beside it.

    python3 tools/bench/targets.py [--only NAME ...] [--out FILE] [--gib 4] [--rounds 7]

Prints one table, and writes the same as JSON with --out. For a quick look at small size:
--gib 0.25 --growth-top 100000 --rapidin-rows 5000. Needs numpy, a C compiler, fio for `cold`, about
16 GB of disk and as much free memory at full size.
"""

import argparse
import json
import os
import sys
import time

import common
import target_size
import target_speed

TARGETS = {
    "q1-int8": target_speed.q1_int8,
    "q128-int8": target_speed.q128_int8,
    "cold": target_speed.cold,
    "memory": target_size.memory,
    "q1-f16": target_speed.q1_f16,
    "q1-bit": target_speed.q1_bit,
    "rapidin": target_size.rapidin,
    "growth": target_size.growth,
    "memory-growth": target_size.memory_growth,
}


class Tables:
    """Databases made when they are first asked for; only the newest is kept in the page cache."""

    def __init__(self, work, options):
        self.work, self.options = work, options
        self.threads = options.threads
        self.reader = common.build_reader(work.path)
        self.known = []

    def database(self, codec, dims, rows):
        path = self.work.file(f"{codec}-{dims}-{rows}")
        for other in self.known:
            if other != path:
                common.drop_cache(other)
        if path not in self.known:
            print(f"  making {rows:,} rows x {dims:,} dims, {codec}", file=sys.stderr)
            common.create(path, dims, codec)
            common.ingest_stream(path, rows, dims)
            self.known.append(path)
        return path

    def sized(self, codec, bits, gib):
        """A database of 65,536 dims (or --dims) with so much payload: path and rows."""
        rows = max(1, int(gib * 2**30 * 8 / bits / self.options.dims))
        return self.database(codec, self.options.dims, rows), rows

    def queries(self, count, dims):
        path = self.work.file(f"q{count}-{dims}.npy")
        if not os.path.exists(path):
            common.write_queries(path, count, dims)
        return path


def shown(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def print_table(lines):
    print(f"{'target':14} {'measured':>11} {'limit':>11} {'unit':7} {'ratio':>6} {'goal':>7}")
    for line in lines:
        sign = ">=" if line["higher_is_better"] else "<="
        verdict = "pass" if line["pass"] else "MISS"
        print(
            f"{line['target']:14} {shown(line['measured']):>11} {shown(line['limit']):>11} "
            f"{line['unit']:7} {line['ratio']:6.3f} {sign}{line['goal']:<5g} {verdict}"
            f"  {line['what']}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), metavar="NAME",
                        help="some of: " + ", ".join(TARGETS))
    parser.add_argument("--gib", type=float, default=4, help="payload of int8 and f16; bit: half")
    parser.add_argument("--dims", type=int, default=65536)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--growth-top", type=int, default=10_000_000, help="most rows of `growth`")
    parser.add_argument("--rapidin-rows", type=int, default=52_000)
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    parser.add_argument("--out", help="write the lines as JSON here")
    options = parser.parse_args()

    lines = []
    with common.Workplace(options.directory) as work:
        tables = Tables(work, options)
        for name, measure in TARGETS.items():
            if options.only and name not in options.only:
                continue
            print(f"{name} ...", file=sys.stderr)
            for line in measure(tables, options):
                lines.append({"target": name, **line})
    print(f"{common.processor()}, {options.threads} threads, {time.strftime('%Y-%m-%d')}")
    print_table(lines)
    if options.out:
        with open(options.out, "w") as file:
            report = {"processor": common.processor(), "threads": options.threads,
                      "date": time.strftime("%Y-%m-%d"), "gib": options.gib, "lines": lines}
            json.dump(report, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
