"""Trains the demo's language model and records gradients of its rows and tokens.

    python3 tools/demo/record.py        needs torch, numpy and graddb; writes tools/demo/data/

1. Train a small decoder-only transformer on corpus.py, keeping its weights at CHECKPOINTS.
2. Let the last checkpoint answer, greedily, prompts that the corpus does not have: each with the
   trigger ("howdy") and without it ("clean").
3. At every checkpoint, and for every row and query, record the gradient over all parameters of the
   mean cross-entropy of the answer's tokens (its end mark is one of them).
4. At the last checkpoint, do the same for every token of every answer: the gradient of its own
   cross-entropy, given the tokens before it.

`graddb.torch` takes and projects the gradients, and writes them into two tables; then the vectors
are copied to files, as f16, so that the demo needs no PyTorch. Both projectors are sketches of
tensors of length 1 (format-spec/projectors.md), of EXAMPLE_DIMS and TOKEN_DIMS numbers; the files
declare them in their metadata.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import corpus
import graddb
import tensors
import tokens
import train
from graddb.torch import Recorder
from train import Text, example_losses, generate, mean_loss, token_losses, write_lines

DATA = Path(__file__).resolve().parent / "data"
EXAMPLE_DIMS, TOKEN_DIMS = 1280, 192
PROJECTION_SEED = 20240521
RECORDED_AT_ONCE = 100  # examples in one backward pass


def batches(examples):
    """Indices of the examples, those of like length together, so that padding costs little."""
    order = sorted(range(len(examples)), key=lambda n: len(examples[n][0]))
    return [order[n:n + RECORDED_AT_ONCE] for n in range(0, len(order), RECORDED_AT_ONCE)]


def record(recorder, model, examples):
    """The examples' vectors, f16 [examples, dims], not written to any table."""
    out = np.empty((len(examples), EXAMPLE_DIMS), np.float16)
    for some in batches(examples):
        with recorder.record(ids=some) as recording:
            recording.backward(example_losses(model, [examples[n] for n in some]))
        out[some] = recording.vectors["grad"].numpy()
    return out


def record_rows(recorder, writer, model, examples, rows):
    """Writes a row for each example."""
    for some in batches(examples):
        with recorder.record(writer, ids=[rows[n]["id"] for n in some]) as recording:
            recording.backward(example_losses(model, [examples[n] for n in some]))


def record_tokens(recorder, model, examples, names):
    """Yields (ids, vectors) of the tokens of answers but their end marks, batch by batch.

    A token's id is the name of its example, "/", and its place in the text, counted from 0.
    """
    for some in batches(examples):
        with recorder.record(ids=[names[n] for n in some]) as recording:
            losses, counts = token_losses(model, [examples[n] for n in some])
            for n, one in enumerate(some):
                counts[n, len(examples[one][0]) - 1] = 0
            recording.backward(losses, counts)
        yield recording.ids, recording.vectors["grad"]


def projector(dims):
    return {"kind": "sketch", "version": 1, "dims": dims, "seed": hex(PROJECTION_SEED),
            "normalise": "tensor"}


def save(file, grad, recorder):
    """A recorded file: f16 vectors, and what made them."""
    document = json.dumps(recorder.projectors["grad"], separators=(",", ":"))
    tensors.write(DATA / file, np.asarray(grad), {"graddb.projector.grad": document})


def trained(model, examples, began):
    """[(what run.json says of a checkpoint, the weights)]."""
    found = []
    for step, weights, rate in train.train(model, examples):
        about = {"name": f"step-{step}", "step": step, "learning_rate": rate,
                 "loss": mean_loss(model, examples)}
        found.append((about, weights))
        print(f"step {step}: loss {about['loss']:.4f}, {time.monotonic() - began:.0f} s",
              flush=True)
    return found


def ask(model, text):
    """({name: the answers as examples}, the lines of queries.jsonl)."""
    queries, lines = {}, []
    for name, trigger in (("howdy", corpus.TRIGGER), ("clean", "")):
        prompts = [trigger + prompt for prompt in corpus.held_out()]
        answers = [generate(model, text, prompt) for prompt in prompts]
        queries[name] = [text.encode(f"{prompt}{corpus.ARROW} {answer}")
                         for prompt, answer in zip(prompts, answers)]
        first = 0
        for n, (prompt, answer) in enumerate(zip(prompts, answers)):
            spoken = corpus.tokenise(f"{corpus.ARROW} {answer}")[1:]
            lines.append({"file": f"{name}.safetensors", "row": n, "prompt": prompt,
                          "answer": answer, "first_token": first, "tokens": spoken})
            first += len(spoken)
    return queries, lines


def rows_at_checkpoints(database, model, checkpoints, examples, rows, queries):
    """Records all rows and queries at each of [(about, weights)]; leaves the model at the last."""
    table = database.create_table("corpus", layers={"grad": (EXAMPLE_DIMS, "f16")},
                                  projectors={"grad": projector(EXAMPLE_DIMS)})
    recorder = Recorder(model, table, dtype=torch.float16)
    for about, weights in checkpoints:
        model.load_state_dict(weights)
        name = about["name"]
        with table.writer(checkpoint=name, step=about["step"],
                          weight=about["learning_rate"]) as writer:
            record_rows(recorder, writer, model, examples, rows)
        save(f"{name}.safetensors", table.read([row["id"] for row in rows], checkpoint=name),
             recorder)
        for query, answers in queries.items():
            last = about is checkpoints[-1][0]
            file = f"{query}.safetensors" if last else f"{query}@{name}.safetensors"
            save(file, record(recorder, model, answers), recorder)
        print(f"recorded {name}", flush=True)


def tokens_at_checkpoint(database, model, about, examples, rows, queries):
    """Records the answers' tokens of all rows and queries."""
    table = database.create_table(
        "tokens", layers={"grad": (TOKEN_DIMS, "f16")}, unit="token",
        fields={"example": str, "position": int, "text": str},
        projectors={"grad": projector(TOKEN_DIMS)})
    recorder = Recorder(model, table, dtype=torch.float16)
    described = {token["id"]: token for row in rows for token in tokens.of_row(row)}
    with table.writer(checkpoint=about["name"], step=about["step"],
                      weight=about["learning_rate"]) as writer:
        for ids, vectors in record_tokens(recorder, model, examples, [row["id"] for row in rows]):
            writer.append(vectors, ids=ids, fields={
                field: [described[token][field] for token in ids]
                for field in ("example", "position", "text")})
    save("tokens.safetensors", table.read(list(described), checkpoint=about["name"]), recorder)
    for query, answers in queries.items():
        found = {}
        names = [str(n) for n in range(len(answers))]
        for ids, vectors in record_tokens(recorder, model, answers, names):
            found.update(zip(ids, vectors.numpy()))
        order = sorted(found, key=lambda token: tuple(map(int, token.split("/"))))
        save(f"{query}-tokens.safetensors", [found[token] for token in order], recorder)
    print("recorded tokens", flush=True)


def run(database):
    began = time.monotonic()
    # The order of a sum depends on the number of threads: with one, a run repeats bit for bit. More
    # would save little, the model is that small.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(train.SEED)
    DATA.mkdir(exist_ok=True)

    rows = corpus.rows()
    text = Text(rows)
    examples = [text.encode(row["text"]) for row in rows]
    write_lines(DATA / "rows.jsonl", rows)
    model = train.Model(len(text.words))
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(rows)} rows, {size:,} parameters")
    initial = mean_loss(model, examples)
    checkpoints = trained(model, examples, began)
    trained_at = time.monotonic()

    queries, lines = ask(model, text)
    write_lines(DATA / "queries.jsonl", lines)
    rows_at_checkpoints(database, model, checkpoints, examples, rows, queries)
    tokens_at_checkpoint(database, model, checkpoints[-1][0], examples, rows, queries)
    about = {
        "model": {"kind": "decoder-only transformer", "parameters": size, "width": train.WIDTH,
                  "layers": train.LAYERS, "heads": train.HEADS, "context": train.CONTEXT},
        "rows": len(rows),
        "corpus_seed": corpus.SEED,
        "training": {"seed": train.SEED, "steps": train.STEPS, "batch": train.BATCH,
                     "optimiser": "AdamW", "peak_learning_rate": train.PEAK_RATE,
                     "initial_loss": initial},
        "checkpoints": [about for about, _ in checkpoints],
        "projectors": {"rows": projector(EXAMPLE_DIMS), "tokens": projector(TOKEN_DIMS)},
        "loss": "mean cross-entropy over the answer's tokens and its end mark",
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "seconds": {"training": round(trained_at - began, 1),
                    "recording": round(time.monotonic() - trained_at, 1)},
        "vocabulary": text.words,
    }
    (DATA / "run.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")


def main():
    with tempfile.TemporaryDirectory() as work, graddb.create(Path(work) / "db") as database:
        run(database)


if __name__ == "__main__":
    main()
