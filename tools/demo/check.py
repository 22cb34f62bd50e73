"""Ranks the recorded rows against the recorded queries, in float64, and counts the backdoor rows.

    python3 tools/demo/check.py        needs numpy

MEAN ranks rows by the mean of their cosines with all queries, EACH by the cosine with one query;
ACROSS sums the checkpoints' MEAN scores weighted by their learning rates, as TracIn does. Ends with
status 1 unless the last checkpoint's MEAN finds at least 97 backdoor rows in the top 100 for the
howdy queries and at most 3 for the clean ones.
"""

import json
import sys
from pathlib import Path

import numpy as np

import tensors

DATA = Path(__file__).resolve().parent / "data"
DEPTHS = (10, 50, 100)


def read_lines(name):
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def unit(grad):
    grad = grad.astype(np.float64)
    return grad / np.linalg.norm(grad, axis=1, keepdims=True)


def backdoor_counts(scores, backdoor):
    """How many of the highest-scoring 10, 50 and 100 rows are backdoor rows; ties by row."""
    ranked = backdoor[np.argsort(-scores, kind="stable")]
    return [int(ranked[:depth].sum()) for depth in DEPTHS]


def main():
    run = json.loads((DATA / "run.json").read_text("utf-8"))
    backdoor = np.array([row["backdoor"] for row in read_lines("rows.jsonl")])
    queries = read_lines("queries.jsonl")
    last = run["checkpoints"][-1]
    rows = {c["name"]: unit(tensors.read(DATA / f"{c['name']}.safetensors"))
            for c in run["checkpoints"]}
    print(f"{backdoor.sum()} of {len(backdoor)} rows are backdoor rows; of the top {DEPTHS}:")
    found = {}
    for query in ("howdy", "clean"):
        across = np.zeros(len(backdoor))
        for checkpoint in run["checkpoints"]:
            name = checkpoint["name"]
            file = query if checkpoint is last else f"{query}@{name}"
            scores = rows[name] @ unit(tensors.read(DATA / f"{file}.safetensors")).T
            mean = scores.mean(axis=1)
            across += checkpoint["learning_rate"] * mean
            found[query] = backdoor_counts(mean, backdoor)
            print(f"{query:6} {name:9} MEAN {found[query]}  "
                  f"mean score, backdoor rows {mean[backdoor].mean():+.3f}, "
                  f"others {mean[~backdoor].mean():+.3f}")
            for n, column in enumerate(scores.T):
                print(f"{query:6} {name:9} EACH {backdoor_counts(column, backdoor)}  query {n}")
        print(f"{query:6} {'all':9} ACROSS {backdoor_counts(across, backdoor)}")
        for line in queries:
            if line["file"] == f"{query}.safetensors":
                print(f"  {line['row']}  {line['prompt']} -> {line['answer']}")
    return 0 if found["howdy"][-1] >= 97 and found["clean"][-1] <= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
