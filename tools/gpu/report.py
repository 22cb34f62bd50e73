#!/usr/bin/env python3
"""Makes docs/benchmarks/gpu.md of what tools/gpu/check.sh measured.

    python3 tools/gpu/report.py graddb-gpu-check.json [--out docs/benchmarks/gpu.md]
"""

import argparse
import json
import sys
from pathlib import Path

USUAL = Path(__file__).resolve().parents[2] / "docs/benchmarks/gpu.md"
FORMAT = 1


def number(value):
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(titles, rows):
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def kernel(device, codec, queries):
    found = [k for k in device["kernels"] if (k["codec"], k["queries"]) == (codec, queries)]
    return found[0] if found else {}


def targets(device, peers):
    """(what, measured, target, whether it is met)"""
    rows = [
        (f"resident int8, Q = {queries}: bytes/s, of the copy bandwidth (read side)",
         kernel(device, "int8", queries).get("copy_ratio"), 0.85)
        for queries in (1, 16, 64)
    ]  # fmt: skip
    rows += [
        ("resident bit, Q = 1: the same", kernel(device, "bit", 1).get("copy_ratio"), 0.75),
        ("resident int8, Q = 1,024: of the int8 matrix peak",
         kernel(device, "int8", 1024).get("peak_ratio"), 0.50),
        ("staged from the page cache: of the pinned copy", device["staged"]["pinned_ratio"], 0.90),
    ]  # fmt: skip
    checked = [(what, number(value), f"≥ {least}", value is not None and value >= least)
               for what, value, least in rows]  # fmt: skip
    resident = device["resident"]
    time = resident["statement_ms"]["median"]
    checked.append((
        f"resident, {resident['rows']:,} rows x {resident['dims']:,} int8, one query, top "
        f"{resident['top']:,}, from its text to its rows", f"{number(time)} ms", "≤ 2 ms", time <= 2,
    ))  # fmt: skip
    for peer in peers:
        ours = kernel(device, "int8", peer["queries"]).get("scan_seconds")
        if ours:
            ratio = peer["seconds"] / ours
            checked.append((
                f"{peer['peer']} {peer['type']}, Q = {peer['queries']}: its time to that of an int8 scan here",
                number(ratio), "> 1", ratio > 1,
            ))  # fmt: skip
    return checked


def text(result):
    check, (bench,), peers = result["check"], result["bench"], result["peers"]
    wrong = sum(line["differing"] for line in check if "name" in line)
    values = sum(line["values"] for line in check if "name" in line)
    cases = sum(line["cases"] for line in check if "name" in line)
    lines = [
        "# GPUs", "",
        f"{result['driver'] or result['device']}; GradDB {result['version']}; {bench['measured'][:10]}; made by "
        "`tools/gpu/report.py` of what `tools/gpu/check.sh` measured.", "",
        f"Of {values:,} values in {cases:,} cases of kernels and scans, **{wrong:,} differ** from the processor's.", "",
    ]  # fmt: skip
    for line in check:
        if line.get("unchecked"):
            lines += [f"Not checked, since this GPU cannot launch them: {', '.join(line['unchecked'])}.", ""]
    for device in bench["devices"]:
        lines += [f"## {device['name']}", ""]
        lines += table(
            ["", "measured", "target", ""],
            [(*row[:3], "met" if row[3] else "**missed**") for row in targets(device, peers)])  # fmt: skip
        copy = device["copy_gb_per_s"]
        lines += ["", "| limit | |", "|---|---|"]
        lines += [f"| {name} | {number(value)} {unit} |" for name, value, unit in (
            ("pinned memory to the device", device["pinned"]["gb_per_s"], "GB/s"),
            ("the same in buffers of the ring", device["ring"]["gb_per_s"], "GB/s"),
            ("back", device["back_gb_per_s"], "GB/s"),
            ("device memory, read", device["read_gb_per_s"], "GB/s"),
            ("device memory, copied: read side", copy["read"], "GB/s"),
            ("int8 products", device["int8_gmac_per_s"], "GMAC/s"),
            ("a launch, and waiting for it", device["launch_us"], "us"),
            ("from nothing to a device that runs kernels", device["start_seconds"], "s"),
        )]  # fmt: skip
        lines += ["", *table(
            ["codec", "Q", "rows x dims", "ms", "GB/s", "of read", "of copy", "GMAC/s", "of peak"],
            [(k["codec"], f"{k['queries']:,}", f"{k['rows']:,} x {k['dims']:,}", number(k["seconds"] * 1e3),
              number(k["gb_per_s"]), number(k["read_ratio"]), number(k["copy_ratio"]), number(k["gmac_per_s"]),
              number(k["peak_ratio"])) for k in device["kernels"]])]  # fmt: skip
        split = device["resident"]["split_ms"]
        lines += ["", "One query over what is resident, in ms: " + ", ".join(
            f"{name.replace('_', ' ')} {number(value)}" for name, value in split.items()) + "."]  # fmt: skip
    if peers:
        lines += ["", "## Others on the same GPU", "", *table(
            ["", "type", "version", "rows x dims", "Q", "ms", "GB/s"],
            [(p["peer"], p["type"], p["version"], f"{p['rows']:,} x {p['dims']:,}", p["queries"],
              number(p["seconds"] * 1e3), number(p["gb_per_s"])) for p in peers])]  # fmt: skip
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--out", type=Path, default=USUAL)
    options = parser.parse_args()
    result = json.loads(options.result.read_text())
    if result.get("format") != FORMAT:
        sys.exit(f"report: {options.result} is not of format {FORMAT}")
    options.out.write_text(text(result))


if __name__ == "__main__":
    main()
