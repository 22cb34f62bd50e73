"""The linear datamodelling score: do influences predict what leaving rows out does?

After TRAK (Park et al. 2023, arXiv 2303.14186): models are trained on random halves of the rows; a
half's predicted outcome for a query is the sum of the influences of its rows; the score is the
Spearman correlation, over the halves, of the predicted outcomes with the real ones (the query's
loss, with its sign turned), averaged over the queries. The model is the demo's, made small enough
to be trained dozens of times.
"""

import contextlib
import math

import numpy as np
import torch
from torch.nn import functional as F

import corpus
import gradients
import train
from sketching import Projection

from .store import Store, normalise

WIDTH, LAYERS, STEPS, RATE = 32, 2, 240, 3e-3
ROWS, QUERIES = 1000, 48
CHECKPOINTS = (60, 120, 240)
PLAIN, NORMALISED = "gradients as they are", "tensors normalised"
STORED = {f"sketch {dims:,} {codec}, {of}": (dims, codec, of) for of in (PLAIN, NORMALISED)
          for dims, codec in ((4096, "f16"), (4096, "bit"), (16384, "bit"))}


@contextlib.contextmanager
def small_model():
    """The demo's model in a small size, as long as this lasts."""
    kept = train.WIDTH, train.LAYERS
    train.WIDTH, train.LAYERS = WIDTH, LAYERS
    try:
        yield
    finally:
        train.WIDTH, train.LAYERS = kept


def learning_rate(step, steps):
    return RATE * min(1, step / 20) * (1 - 0.9 * step / steps)


def trained(vocabulary, examples, seed):
    """A new model, trained on the examples; yields it at each checkpoint, with its rate."""
    torch.manual_seed(seed)
    model = train.Model(vocabulary)
    for _, _, rate in train.train(model, examples, STEPS, CHECKPOINTS, learning_rate):
        yield model, rate


@torch.no_grad()
def losses(model, examples):
    return np.array([train.answer_loss(model, [example]).item() for example in examples])


def ranks(values):
    """Ranks along the last axis; equal values get the mean of theirs."""
    out = np.empty(values.shape)
    for place, row in zip(out.reshape(-1, values.shape[-1]), values.reshape(-1, values.shape[-1])):
        _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        place[:] = (ends - (counts - 1) / 2)[inverse]
    return out


def spearman(a, b):
    """Of each row of a with the same row of b."""
    a, b = (x - x.mean(-1, keepdims=True) for x in (ranks(a), ranks(b)))
    return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))


def datamodelling_scores(influences, halves, outcomes):
    """One for each query. influences: [queries, rows]; halves: bool [models, rows]; outcomes:
    [models, queries]."""
    return spearman(influences @ halves.T, outcomes.T)


def products(rows, queries):
    """[queries, rows]"""
    return (queries @ rows.T).double().numpy()


def influences(text, examples, queries, work):
    """{method: [queries, rows]}: of the model trained on all rows, summed over its checkpoints."""
    found, sizes = {}, {}

    def add(name, scores, weight):
        found[name] = found.get(name, 0) + weight * scores

    stores = {name: Store(work / f"datamodels-{n}", dims, codec)
              for n, (name, (dims, codec, _)) in enumerate(STORED.items())}
    for number, (model, rate) in enumerate(trained(len(text.words), examples, 0)):
        checkpoint = f"step-{CHECKPOINTS[number]}"
        shapes = {name: list(p.shape) for name, p in model.named_parameters()}
        plain = gradients.full(model, examples), gradients.full(model, queries)
        tensors = [normalise(part.clone(), shapes) for part in plain]
        add(f"full, {PLAIN}, dot", products(*plain), rate)
        add(f"full, {PLAIN}, cosine", products(*map(F.normalize, plain)), rate)
        # With tensors of length 1 all rows are equally long: dot and cosine rank alike.
        add(f"full, {NORMALISED}, dot", products(*tensors), rate)
        columns = {of: [part.T.contiguous() for part in parts]
                   for of, parts in ((PLAIN, plain), (NORMALISED, tensors))}
        for name, (dims, _, of) in STORED.items():
            rows, asked = map(Projection(dims, 1, shapes), columns[of])
            stores[name].ingest([rows], checkpoint)
            add(name, stores[name].scores(asked, "dot", checkpoint), rate)
    for name, store in stores.items():
        sizes[name] = store.bytes_per_row()
    elements = sum(math.prod(shape) for shape in shapes.values())
    sizes.update({name: 4 * elements for name in found if name not in sizes})
    return found, sizes, elements


def measure(work, models):
    """({method: score of each query}, {method: bytes a row and checkpoint}, parameters)."""
    rows = corpus.rows()
    text = train.Text(rows)
    examples = [text.encode(row["text"]) for row in rows[:ROWS]]
    queries = [text.encode(row["text"]) for row in rows[ROWS:ROWS + QUERIES]]
    random = np.random.default_rng(11)
    halves = np.zeros((models, ROWS), bool)
    for half in halves:
        half[random.permutation(ROWS)[:ROWS // 2]] = True
    with small_model():
        found, sizes, elements = influences(text, examples, queries, work)
        outcomes = []
        for n, half in enumerate(halves):
            *_, (model, _) = trained(len(text.words), [examples[i] for i in np.flatnonzero(half)], n)
            outcomes.append(-losses(model, queries))
            print(f"model {n + 1}: loss {-outcomes[-1].mean():.3f}", flush=True)
    outcomes = np.array(outcomes)
    return ({name: datamodelling_scores(scores, halves.astype(float), outcomes)
             for name, scores in found.items()}, sizes, elements)
