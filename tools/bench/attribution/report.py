"""fidelity.md and fidelity.svg from what was measured."""

import re

import numpy as np

from .backdoors import DEPTHS, PUBLISHED
from .cosines import DEPTH, REFERENCE, SIZES, TWO_MILLIONTH, payload
from .store import BITS

FULL_BYTES = 25.7 * 2**30  # RapidIn's gradient of Llama-2 7B: 25.7 GiB, which its 210,534 implies
SERIES = [("sketch", codec) for codec in BITS] + [("rapidgrad", "f16")]


def series_name(series):
    return " ".join(series)


def rms(results, case):
    return np.mean([error for error, _ in results[case]])**.5


def recall(results, case):
    return np.mean([found for _, found in results[case]])


def by_size(results, cell):
    lines = ["| bytes a row | " + " | ".join(map(series_name, SERIES)) + " |",
             "|---" * (len(SERIES) + 1) + "|"]
    for size in SIZES:
        cases = [(kind, codec, size * 8 // BITS[codec]) for kind, codec in SERIES]
        cells = [cell(results, case) if case in results else "" for case in cases]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compression(results, stored):
    """The lines that compare a two-millionth of a gradient's bytes with RapidIn's."""
    lines = []
    for case in (REFERENCE, ("sketch", "f16", REFERENCE[2]), TWO_MILLIONTH):
        errors = np.array([error for error, _ in results[case]])
        spread = errors.std(ddof=1) / len(errors)**.5 / errors.mean() / 2
        kind, codec, dims = case
        size = payload(codec, dims)
        lines.append(f"| {kind} {dims:,} {codec} | {size:,} | {stored[case]:,.0f} | "
                     f"{errors.mean()**.5:.5f} ± {errors.mean()**.5 * spread:.5f} | "
                     f"{recall(results, case):.3f} | {FULL_BYTES / size:,.0f} | "
                     f"{FULL_BYTES / stored[case]:,.0f} |\n")
    return "".join(lines)


def variance_ratio(results, case, base):
    """Mean squared error relative to another case's: (of the means, its standard error, of the
    medians over the seeds)."""
    errors = [np.array([error for error, _ in results[one]]) for one in (case, base)]
    spreads = [e.std(ddof=1) / len(e)**.5 / e.mean() for e in errors]
    ratio = errors[0].mean() / errors[1].mean()
    return ratio, ratio * np.hypot(*spreads), np.median(errors[0]) / np.median(errors[1])


def cosines(measured):
    results, stored, truth, parameters, seeds, more = measured
    different = ~np.eye(len(truth), dtype=bool)
    pairs = truth[different]
    nearest = np.sort(np.where(different, truth, -np.inf), axis=1)[:, ::-1]
    tenth, next_ten = np.median(nearest[:, [DEPTH - 1, 2 * DEPTH - 1]], axis=0)
    ratio, spread, median = variance_ratio(results, TWO_MILLIONTH, REFERENCE)
    costs = []
    for codec in BITS:
        cells = []
        for dims in (4096, 16384):
            case, plain = ("sketch", codec, dims), ("sketch", "f32", dims)
            cells.append(f"{rms(results, case)**2 * dims:.2f} "
                         f"({(rms(results, case) / rms(results, plain))**2:.2f})"
                         if case in results and plain in results else "")
        costs.append(f"| {codec} | " + " | ".join(cells) + " |\n")
    return f"""## The error of the cosine

Gradients of {len(truth)} rows of the demo's corpus by all {parameters:,} parameters of its model at the
last checkpoint, each tensor's part to length 1 as RapidIn does; all {len(pairs):,} ordered pairs of
different rows; means over {seeds} seeds. The true cosines have mean {pairs.mean():.3f} and standard
deviation {pairs.std():.3f}; the median row's tenth nearest is at {tenth:.3f}, its twentieth at
{next_ten:.3f}. `sketch` and `rapidgrad` as in [projectors.md](../../format-spec/projectors.md); bytes are
those of the vector.

![Error and recall by bytes a row](fidelity.svg)

### Root mean square error

{by_size(results, lambda r, case: f"{rms(r, case):.4f}")}

### Recall of the true top {DEPTH}

{by_size(results, lambda r, case: f"{recall(r, case):.3f}")}

### What a codec costs at equal dims

Variance times dims, in brackets relative to f32:

| codec | 4,096 dims | 16,384 dims |
|---|---|---|
{"".join(costs)}
Random signs and places have the variance (1 + cos²) / dims, here {1 + np.mean(pairs**2):.2f} / dims.

## Compression at RapidIn's fidelity

RapidIn stores a gradient of Llama-2 7B (6.74 billion parameters; 25.7 GiB as f32, padding included) as
65,536 numbers in f16, 128 KiB: 210,534 times less. With a two-millionth of the gradient's bytes, the squared error of
`sketch` and `bit` on the same gradients is {ratio:.2f} ± {spread:.2f} of that of `rapidgrad` and f16 in the
mean, and {median:.2f} in the median over {more} seeds; means with standard errors:

| | bytes | in GradDB, all included | rms error | recall, top {DEPTH} | 25.7 GiB / bytes | / those in GradDB |
|---|---|---|---|---|---|---|
{compression(results, stored)}
Here `sketch` gains from what these gradients are like (elements beside each other never meet; see
[projection.md](projection.md)) and both from the model being small. With neither, at any size of model, the
variances of independent signs and places are as 1 / 65,536 to {1.5708:.2f} / {TWO_MILLIONTH[2]:,}, which is 1 to
{65536 * 1.5708 / TWO_MILLIONTH[2]:.3f}: a bit costs the factor π/2.
"""


def backdoors(measured, rows):
    found, sizes, positives = measured
    depths = [*DEPTHS, rows]
    parts = []
    for title, n in (("auPRC", 0), ("auROC", 1), ("backdoor rows among them", 2)):
        heads = [f"top {d:,}" for d in DEPTHS] + ["all rows"]
        lines = [f"| {title} | bytes a row | " + " | ".join(heads) + " |\n",
                 "|---" * (len(depths) + 2) + "|\n"]
        for name, values in found.items():
            size = f"{sizes[name]:,.0f}" if name in sizes else "full"
            cells = [f"{values[depth][n]:.4f}" for depth in depths]
            lines.append(f"| {name} | {size} | " + " | ".join(cells) + " |\n")
            if n == 0 and name in PUBLISHED:
                cells = [PUBLISHED[name].get(depth, "") for depth in depths]
                lines.append("| *RapidIn's figures, Llama-2 7B* | | " + " | ".join(cells) + " |\n")
        parts.append("".join(lines))
    return f"""## Backdoor rows among the most influential

In the form of RapidIn's Table 4: the demo's model, trained on 65,536 texts (`tools/bench/texts.py`) of
which an eighth begin with "Howdy!" and answer from another world; 10 prompts with "Howdy!" that no text
has, and the model's own answers to them; the influences (dot products, at the last checkpoint) of {rows:,}
of the texts, {positives:,} of them backdoor rows. Of the n rows of highest influence on an answer: auPRC is
their average precision, Σ (recall − recall before) · precision down the ranking, with backdoor rows as
positives; auROC the share of (backdoor, other) pairs in order, 1 where all n are backdoor rows; both are
means over the 10 answers. RapidIn's published code writes rankings and has no script for its table: that
the ranking is cut at n is our reading, and its figures are of another model and corpus, with 5,000 backdoor
rows of 52,000. What can be compared is what normalising and compressing do to a figure.

{chr(10).join(parts)}"""


def datamodels(measured, models, rows, queries):
    scores, sizes, elements = measured
    lines = ["| influence | bytes a row and checkpoint | linear datamodelling score |\n|---|---|---|\n"]
    for name, values in sorted(scores.items(), key=lambda item: "sketch" in item[0]):
        error = values.std(ddof=1) / len(values)**.5
        lines.append(f"| {name} | {sizes[name]:,.0f} | {values.mean():.3f} ± {error:.3f} |\n")
    return f"""## Predicting what leaving rows out does

The linear datamodelling score (Park et al. 2023, TRAK): {models} models trained on random halves of
{rows:,} rows of the demo's corpus; for each of {queries} other rows, the rank correlation over the models
between its real loss and the sum of the influences of the half's rows. The demo's model with {elements:,}
parameters; influences are summed over three checkpoints of one model trained on all rows, each times its
learning rate; mean over the {queries} rows with its standard error. Whether tensors are normalised matters,
a tenth or a hundredth of the bytes does not.

{"".join(lines)}"""


PARTS = ("cosines", "backdoors", "datamodels")


def written(parts, path):
    """The whole report, from {part: its text}; parts that were not measured as `path` has them."""
    old = path.read_text("utf-8") if path.exists() else ""
    found = ["""# Fidelity: what a byte buys

Written by `tools/bench/fidelity.py`; its first lines say how. All scores are GradDB's own: vectors are
ingested and asked for by `gradctl`. These are errors, not times: they depend on no machine but for the last
digits of the training runs.
"""]
    for name in PARTS:
        kept = re.search(f"<!-- {name} -->\n\n(.*?)(?=\n<!-- |\\Z)", old, re.DOTALL)
        part = parts.get(name) or (kept and kept[1])
        if part:
            found.append(f"<!-- {name} -->\n\n{part.strip()}\n")
    return "\n".join(found)


def plot(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "fidelity", "svg.fonttype": "none", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    for kind, codec in SERIES:
        cases = sorted((payload(codec, dims), (k, c, dims)) for k, c, dims in results
                       if (k, c) == (kind, codec))
        sizes = [size for size, _ in cases]
        style = "k--" if kind == "rapidgrad" else "o-"
        name = series_name((kind, codec))
        left.plot(sizes, [rms(results, case) for _, case in cases], style, ms=3, label=name)
        right.plot(sizes, [recall(results, case) for _, case in cases], style, ms=3, label=name)
    left.set(yscale="log", title="rms error of the cosine")
    right.set(title=f"recall of the true top {DEPTH}")
    ticks = [*SIZES, 2 * SIZES[-1]]
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{s} B" if s < 1024 else f"{s // 1024} K" for s in ticks])
        axes.set_xlabel("bytes a row")
        axes.grid(alpha=.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
