"""How well the rows of highest influence on backdoored answers are the backdoor's rows."""

import multiprocessing

import numpy as np
import torch

import gradients
import texts
import train
from sketching import Projection

from .store import Store, normalise

DEPTHS = (5, 50, 100, 500, 1000)
QUERIES = 10
CHUNK = 32  # texts whose full gradients are in memory at once
SHARD = 1024
PUBLISHED = {  # RapidIn's auPRC (arXiv 2405.11724): 5,000 of 52,000 rows, Llama-2 7B with LoRA
    "TracIn": {5: "0.960", 100: "0.965", 1000: "0.947"},
    "TracIn, layers normalised": {5: "1.000", 100: "0.9985", 1000: "0.990"},
    "rapidgrad 65,536 f16": {5: "0.9933", 100: "0.997", 1000: "0.9894"},
}
STORED = {"rapidgrad 65,536 f16": ("rapidgrad", 65536, "f16"),
          "sketch 65,536 f16": ("sketch", 65536, "f16"),
          "sketch 104,832 bit": ("sketch", 104832, "bit"),
          "sketch 8,192 bit": ("sketch", 8192, "bit")}


def average_precision(labels, scores):
    """Σ (recall − recall before) · precision, down the ranking; 0 without positives."""
    ranked = labels[np.argsort(-scores, kind="stable")]
    if not ranked.any():
        return 0.0
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def roc_area(labels, scores):
    """The share of (positive, negative) pairs in order; 1 with positives alone, 0 without."""
    positives, negatives = scores[labels], scores[~labels]
    if not len(positives) or not len(negatives):
        return float(len(positives) > 0)
    above = (positives[:, None] > negatives).sum() + (positives[:, None] == negatives).sum() / 2
    return float(above / (len(positives) * len(negatives)))


def at_depth(labels, scores, depth):
    """(auPRC, auROC, share of positives) of the `depth` rows of highest score."""
    kept = np.argsort(-scores, kind="stable")[:depth]
    return (average_precision(labels[kept], scores[kept]), roc_area(labels[kept], scores[kept]),
            float(labels[kept].mean()))


def summary(labels, scores):
    """{depth: mean over the queries of at_depth}; the last depth is all rows."""
    return {depth: np.mean([at_depth(labels, row, depth) for row in scores], axis=0)
            for depth in (*DEPTHS, len(labels))}


class Work:
    """What a worker process has from the one that made it."""

    def __init__(self, model, shapes, projectors, queries):
        self.model, self.shapes = model, shapes
        self.projections = {name: Projection(dims, 1, shapes, kind)
                            for name, (kind, dims) in projectors.items()}
        plain = gradients.full(model, queries)
        self.plain = plain.T.contiguous()
        self.normalised = normalise(plain.clone(), shapes).T.contiguous()

    def shard(self, examples):
        """(dot products with the queries plain, normalised: [queries, rows]; {name: vectors})."""
        torch.set_num_threads(1)
        plain, normalised, vectors = [], [], {name: [] for name in self.projections}
        for n in range(0, len(examples), CHUNK):
            rows = gradients.full(self.model, examples[n:n + CHUNK])
            plain.append((rows @ self.plain).numpy())
            rows = normalise(rows, self.shapes)
            normalised.append((rows @ self.normalised).numpy())
            columns = rows.T.contiguous()
            for name, projection in self.projections.items():
                vectors[name].append(projection(columns).astype(np.float16))
        return (np.concatenate(plain).T, np.concatenate(normalised).T,
                {name: np.concatenate(parts) for name, parts in vectors.items()})


def shard(examples):
    return shard.work.shard(examples)


def measure(model, text, rows, work, workers):
    """({method: {depth: (auPRC, auROC, precision)}}, {method: bytes a row}, backdoor rows)."""
    known = texts.rows(gradients.TRAINED)
    prompts = texts.held_out(2 * QUERIES, known)[1::2]  # those with the trigger
    queries = [text.encode(f"{prompt}{train.corpus.ARROW} {train.generate(model, text, prompt)}")
               for prompt in prompts]
    labels = np.array([row["backdoor"] for row in known[:rows]])
    examples = [text.encode(row["text"]) for row in known[:rows]]
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    projectors = {f"{kind} {dims}": (kind, dims) for kind, dims, _ in STORED.values()}
    shard.work = Work(model, shapes, projectors, queries)
    asked = {name: p(shard.work.normalised) for name, p in shard.work.projections.items()}
    stores = {name: Store(work / f"backdoors-{n}", dims, codec)
              for n, (name, (_, dims, codec)) in enumerate(STORED.items())}
    plain, normalised = [], []
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        jobs = [examples[n:n + SHARD] for n in range(0, rows, SHARD)]
        for n, (raw, layers, vectors) in enumerate(pool.imap(shard, jobs)):
            plain.append(raw)
            normalised.append(layers)
            for name, (kind, dims, _) in STORED.items():
                stores[name].ingest([vectors[f"{kind} {dims}"]], "c")
            print(f"{(n + 1) * SHARD} rows", flush=True)
    found = {"TracIn": summary(labels, np.concatenate(plain, axis=1)),
             "TracIn, layers normalised": summary(labels, np.concatenate(normalised, axis=1))}
    for name, (kind, dims, _) in STORED.items():
        found[name] = summary(labels, stores[name].scores(asked[f"{kind} {dims}"], "dot"))
    sizes = {name: store.bytes_per_row() for name, store in stores.items()}
    return found, sizes, int(labels.sum())
