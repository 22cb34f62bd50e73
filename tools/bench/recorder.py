"""What recording costs a training step: the demo's model, 32 examples a step.

    python3 tools/bench/recorder.py [--dims 65536] [--codec int8] [--pairs 40] [--threads 1]

needs torch, and graddb (PYTHONPATH=tools/python/src in a checkout). Steps with and without the
recorder come in pairs, in turns, so that whatever else the machine does meets both; a pair's ratio
is that of their forward and backward passes, and what is printed is the median of the ratios with
the quartiles. One line of JSON per kind of projector:

    {"kind": "sketch", "dims": 65536, "plain_seconds": 0.061, "recorded_seconds": 0.109,
     "ratio": 1.8, "quartiles": [1.7, 1.9], "rows_per_second": 290, "waited_seconds": 0.0}

Rows go to a table in a temporary directory, so the writer's thread takes its share of the cores as
it does in a training run; `waited_seconds` is what the steps waited for it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

import torch  # noqa: E402

import corpus  # noqa: E402
import graddb  # noqa: E402
import train  # noqa: E402
from graddb.torch import Recorder  # noqa: E402

RANK = 64  # of factored projections, each way


def projector(kind, dims):
    document = {"kind": kind, "version": 1, "dims": dims, "seed": "0x0", "normalise": "tensor"}
    if kind == "factored":
        document["rank"], document["dims"] = [RANK, RANK], RANK * RANK
    return document


def measure(model, batches, recorder, writer, pairs):
    """(seconds of plain steps, of recorded ones), in pairs."""
    seconds = [], []
    for pair in range(pairs):
        batch = batches[pair % len(batches)]
        for recorded in (pair % 2 == 0, pair % 2 == 1):
            model.zero_grad()
            began = time.perf_counter()
            if recorded:
                with recorder.record(writer, ids=range(pair * len(batch), (pair + 1) * len(batch))):
                    train.answer_loss(model, batch).backward()
            else:
                train.answer_loss(model, batch).backward()
            seconds[recorded].append(time.perf_counter() - began)
    return seconds


def main():
    parser = argparse.ArgumentParser(description="What recording costs a training step.")
    parser.add_argument("--kinds", nargs="+", default=["sketch", "factored"])
    parser.add_argument("--dims", type=int, default=65536)
    parser.add_argument("--codec", default="int8")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(train.SEED)
    rows = corpus.rows()
    text = train.Text(rows)
    examples = [text.encode(row["text"]) for row in rows]
    model = train.Model(len(text.words))
    batches = [examples[n : n + train.BATCH] for n in range(0, len(examples) - train.BATCH, train.BATCH)]
    for kind in options.kinds:
        document = projector(kind, options.dims)
        with tempfile.TemporaryDirectory() as folder:
            table = graddb.create(Path(folder) / "db").create_table(
                "rows", layers={"grad": (document["dims"], options.codec)}, projectors={"grad": document})
            recorder = Recorder(model, table, projector=document)
            with recorder.writer("warm-up") as writer:
                measure(model, batches, recorder, writer, 4)
            with recorder.writer("measured") as writer:
                plain, recorded = measure(model, batches, recorder, writer, options.pairs)
                waited = recorder.report().waiting_seconds
        ratios = [b / a for a, b in zip(plain, recorded)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(json.dumps({
            "kind": kind, "dims": document["dims"], "codec": options.codec, "batch": train.BATCH,
            "threads": options.threads, "pairs": options.pairs,
            "plain_seconds": round(statistics.median(plain), 4),
            "recorded_seconds": round(statistics.median(recorded), 4), "ratio": round(middle, 3),
            "quartiles": [round(low, 3), round(high, 3)],
            "rows_per_second": round(train.BATCH / statistics.median(recorded), 1),
            "waited_seconds": round(waited, 3)}), flush=True)


if __name__ == "__main__":
    main()
