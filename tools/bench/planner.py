"""Holds the planner's choices against measurement: every plan that could answer a statement, run and timed.

    swift build -c release && python3 tools/bench/planner.py [--quick] [--rounds 7] [--markdown F]

A grid of tables (rows, dims, codec) and statements (queries, condition, accuracy). EXPLAIN names the plan that
the planner chooses and those that it rejects; `--plan` runs each of them. All run in one process each, the first round
of which is left out (pages are mapped then), rounds alternate, and medians count. A choice is right when no plan is more
than 1.3 times faster. Run `gradctl bench` first, so that the planner knows the machine; the tables take 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy

LIMIT = 1.3
# rows, dims, codec
TABLES = [
    (2_000, 1_024, "f16"), (2_000, 65_536, "f16"), (50_000, 1_024, "f16"), (50_000, 4_096, "f16"),
    (20_000, 4_096, "f32"), (50_000, 1_024, "f32"),
    (5_000, 65_536, "int8"), (100_000, 1_024, "int8"), (100_000, 256, "int8"),
    (20_000, 16_384, "bit"), (200_000, 1_024, "bit"),
    (20_000, 16_384, "int8+bit"), (50_000, 8_192, "int8+bit"),
]
QUERIES = [1, 8, 64]
# name, condition, share of the rows
CONDITIONS = [
    ("none", None),
    ("half, by a number", "n < 500"),
    ("1%, by a number", "n < 10"),
    ("1% in one place", "place < 10"),
    ("nearly all, by text", "text LIKE '%e%'"),
    ("5%, by text", "text LIKE '%qz%'"),
]


@dataclass
class Case:
    table: str
    rows: int
    dims: int
    codec: str
    queries: int
    condition: str
    statement: str
    chosen: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)

    @property
    def medians(self) -> dict[str, float]:
        return {plan: statistics.median(times) for plan, times in self.seconds.items()}

    @property
    def ratio(self) -> float:
        return self.medians[self.chosen] / min(self.medians.values())


class Gradctl:
    def __init__(self, program: Path, database: Path) -> None:
        self.program, self.database = program, database

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> list[dict]:
        done = subprocess.run(
            [str(self.program), "--db", str(self.database), "--json", *arguments], input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise SystemExit(f"gradctl {' '.join(arguments)}: {done.stderr.decode()}")
        return [json.loads(line) for line in done.stdout.splitlines()]


def safetensors(vectors: numpy.ndarray) -> bytes:
    name = {"float32": "F32", "float16": "F16"}[str(vectors.dtype)]
    header = json.dumps({"grad": {"dtype": name, "shape": list(vectors.shape),
                                  "data_offsets": [0, vectors.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + vectors.tobytes()


def make_table(gradctl: Gradctl, directory: Path, name: str, rows: int, dims: int, codec: str) -> None:
    random = numpy.random.default_rng(rows + dims)
    gradctl("create", name, "--layer", f"grad:{dims}:{codec}", "--field", "n:int", "--field", "place:int",
            "--field", "text:string")
    letters = numpy.array(list("abcdefghijklmnopqrstuvwxyz      "))
    metadata = directory / "metadata.jsonl"
    with metadata.open("w") as file:
        for first in range(0, rows, 10_000):
            count = min(10_000, rows - first)
            numbers = random.integers(0, 1000, count)
            texts = letters[random.integers(0, len(letters), (count, 220))]
            marked = random.random(count) < 0.05
            for index in range(count):
                text = "".join(texts[index]).replace("qz", "qa") + ("qz" if marked[index] else "")
                file.write(json.dumps({"id": first + index, "n": int(numbers[index]),
                                       "place": (first + index) * 1000 // rows, "text": text}) + "\n")
    # Rows lie near a few directions, as gradients do, so that some stand out.
    centres = random.standard_normal((64, dims), dtype=numpy.float32)
    inputs = directory / "vectors"
    inputs.mkdir()
    step = max(1, (64 << 20) // (dims * 2))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        vectors = random.standard_normal((count, dims), dtype=numpy.float32)
        vectors += 0.3 * centres[random.integers(0, 64, count)]
        (inputs / f"{first:09}.safetensors").write_bytes(safetensors(vectors.astype(numpy.float16)))
    gradctl("ingest", name, str(inputs), "--checkpoint", "c", "--metadata", str(metadata))
    shutil.rmtree(inputs)
    for count in QUERIES:
        queries = random.standard_normal((count, dims), dtype=numpy.float32) + 0.3 * centres[:1]
        (directory / f"{name}-{count}.safetensors").write_bytes(safetensors(queries))


def cases(directory: Path, quick: bool) -> list[tuple[Case, tuple[int, int, str]]]:
    found = []
    tables = TABLES[::3] if quick else TABLES
    for number, (rows, dims, codec) in enumerate(tables):
        for queries in QUERIES[::2] if quick else QUERIES:
            for name, condition in CONDITIONS:
                accuracies = [""] if "+" not in codec else ["", " CONFIDENCE 0.999"]
                for accuracy in accuracies:
                    query = directory / f"t{number}-{queries}.safetensors"
                    where = f" WHERE {condition}" if condition else ""
                    found.append((Case(
                        f"t{number}", rows, dims, codec, queries, name + accuracy.lower(),
                        f"FROM t{number} SCORE dot TO '{query}'{where} TOP 10{accuracy}"), (rows, dims, codec)))
    return found


def total(answer: dict) -> float:
    return answer["plan"]["actual"]["total_seconds"]


def measure(gradctl: Gradctl, case: Case, rounds: int) -> None:
    plan = gradctl("explain", case.statement)[0]
    case.chosen = plan["chosen"]
    case.estimates = {other["plan"]: other["seconds"] for other in plan["rejected"]}
    case.estimates[case.chosen] = plan["seconds"]
    # Three of each in a process, the first of which maps pages; processes alternate.
    for _ in range(max(1, rounds // 2)):
        for name in case.estimates:
            script = (f"EXPLAIN ANALYZE {case.statement};" * 3).encode()
            answers = gradctl("query", "-", "--plan", name, stdin=script)
            case.seconds.setdefault(name, []).extend(total(answer) for answer in answers[1:])


def report(measured: list[Case], out) -> None:
    print("| rows x dims, codec | queries | condition | chosen | ratio to best | seconds (estimates) |", file=out)
    print("|---|---|---|---|---|---|", file=out)
    for case in measured:
        times = ", ".join(f"{plan} {seconds:.4f} ({case.estimates[plan]:.4f})"
                          for plan, seconds in sorted(case.medians.items(), key=lambda item: item[1]))
        print(f"| {case.rows:,} x {case.dims:,}, {case.codec} | {case.queries} | {case.condition} | {case.chosen} "
              f"| {case.ratio:.2f} | {times} |", file=out)
    ratios = sorted(case.ratio for case in measured)
    good = sum(ratio <= LIMIT for ratio in ratios)
    several = [case for case in measured if len(case.seconds) > 1]
    print(f"\n{good} of {len(ratios)} choices within {LIMIT} of the best plan ({len(several)} had more than one); "
          f"median {statistics.median(ratios):.2f}, worst {ratios[-1]:.2f}", file=out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a part of the grid")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--gradctl", type=Path, default=Path(".build/release/gradctl"))
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        directory = Path(name)
        gradctl = Gradctl(arguments.gradctl.resolve(), directory / "db")
        gradctl("init")
        measured: list[Case] = []
        made: set[str] = set()
        for case, shape in cases(directory, arguments.quick):
            if case.table not in made:
                made.add(case.table)
                make_table(gradctl, directory, case.table, *shape)
            measure(gradctl, case, arguments.rounds)
            print(f"{case.ratio:5.2f}  {case.rows:,} x {case.dims:,} {case.codec}, {case.queries} queries, "
                  f"{case.condition}: {case.chosen}", file=sys.stderr)
            measured.append(case)
        report(measured, sys.stdout)
        if arguments.markdown:
            with arguments.markdown.open("w") as file:
                report(measured, file)
    return 0 if all(case.ratio <= LIMIT for case in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
