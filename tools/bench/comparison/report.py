"""What compare.py writes: a table in Markdown, and a chart."""

import os
import statistics
import time

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

import common
from comparison import data as source
from comparison import systems


class Result:
    """What one system came to."""

    def __init__(self, system, dims):
        self.name, self.rows, self.row_bytes, self.dims = (
            system.name, system.rows, system.row_bytes, dims)
        self.seconds = {count: [] for count in source.QUERY_COUNTS}
        self.recall = None

    def rows_per_second(self, count, seconds=None):
        """Rows that are passed over for all queries together, per second."""
        return self.rows / (seconds or statistics.median(self.seconds[count]))

    def gmac_per_second(self, count):
        return self.rows_per_second(count) * self.dims * count / 1e9

    def gb_per_second(self, count):
        return self.rows_per_second(count) * self.row_bytes / 1e9

    def range(self, count):
        """The slowest and the fastest round, in rows per second."""
        return [self.rows_per_second(count, pick(self.seconds[count])) for pick in (max, min)]


def table(results, count):
    """One table: all systems for so many queries at a time."""
    base = results[0].rows_per_second(count)
    lines = [
        "| system | rows/s (range) | GMAC/s | GB/s | to GradDB int8 |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        rate = result.rows_per_second(count)
        slow, fast = result.range(count)
        lines.append(
            f"| {result.name} | {rate:,.0f} ({slow:,.0f}–{fast:,.0f}) "
            f"| {result.gmac_per_second(count):.1f} | {result.gb_per_second(count):.2f} "
            f"| {rate / base:.2f} |")
    return lines


def markdown(results, options, command):
    systems_lines = [
        f"| {r.name} | {r.rows:,} | {r.row_bytes:,} | {r.rows * r.row_bytes / 2**30:.2f} "
        f"| {r.recall:.3f} |" for r in results]
    lines = [
        "# GradDB beside other scans", "",
        f"{common.processor()}, {options.threads} threads; {', '.join(systems.versions())}; "
        f"{time.strftime('%Y-%m-%d')}; `{command}`.", "",
        f"Exact scans of Gaussian rows of {options.dims:,} dims for 1, 16 and 128 queries at a time, "
        f"each with its ten best rows; medians and ranges of {options.rounds} rounds. In every "
        "round each system runs once, so that a slow moment of the machine hits all of them. All "
        "data are in memory (GradDB's and the memmap's in the page cache) and every system has all "
        "threads: GradDB by `--threads`, numpy and FAISS by OMP_NUM_THREADS and "
        "OPENBLAS_NUM_THREADS, USearch and SimSIMD by their `threads`. GradDB's time is that of its "
        "scan operator, which also verifies checksums, selects, and runs in a process of its own; "
        "the others' is that of the call in Python, with the selection.", "",
        "Rows are passed over once for all queries; rows/s counts them once. Systems that need more "
        f"than {options.peer_gib:g} GiB for all rows hold only the first ones, as the next table "
        "says: compare rows/s.", "",
        "![rows per second](compare.svg)", "",
        "Recall is the share of the true ten best rows, by f32 scores of the f16 originals, over "
        "128 queries. Independent Gaussians are the hardest case for it: all scores are noise, and "
        "the best ones nearly tie. b1 keeps only the signs of queries, too; RaBitQ and GradDB's bits "
        "do not.", "",
        "| system | rows | bytes a row | GiB | recall at 10 |", "|---|---|---|---|---|",
        *systems_lines,
    ]
    for count in source.QUERY_COUNTS:
        plural = "query" if count == 1 else "queries"
        lines += ["", f"## {count} {plural} at a time", "", *table(results, count)]
    return "\n".join(lines) + "\n"


def chart(results, path):
    """One panel for each number of queries; bars of GMAC/s on a logarithmic axis."""
    figure, panels = pyplot.subplots(
        1, len(source.QUERY_COUNTS), figsize=(13, 0.36 * len(results) + 1.4), sharey=True)
    names = [result.name for result in results]
    for panel, count in zip(panels, source.QUERY_COUNTS):
        rates = [result.rows_per_second(count) for result in results]
        colours = ["#2a6f97" if name.startswith("GradDB") else "#a9b4bd" for name in names]
        bars = panel.barh(names, rates, color=colours)
        panel.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
        panel.set_xscale("log")
        panel.set_xlim(min(rates) / 2, max(rates) * 6)
        panel.set_xlabel("rows per second")
        panel.set_title("1 query" if count == 1 else f"{count} queries at a time")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.suptitle(f"Scans of {results[0].dims:,} dims, {common.processor()} (log scale)")
    figure.tight_layout()
    # The same numbers give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "compare"
    figure.savefig(path, metadata={"Date": None})


def write(results, options, command):
    os.makedirs(options.out, exist_ok=True)
    chart(results, os.path.join(options.out, "compare.svg"))
    path = os.path.join(options.out, "compare.md")
    with open(path, "w") as file:
        file.write(markdown(results, options, command))
    return path
