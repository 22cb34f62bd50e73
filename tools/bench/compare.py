#!/usr/bin/env python3
"""GradDB beside numpy, FAISS, USearch and SimSIMD: the same rows, in one run, in turns.

    python3 tools/bench/compare.py [--gib 4] [--peer-gib 1] [--rounds 5]

Writes docs/benchmarks/compare.md and compare.svg (--out: elsewhere). The packages that it needs
(requirements.txt) go into tools/bench/.venv, a virtual environment of its own. At full size it
takes about 20 GiB of memory: GradDB's tables 2.7 times --gib in the page cache, the others about
nine times --peer-gib. For a quick look: --gib 0.125 --peer-gib 0.125 --rounds 2 --out DIR.
"""

import argparse
import hashlib
import os
import subprocess
import sys

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(BENCH))
ENVIRONMENT = os.path.join(BENCH, ".venv")
REQUIREMENTS = os.path.join(BENCH, "requirements.txt")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=4, help="payload of GradDB's int8 rows")
    parser.add_argument("--peer-gib", type=float, default=1,
                        help="most GiB that each other system holds; it gets fewer rows for that")
    parser.add_argument("--dims", type=int, default=65536)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "benchmarks"))
    return parser.parse_args()


def enter_environment(threads):
    """Goes on in the virtual environment, made and filled where it is missing or old, with the
    number of threads in the variables that libraries read when they are loaded."""
    with open(REQUIREMENTS, "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(ENVIRONMENT, "requirements.sha256")
    python = os.path.join(ENVIRONMENT, "bin", "python")
    if os.environ.get("GRADDB_COMPARE") == wanted:
        return
    made = os.path.exists(stamp) and open(stamp).read() == wanted
    if not made:
        print("installing what is compared into tools/bench/.venv", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        with open(stamp, "w") as file:
            file.write(wanted)
    # Waiting OpenMP threads must not take the processor from the system whose turn it is.
    changes = {"GRADDB_COMPARE": wanted, "OMP_WAIT_POLICY": "passive"}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        changes[name] = str(threads)
    os.execve(python, [python, *sys.argv], {**os.environ, **changes})


def measure(data, options):
    """Results of all systems, each with its recall."""
    from comparison import data as source
    from comparison import report, systems

    pairs = []
    for system in systems.all_systems(data, options):
        print(f"  {system.name}: {system.rows:,} rows", file=sys.stderr)
        pairs.append((system, report.Result(system, data.dims)))
    scores = data.scores()
    for system, result in pairs:
        count = max(source.QUERY_COUNTS)
        is_ours = isinstance(system, systems.GradDB)
        found = system.answers(count) if is_ours else system.search(count)[1]
        result.recall = source.recall(found, source.top_rows(scores[: system.rows]))
        print(f"  {system.name}: recall {result.recall:.3f}", file=sys.stderr)
    for turn in range(options.rounds):
        print(f"  round {turn + 1} of {options.rounds}", file=sys.stderr)
        for count in source.QUERY_COUNTS:
            for system, result in pairs:
                result.seconds[count].append(system.search(count)[0])
    return [result for _, result in pairs]


def main():
    options = arguments()
    enter_environment(options.threads)

    import common
    from comparison import report
    from comparison.data import Data

    needed = 2.7 * options.gib + 9.5 * options.peer_gib
    if needed * 2**30 > common.available_memory():
        raise SystemExit(f"compare: this takes {needed:.0f} GiB of memory; make --gib or "
                         "--peer-gib smaller")
    rows = max(16, int(options.gib * 2**30 / options.dims))
    size = f"--gib {options.gib:g} --peer-gib {options.peer_gib:g} --dims {options.dims}"
    command = f"tools/bench/compare.py {size} --rounds {options.rounds}"
    with common.Workplace(options.directory) as work:
        results = measure(Data(work, rows, options.dims), options)
        print(report.write(results, options, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
