"""The demo's language model: a small decoder-only transformer, its training, and what it says.

record.py trains it and records its gradients; the benchmarks train it too. Needs torch.
"""

import json
import math

import torch
from torch import nn
from torch.nn import functional as F

import corpus

SEED = 7
WIDTH, LAYERS, HEADS, CONTEXT = 128, 4, 4, 48
BATCH, PEAK_RATE, WARM_UP, STEPS = 32, 1e-3, 50, 400
CHECKPOINTS = (50, 150, 400)


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


def token_losses(model, examples):
    """(cross-entropy of each token given those before it, whether it is part of an answer).

    Both [examples, longest]. Padding comes last, so that causal attention keeps it from the tokens
    that count.
    """
    length = max(len(ids) for ids, _ in examples)
    padded = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in examples])
    counts = torch.zeros(len(examples), length)
    for n, (ids, answer) in enumerate(examples):
        counts[n, answer:len(ids)] = 1
    logits = model(padded[:, :-1])
    losses = F.cross_entropy(logits.transpose(1, 2), padded[:, 1:], reduction="none")
    return F.pad(losses, (1, 0)), counts


def example_losses(model, examples):
    """Each example's mean cross-entropy of its answer's tokens."""
    losses, counts = token_losses(model, examples)
    return (losses * counts).sum(1) / counts.sum(1)


def answer_loss(model, examples):
    return example_losses(model, examples).mean()


def learning_rate(step, steps):
    """Linear warm-up to PEAK_RATE, then a line down to half of it. Steps count from 1."""
    if step <= WARM_UP:
        return PEAK_RATE * step / WARM_UP
    return PEAK_RATE * (1 - 0.5 * (step - WARM_UP) / (steps - WARM_UP))


def train(model, examples, steps=STEPS, checkpoints=CHECKPOINTS, rate=learning_rate):
    """Yields (step, weights, rate) at every checkpoint, where the model has these weights."""
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    order = []
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order += torch.randperm(len(examples)).tolist()
        batch, order = [examples[n] for n in order[:BATCH]], order[BATCH:]
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        optimiser.zero_grad()
        answer_loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step in checkpoints:
            yield step, {k: v.clone() for k, v in model.state_dict().items()}, rate(step, steps)


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


def write_lines(path, objects):
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), "utf-8")
