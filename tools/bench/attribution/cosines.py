"""The error of the cosine, by projector, codec and bytes a row."""

import shutil

import numpy as np
import torch

from sketching import Projection

from .store import BITS, Store

SIZES = [2**n for n in range(9, 17)]  # bytes of a row
REFERENCE = ("rapidgrad", "f16", 65536)  # RapidIn's: 128 KiB
TWO_MILLIONTH = ("sketch", "bit", 110080)  # 2,000,000 times in 25.7 GiB, with all that GradDB adds
DEPTH = 10  # of the true top, for recall


def payload(codec, dims):
    return dims * BITS[codec] // 8


def cases(elements, sizes):
    """(projector, codec, dims), with those that share vectors beside each other."""
    found = {(kind, codec, size * 8 // BITS[codec]) for size in sizes
             for kind, codecs in (("sketch", BITS), ("rapidgrad", ["f16"])) for codec in codecs}
    found = {case for case in found if case[2] <= elements}
    return sorted(found, key=lambda case: (case[0], case[2], list(BITS).index(case[1])))


def true_cosines(columns):
    """[rows, rows] in double, of f32 [elements, rows]."""
    products = np.zeros((columns.shape[1],) * 2)
    for start in range(0, len(columns), 1 << 16):
        part = columns[start:start + (1 << 16)].double().numpy()
        products += part.T @ part
    norms = np.sqrt(np.diag(products))
    return products / np.outer(norms, norms)


def best(scores):
    """Each query's DEPTH best rows, itself left out: [queries, DEPTH]."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]


def measure(columns, shapes, work, sizes, seeds, more_seeds):
    """({case: [(mean squared error, recall) by seed]}, {case: bytes a row in GradDB}, the truth).

    columns: f32 [elements, rows]. The two cases that are compared closest get `more_seeds`.
    """
    truth = true_cosines(columns)
    different, top = ~np.eye(len(truth), dtype=bool), best(truth)
    close = [REFERENCE, ("sketch", "f16", REFERENCE[2]), TWO_MILLIONTH]
    todo = cases(len(columns), sizes)
    todo = [(case, seed) for seed in range(seeds) for case in todo]
    todo += [(case, seed) for seed in range(more_seeds) for case in close]
    results, stored, shared = {}, {}, None
    for case, seed in sorted(todo, key=lambda job: (job[1], job[0][0], job[0][2])):
        kind, codec, dims = case
        if shared != (seed, kind, dims):
            shared = seed, kind, dims
            vectors = Projection(dims, seed, shapes, kind)(columns)
        # The rotation follows from the layer's name.
        store = Store(work / "cosines", dims, codec, f"grad{seed}")
        # What RapidIn stores is f16, and so are the queries.
        rounded = vectors.astype(np.float16) if codec == "f16" else vectors
        store.ingest([rounded])
        scores = store.scores(rounded.astype(np.float32), "cosine")
        stored[case] = store.bytes_per_row()
        shutil.rmtree(store.path)
        error = np.mean((scores - truth)[different]**2)
        recall = np.mean([len(set(a) & set(b)) for a, b in zip(best(scores), top)]) / DEPTH
        results.setdefault(case, []).append((error, recall))
        print(f"{seed}  {kind:9} {dims:7} dims  {codec:5} {stored[case]:9.1f} bytes  "
              f"rms error {error**.5:.5f}  recall {recall:.3f}", flush=True)
    return results, stored, truth


def unit_columns(rows):
    """[rows, elements] to [elements, rows], each row to length 1."""
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows.T.contiguous()
