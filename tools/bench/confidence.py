"""How much faster CONFIDENCE answers than EXACT, and how much of the true top it finds.

    python3 tools/bench/confidence.py --gradients DIR [--codec int8+bit | --db DB --table t]

needs numpy and a built gradctl (GRADCTL, else .build/release/gradctl); --gradients is what
gradients.py wrote, and its queries.npy has the query vectors. Without --db a database is made of
it, with its layer stored as --codec, in a temporary directory.

For cosine and dot, and every query by itself: EXACT and CONFIDENCE alternate, pass after pass, in
one process (the first pass, which maps the pages, does not count). A time is taken from the scans
of the analyzed plan, and for the whole statement from one answer's arrival to the next. Recall is
the share of EXACT's rows that CONFIDENCE has too. All figures are over the queries: the median and
the range of the queries' own medians. A rate counts all rows of the table, read or not.
"""

import argparse
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

from common import GRADCTL, gradctl


def make_database(database, table, source, codec):
    dims = numpy.load(os.path.join(source, "queries.npy"), mmap_mode="r").shape[1]
    shards = sorted(name for name in os.listdir(source) if name.endswith(".safetensors"))
    gradctl(database, "init")
    gradctl(database, "create", table, "--layer", f"grad:{dims}:{codec}", "--field",
            "source:string", "--field", "kind:string", "--field", "backdoor:bool", "--field",
            "noisy:bool", "--field", "tokens:int", "--field", "text:string")
    done = gradctl(database, "ingest", table, *(os.path.join(source, name) for name in shards),
                   "--metadata", os.path.join(source, "metadata.jsonl"), "--checkpoint", "c")[0]
    print(f"ingested {done['rows']} rows of {dims} dims in {done['seconds']:.1f} s, "
          f"{done['bytes'] / 1e9:.2f} GB stored, "
          f"{done['input_bytes'] / done['seconds'] / 1e9:.2f} GB/s of input")


def split_queries(source, work):
    """One file a query, so that each is a statement of its own."""
    files = []
    for n, vector in enumerate(numpy.load(os.path.join(source, "queries.npy"))):
        files.append(os.path.join(work, f"query-{n:02}.npy"))
        numpy.save(files[-1], vector[None])
    return files


def scan_seconds(plan):
    """Seconds of all reading and scoring in an analyzed plan: of its scans, passes and all."""
    actual = plan.get("actual", {})
    if plan["operator"] == "scan":
        return actual["seconds"]
    return sum(scan_seconds(node) for node in plan["inputs"])


def scanned(plan):
    """Bytes that the scans of an analyzed plan read."""
    if plan["operator"] == "scan":
        return plan["actual"]["bytes"]
    return sum(scanned(node) for node in plan["inputs"])


def table_rows(plan):
    rows = plan.get("estimate", {}).get("rows", 0)
    return max([rows, *(table_rows(node) for node in plan["inputs"])])


def timed(database, statements, threads):
    """Runs the statements, each with one line of answer, in one process: [(plan, seconds)]."""
    command = [GRADCTL, "query", "-", "--db", database, "--json", "--threads", str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write("".join(f"{statement};\n" for statement in statements).encode())
        process.stdin.close()
        answers, before = [], time.monotonic()
        for line in process.stdout:
            now = time.monotonic()
            answers.append((json.loads(line)["plan"], now - before))
            before = now
    if process.returncode or len(answers) != len(statements):
        sys.exit(f"confidence: gradctl ended with status {process.returncode}")
    return answers


def answer_sets(database, statements, threads):
    """The ids that each statement answers with."""
    command = [GRADCTL, "query", "-", "--db", database, "--json", "--format", "json",
               "--threads", str(threads)]
    text = "".join(f"{statement};\n" for statement in statements)
    done = subprocess.run(command, input=text.encode(), check=True, stdout=subprocess.PIPE)
    return [{row["id"] for row in json.loads(line)} for line in done.stdout.splitlines()]


def spread(values, digits=2):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")


def compare(database, options, files, measure):
    """Prints the lines of one measure."""
    modes = ["EXACT", f"CONFIDENCE {options.confidence}"]
    statements = [f"SELECT id FROM {options.table} SCORE {measure} TO '{file}' "
                  f"TOP {options.top} {mode}" for file in files for mode in modes]
    found = answer_sets(database, statements, options.threads)
    recall = [len(exact & quick) / len(exact) for exact, quick in zip(found[::2], found[1::2])]

    times = collections.defaultdict(list)  # (query, mode) -> [(scan, whole statement)]
    for chosen in range(0, len(files), options.together):
        some = statements[2 * chosen:2 * (chosen + options.together)]
        answers = timed(database, [f"EXPLAIN ANALYZE {statement}" for statement in some]
                        * (options.passes + 1), options.threads)
        for place, (plan, seconds) in enumerate(answers[len(some):]):
            query, mode = divmod(place % len(some), 2)
            times[chosen + query, mode].append((scan_seconds(plan), seconds))
            if mode == 1:
                share = scanned(plan) / max(1, scanned(answers[place - 1 + len(some)][0]))
                times["share"].append(share)
    rows = table_rows(answers[0][0])
    for place, name in enumerate(("scan", "whole statement")):
        seconds = [[statistics.median(run[place] for run in times[query, mode])
                    for query in range(len(files))] for mode in (0, 1)]
        speeds = [[rows / each / 1e6 for each in mode] for mode in seconds]
        ratios = [exact / quick for exact, quick in zip(*seconds)]
        print(f"{measure:6} {name:15}  EXACT {spread(speeds[0])} M rows/s   "
              f"CONFIDENCE {spread(speeds[1])}   ratio {spread(ratios)}")
    print(f"{measure:6} bytes read, of EXACT's   {spread(times['share'], 3)}")
    print(f"{measure:6} recall@{options.top}   mean {statistics.mean(recall):.4f}, "
          f"{spread(recall, 3)}; {sum(r == 1 for r in recall)} of {len(recall)} complete")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", help="a database that has the rows already")
    parser.add_argument("--table", default="t")
    parser.add_argument("--gradients", required=True, help="what gradients.py wrote")
    parser.add_argument("--codec", default="int8+bit", help="to store as (default %(default)s)")
    parser.add_argument("--confidence", default="0.999")
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--measures", nargs="+", default=["cosine", "dot"])
    parser.add_argument("--passes", type=int, default=5, help="timed passes, after an untimed one")
    parser.add_argument("--together", type=int, default=20, help="queries in one process")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    options = parser.parse_args()

    work = tempfile.mkdtemp(dir=options.directory)
    try:
        database = options.db or os.path.join(work, "db")
        if not options.db:
            make_database(database, options.table, options.gradients, options.codec)
        files = split_queries(options.gradients, work)
        print(f"{len(files)} queries, TOP {options.top}, {options.passes} passes, "
              f"{options.threads} threads; median of the queries (lowest-highest)")
        for measure in options.measures:
            compare(database, options, files, measure)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
