"""How well a row of so many bytes keeps the cosines of full gradients, codec by codec.

    python3 tools/bench/fidelity.py [--model FILE]

needs torch, numpy, matplotlib and a built gradctl (GRADCTL, else .build/release/gradctl). It trains
the demo's model (tools/demo), takes the full gradients of some rows of the demo's corpus, and their
cosines in double: the truth. For every codec and number of bytes it projects the gradients to as
many dims as fit (as tools/demo/train.py does), lets gradctl store them and score every row against
every other, and compares. The estimates are so GradDB's own. A row's score against itself counts
nowhere. Writes docs/benchmarks/fidelity.md and fidelity.svg.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "demo"))

import matplotlib  # noqa: E402

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import corpus  # noqa: E402
import gradients  # noqa: E402
import train  # noqa: E402

GRADCTL = os.environ.get("GRADCTL", str(ROOT / ".build" / "release" / "gradctl"))
OUT = ROOT / "docs" / "benchmarks"
BITS = {"f32": 32, "f16": 16, "int8": 8, "int4": 4, "bit": 1}
BYTES = [2**n for n in range(9, 17)]  # of a row
DEPTH = 10  # of the true top, for recall


def gradctl(database, *arguments):
    command = [GRADCTL, *map(str, arguments), "--db", str(database), "--json", "--threads", "1"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()


def estimates(work, vectors, codec, layer):
    """GradDB's cosines [queries, rows] of f32 vectors stored under `codec`, each asked for all.

    The rotation follows from the layer's name.
    """
    count, dims = vectors.shape
    database, file = work / "db", work / "vectors.npy"
    np.save(file, vectors)
    gradctl(database, "init")
    gradctl(database, "create", "t", "--layer", f"{layer}:{dims}:{codec}")
    gradctl(database, "ingest", "t", file, "--checkpoint", "c")
    scores = np.full((count, count), np.nan)
    statement = f"SELECT id FROM t SCORE cosine TO '{file}' TOP {count}"
    for line in gradctl(database, "query", statement):
        hit = json.loads(line)
        query = int(hit["query"].rsplit("[", 1)[1][:-1])
        scores[query, hit["id"]] = hit["score"]
    assert not np.isnan(scores).any()
    shutil.rmtree(database)
    return scores


def true_cosines(full):
    """[rows, rows] in double, of f32 [rows, parameters]."""
    products = np.zeros((len(full), len(full)))
    for start in range(0, full.shape[1], 1 << 16):
        part = full[:, start:start + (1 << 16)].double().numpy()
        products += part @ part.T
    norms = np.sqrt(np.diag(products))
    return products / np.outer(norms, norms)


def best(scores):
    """Each query's DEPTH best rows, itself left out: [queries, DEPTH]."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]


def project(signed, dims):
    """A strided sum, as in tools/demo/train.py: f32 [rows, parameters] to [rows, dims]."""
    whole = signed.shape[1] // dims * dims
    out = signed[:, :whole].unflatten(1, (-1, dims)).sum(1)
    out[:, :signed.shape[1] - whole] += signed[:, whole:]
    return out.numpy()


def measure(full, truth, projections, work):
    """{(codec, bytes): (mean squared error of the cosine, recall)}, means over the projections."""
    different, top = ~np.eye(len(full), dtype=bool), best(truth)
    results = {(codec, size): [] for size in BYTES for codec, bits in BITS.items()
               if size * 8 // bits <= full.shape[1]}
    for number in range(projections):
        signed = full * train.signs(full.shape[1], train.PROJECTION_SEED + number)
        for dims in sorted({size * 8 // BITS[codec] for codec, size in results}):
            vectors = project(signed, dims)
            for codec, size in results:
                if size * 8 // BITS[codec] != dims:
                    continue
                scores = estimates(work, vectors, codec, f"grad{number}")
                error = np.mean((scores - truth)[different] ** 2)
                recall = np.mean([len(set(a) & set(b)) for a, b in zip(best(scores), top)]) / DEPTH
                results[codec, size].append((error, recall))
                print(f"{number}  {dims:7} dims  {codec:5} {size:6} bytes  "
                      f"rms error {error ** .5:.5f}  recall {recall:.3f}", flush=True)
    return {key: tuple(np.mean(values, axis=0)) for key, values in results.items()}


def bytes_for(found, codec, error):
    """Bytes of a row at which `codec` has that mean squared error, interpolated between powers."""
    sizes = [size for size in BYTES if (codec, size) in found]
    errors = [np.log(found[codec, size][0]) for size in sizes]  # falls as bytes grow
    if not errors[-1] <= np.log(error) <= errors[0]:
        return None
    return float(np.exp(np.interp(-np.log(error), [-e for e in errors], np.log(sizes))))


def table(found, title, cell):
    lines = [f"| {title} | " + " | ".join(BITS) + " |", "|---" * (len(BITS) + 1) + "|"]
    for size in BYTES:
        cells = [cell(codec, size) if (codec, size) in found else "" for codec in BITS]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paragraph(text):
    return textwrap.fill(" ".join(text.split()), 100)


def report(found, truth, parameters, projections):
    """The text of fidelity.md."""
    count, different = len(truth), ~np.eye(len(truth), dtype=bool)
    pairs = truth[different]
    nearest = np.sort(np.where(different, truth, -np.inf), axis=1)[:, ::-1]
    tenth, next_ten = np.median(nearest[:, [DEPTH - 1, 2 * DEPTH - 1]], axis=0)

    def relative(codec, size, base="f16"):
        return found[codec, size][0] / found[base, size][0]

    fewer = []
    for size in BYTES:
        need = [bytes_for(found, codec, found["f16", size][0]) for codec in ("int8", "int4", "bit")]
        if all(need):
            fewer.append(f"| {size:,} | " + " | ".join(f"{size / n:.1f}" for n in need) + " |\n")
    costs = []
    for codec, bits in BITS.items():
        cells = []
        for dims in (4096, 16384):
            error, plain = found[codec, dims * bits // 8][0], found["f32", dims * 4][0]
            cells.append(f"{error * dims:.2f} ({error / plain:.2f})")
        costs.append(f"| {codec} | " + " | ".join(cells) + " |\n")
    rms = table(found, "bytes a row", lambda codec, size: f"{found[codec, size][0] ** .5:.4f}")
    variance = table(found, "bytes a row", lambda codec, size: f"{relative(codec, size):.3f}")
    recall = table(found, "bytes a row", lambda codec, size: f"{found[codec, size][1]:.3f}")
    about = paragraph(f"""
        The gradients of {count} rows of the demo's corpus by all {parameters:,} parameters at its
        last checkpoint (each parameter tensor's part to unit length, as the demo does); all
        {count * (count - 1):,} ordered pairs of different rows; means over {projections} random
        projections. The true cosines have mean {pairs.mean():.3f} and standard deviation
        {pairs.std():.3f}; the median row's tenth nearest is at {tenth:.3f}, its twentieth at
        {next_ten:.3f}.""")
    headline = paragraph(f"""
        At 8 KiB a row f16 holds 4,096 dims and bit 65,536. Bit's variance is
        **{relative("bit", 8192):.3f}** of f16's (int4 {relative("int4", 8192):.3f}, int8
        {relative("int8", 8192):.3f}). Of the true top {DEPTH}, bit finds
        {found["bit", 8192][1]:.3f} and f16 {found["f16", 8192][1]:.3f}; at 512 bytes, bit finds
        {found["bit", 512][1]:.3f} and f16 {found["f16", 512][1]:.3f}.""")
    hashing = paragraph(f"""
        A projection by random hashing has the variance (1 + cos²) / dims, here
        {1 + np.mean(pairs ** 2):.2f} / dims. The strided sum of these gradients does better. A bit
        adds about 0.57 / dims to either, so that it costs more than the factor π/2 that it costs
        on top of random hashing.""")
    return f"""# Fidelity: what a byte buys

Written by `tools/bench/fidelity.py`; its first lines say what is measured. These are errors, not
times: they depend on no machine but for the last digits of the training run.

{about}

{headline}

![Error and recall by bytes a row](fidelity.svg)

## Root mean square error of the cosine

{rms}

Dims: a fourth of the bytes for f32, a half for f16, as many for int8, twice for int4, eight times
for bit.

## Its square, the variance, relative to f16 with as many bytes

{variance}

## Recall of the true top {DEPTH}

{recall}

## How many times fewer bytes than f16, with f16's variance

| bytes a row, f16 | int8 | int4 | bit |
|---|---|---|---|
{"".join(fewer)}
Interpolated between the powers of two.

## What a codec costs at equal dims

Variance times dims, in brackets relative to f32:

| codec | 4,096 dims | 16,384 dims |
|---|---|---|
{"".join(costs)}
{hashing}
"""


def plot(found, path):
    plt.rcParams.update({"svg.hashsalt": "fidelity", "svg.fonttype": "none", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    for codec in BITS:
        sizes = [size for size in BYTES if (codec, size) in found]
        left.plot(sizes, [found[codec, s][0] ** .5 for s in sizes], "o-", ms=3, label=codec)
        right.plot(sizes, [found[codec, s][1] for s in sizes], "o-", ms=3, label=codec)
    left.set(yscale="log", title="rms error of the cosine")
    right.set(title=f"recall of the true top {DEPTH}")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(BYTES, [f"{s} B" if s < 1024 else f"{s // 1024} K" for s in BYTES])
        axes.set_xlabel("bytes a row")
        axes.grid(alpha=.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300, help="(default %(default)s)")
    parser.add_argument("--projections", type=int, default=4, help="(default %(default)s)")
    parser.add_argument("--model", type=Path, help="keep the trained weights here, or take them")
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        rows = corpus.rows()
        model, text = gradients.trained_model(options.model or work / "model.pt", train.STEPS, rows)
        parameters = sum(p.numel() for p in model.parameters())
        examples = [text.encode(row["text"]) for row in rows[:options.rows]]
        full = gradients.project(model, examples, torch.ones(parameters), parameters)
        truth = true_cosines(full)
        found = measure(full, truth, options.projections, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "fidelity.md").write_text(report(found, truth, parameters, options.projections), "utf-8")
    plot(found, OUT / "fidelity.svg")


if __name__ == "__main__":
    main()
