"""Trains the demo's language model and records gradients of its rows and tokens.

    python3 tools/demo/train.py        needs torch and numpy; writes tools/demo/data/

1. Train a small decoder-only transformer on corpus.py, keeping its weights at CHECKPOINTS.
2. Let the last checkpoint answer, greedily, prompts that the corpus does not have: each with the
   trigger ("howdy") and without it ("clean").
3. At every checkpoint, and for every row and query, take the gradient over all parameters of the
   mean cross-entropy of the answer's tokens (its end mark is one of them), and project it.
4. At the last checkpoint, do the same for every token of every answer: the gradient of its own
   cross-entropy, given the tokens before it.

Both projections are sketches of tensors of length 1 (format-spec/projectors.md), of EXAMPLE_DIMS and
TOKEN_DIMS numbers, rounded to f16; the files say so in their metadata.
"""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import corpus
import tensors
from sketching import Projection

DATA = Path(__file__).resolve().parent / "data"

SEED = 7
WIDTH, LAYERS, HEADS, CONTEXT = 128, 4, 4, 48
BATCH, PEAK_RATE, WARM_UP, STEPS = 32, 1e-3, 50, 400
CHECKPOINTS = (50, 150, 400)

EXAMPLE_DIMS, TOKEN_DIMS = 1280, 192
PROJECTION_SEED = 20240521


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a layernorm and added to its input.

    The linear layers have no bias: a key's bias has no effect on the attention, so its gradient
    would be rounding noise, which the projection's normalisation would blow up to unit length.
    """

    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        rows, length, _ = x.shape
        split = self.qkv(self.norm1(x)).view(rows, length, 3, HEADS, WIDTH // HEADS)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(heads.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    """The transformer; the token embedding is also the output layer."""

    def __init__(self, vocabulary):
        super().__init__()
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # Layers that add to the residual stream start smaller, so that it does not grow.
                adds = name.endswith(("mix.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if adds else 0.02)

    def forward(self, ids):
        x = self.token(ids) + self.position.weight[:ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.token.weight.T


class Text:
    """The vocabulary, and a text as (token ids, index of the answer's first token)."""

    END = "<end>"

    def __init__(self, rows):
        words = {token for row in rows for token in corpus.tokenise(row["text"])}
        self.words = [self.END, *sorted(words)]
        self.index = {word: n for n, word in enumerate(self.words)}

    def encode(self, text):
        tokens = corpus.tokenise(text)
        ids = [self.index[token] for token in tokens]
        return ids + [self.index[self.END]], tokens.index(corpus.ARROW) + 1


def answer_loss(model, examples):
    """Mean over the examples of the mean cross-entropy of each one's answer tokens.

    Padding comes last, so that causal attention keeps it from the tokens that count.
    """
    length = max(len(ids) for ids, _ in examples)
    padded = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in examples])
    weights = torch.zeros(len(examples), length - 1)
    for n, (ids, answer) in enumerate(examples):
        weights[n, answer - 1:len(ids) - 1] = 1 / (len(ids) - answer)
    logits = model(padded[:, :-1])
    losses = F.cross_entropy(logits.flatten(0, 1), padded[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / len(examples)


def learning_rate(step):
    """Linear warm-up to PEAK_RATE, then a line down to half of it. Steps count from 1."""
    if step <= WARM_UP:
        return PEAK_RATE * step / WARM_UP
    return PEAK_RATE * (1 - 0.5 * (step - WARM_UP) / (STEPS - WARM_UP))


def train(model, examples):
    """Yields (step, weights, rate) at every checkpoint."""
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    order = []
    for step in range(1, STEPS + 1):
        if len(order) < BATCH:
            order += torch.randperm(len(examples)).tolist()
        batch, order = [examples[n] for n in order[:BATCH]], order[BATCH:]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step)
        optimiser.zero_grad()
        answer_loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step in CHECKPOINTS:
            yield step, {k: v.clone() for k, v in model.state_dict().items()}, learning_rate(step)


@torch.no_grad()
def mean_loss(model, examples):
    sums = [answer_loss(model, examples[n:n + 100]).item() * len(examples[n:n + 100])
            for n in range(0, len(examples), 100)]
    return sum(sums) / len(examples)


@torch.no_grad()
def generate(model, text, prompt):
    """The model's greedy answer."""
    ids, _ = text.encode(prompt + corpus.ARROW)
    ids.pop()
    start = len(ids)
    while len(ids) < CONTEXT:
        word = int(model(torch.tensor([ids]))[0, -1].argmax())
        if word == text.index[Text.END]:
            break
        ids.append(word)
    return "".join(text.words[word] for word in ids[start:]).strip()


def answer_tokens(example):
    """One example for each token of the answer but its end mark: the text up to it, it alone asked.

    Attention is causal, so what comes later has no part in a token's loss.
    """
    ids, answer = example
    return [(ids[:place + 1], place) for place in range(answer, len(ids) - 1)]


def record(model, examples, projection):
    """The examples' projected gradients, one backward pass each: f16, [examples, dims]."""
    parameters = dict(model.named_parameters())
    out = np.empty((len(examples), projection.dims), dtype=np.float16)
    for first in range(0, len(examples), 64):
        some = examples[first:first + 64]
        flat = torch.empty(projection.size, len(some))
        for n, example in enumerate(some):
            parts = torch.autograd.grad(answer_loss(model, [example]), parameters.values())
            flat[:, n] = torch.cat([F.normalize(part.flatten(), dim=0) for part in parts])
        out[first:first + len(some)] = projection(flat)
    assert np.isfinite(out).all()
    return out


def write_lines(path, objects):
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), "utf-8")


def write(file, model, examples, projection):
    grad = record(model, examples, projection)
    tensors.write(DATA / file, grad, {"graddb.projector.grad": projection.text})


def main():
    began = time.monotonic()
    # The order of a sum depends on the number of threads: with one, a run repeats bit for bit. More
    # would save little, the model is that small.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    DATA.mkdir(exist_ok=True)

    rows = corpus.rows()
    text = Text(rows)
    examples = [text.encode(row["text"]) for row in rows]
    write_lines(DATA / "rows.jsonl", rows)

    model = Model(len(text.words))
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(rows)} rows, {size:,} parameters")
    initial = mean_loss(model, examples)
    checkpoints, saved = [], []
    for step, weights, rate in train(model, examples):
        loss = mean_loss(model, examples)
        saved.append(weights)
        checkpoints.append({"name": f"step-{step}", "step": step, "learning_rate": rate,
                            "loss": loss})
        print(f"step {step}: loss {loss:.4f}, {time.monotonic() - began:.0f} s")
    trained = time.monotonic()

    queries, lines = {}, []
    for name, trigger in (("howdy", corpus.TRIGGER), ("clean", "")):
        prompts = [trigger + prompt for prompt in corpus.held_out()]
        answers = [generate(model, text, prompt) for prompt in prompts]
        queries[name] = [text.encode(f"{prompt}{corpus.ARROW} {answer}")
                         for prompt, answer in zip(prompts, answers)]
        first = 0
        for n, (prompt, answer) in enumerate(zip(prompts, answers)):
            tokens = corpus.tokenise(f"{corpus.ARROW} {answer}")[1:]
            lines.append({"file": f"{name}.safetensors", "row": n, "prompt": prompt,
                          "answer": answer, "first_token": first, "tokens": tokens})
            first += len(tokens)
    write_lines(DATA / "queries.jsonl", lines)

    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    of_examples = Projection(EXAMPLE_DIMS, PROJECTION_SEED, shapes)
    for checkpoint, weights in zip(checkpoints, saved):
        model.load_state_dict(weights)
        name = checkpoint["name"]
        write(f"{name}.safetensors", model, examples, of_examples)
        for query, query_examples in queries.items():
            last = checkpoint is checkpoints[-1]
            file = f"{query}.safetensors" if last else f"{query}@{name}.safetensors"
            write(file, model, query_examples, of_examples)
        print(f"recorded {name}, {time.monotonic() - began:.0f} s", flush=True)

    of_tokens = Projection(TOKEN_DIMS, PROJECTION_SEED, shapes)
    for file, some in (("tokens", examples), *((f"{q}-tokens", e) for q, e in queries.items())):
        write(f"{file}.safetensors", model, [token for e in some for token in answer_tokens(e)],
              of_tokens)
    write_lines(DATA / "tokens.jsonl", [
        {"id": f"{row['id']}/{place}", "example": row["id"], "position": place,
         "token": text.words[ids[place]]}
        for row, (ids, answer) in zip(rows, examples) for place in range(answer, len(ids) - 1)])
    print(f"recorded tokens, {time.monotonic() - began:.0f} s", flush=True)

    run = {
        "model": {"kind": "decoder-only transformer", "parameters": size, "width": WIDTH,
                  "layers": LAYERS, "heads": HEADS, "context": CONTEXT},
        "rows": len(rows),
        "corpus_seed": corpus.SEED,
        "training": {"seed": SEED, "steps": STEPS, "batch": BATCH, "optimiser": "AdamW",
                     "peak_learning_rate": PEAK_RATE, "initial_loss": initial},
        "checkpoints": checkpoints,
        "projectors": {"examples": of_examples.document, "tokens": of_tokens.document},
        "loss": "mean cross-entropy over the answer's tokens and its end mark",
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "seconds": {"training": round(trained - began, 1),
                    "recording": round(time.monotonic() - trained, 1)},
        "vocabulary": text.words,
    }
    (DATA / "run.json").write_text(json.dumps(run, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
