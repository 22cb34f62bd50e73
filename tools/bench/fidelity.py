"""What a row of so many bytes is worth: errors, backdoors found, and predictions that come true.

    python3 tools/bench/fidelity.py [--quick] [--only cosines|backdoors|datamodels] [--directory DIR]

needs torch, numpy, matplotlib and a built gradctl (GRADCTL, else .build/release/gradctl). Three
parts, in tools/bench/attribution:

    cosines     how far cosines of projected and encoded gradients are off those of full gradients
    backdoors   how many of the most influential rows are the backdoor's, as RapidIn asks
    datamodels  how well influences predict the losses of models trained on halves of the rows

Vectors are projected as format-spec/projectors.md says, stored in GradDB and scored by it. Writes
docs/benchmarks/fidelity.md and fidelity.svg; with --only the other parts stay as they are there.
--quick is a small run, which prints its report instead.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / name) for name in ("demo", "reader")]

import torch  # noqa: E402

import corpus  # noqa: E402
import gradients  # noqa: E402
import texts  # noqa: E402
import train  # noqa: E402
from attribution import backdoors, cosines, datamodels, report  # noqa: E402
from attribution.store import normalise  # noqa: E402

OUT = ROOT / "docs" / "benchmarks"


def measure_cosines(options, work):
    rows = corpus.rows()
    model, text = gradients.trained_model(options.models / "demo.pt", train.STEPS, rows)
    shapes = gradients.shapes(model)
    examples = [text.encode(row["text"]) for row in rows[:60 if options.quick else 300]]
    columns = cosines.unit_columns(normalise(gradients.full(model, examples), shapes))
    sizes = cosines.SIZES[3::4] if options.quick else cosines.SIZES
    seeds, more = (1, 2) if options.quick else (2, 24)
    found = cosines.measure(columns, shapes, work, sizes, seeds, more)
    return *found, len(columns), seeds, more


def measure_backdoors(options, work):
    known = texts.rows(gradients.TRAINED)
    model, text = gradients.trained_model(options.models / "texts.pt", 800, known)
    rows = backdoors.SHARD if options.quick else 16 * backdoors.SHARD
    return backdoors.measure(model, text, rows, work, options.workers), rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small run, printed")
    parser.add_argument("--only", choices=("cosines", "backdoors", "datamodels"))
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    parser.add_argument("--models", type=Path, help="keep the trained weights here, or take them")
    options = parser.parse_args()
    began = time.monotonic()
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(dir=options.directory))
    options.models = options.models or work
    options.models.mkdir(parents=True, exist_ok=True)
    parts = {}
    try:
        if options.only in (None, "cosines"):
            found = measure_cosines(options, work)
            parts["cosines"] = report.cosines(found)
        if options.only in (None, "backdoors"):
            parts["backdoors"] = report.backdoors(*measure_backdoors(options, work))
        if options.only in (None, "datamodels"):
            models = 8 if options.quick else 40
            parts["datamodels"] = report.datamodels(datamodels.measure(work, models), models,
                                                    datamodels.ROWS, datamodels.QUERIES)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{(time.monotonic() - began) / 60:.0f} minutes", flush=True)
    if options.quick:
        print("\n".join(parts.values()))
        return
    OUT.mkdir(parents=True, exist_ok=True)
    report_file = OUT / "fidelity.md"
    report_file.write_text(report.written(parts, report_file), "utf-8")
    if "cosines" in parts:
        report.plot(found[0], OUT / "fidelity.svg")


if __name__ == "__main__":
    main()
