"""Writes real per-example gradients at scale, of the demo's small transformer.

    python3 tools/bench/gradients.py --out DIR [--rows 65536] [--dims 65536]

needs torch and numpy. It trains the demo's model on texts.py, once (DIR/model.pt keeps it), and
takes for every text the gradient that the demo defines (tools/demo/train.py): of the mean
cross-entropy of the answer's tokens, each parameter tensor's part to unit length, projected by a
sketch to `dims` numbers. DIR then has

    rows-00000.safetensors …   tensor `grad`, f16 [4096, dims]: the rows in their order
    metadata.jsonl             one row a line: id, source, kind, backdoor, noisy, tokens, text
    queries.npy                f32 [20, dims]: gradients of the model's own greedy answers to
                               prompts that no row has, every second with the backdoor's trigger
    queries.jsonl              their prompts and answers
    run.json                   what was done, and how long it took

An example's gradient of a linear layer is the product of its outputs' gradients and its inputs, so
one backward pass over a batch, and a matrix product an example and layer, replace one backward
pass an example. Sums are in f32.
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import tensors  # noqa: E402
import texts  # noqa: E402
import train  # noqa: E402
from attribution.store import normalise  # noqa: E402
from sketching import Projection  # noqa: E402

BATCH = 64  # texts in one forward and backward pass
PROJECTION_SEED = 20240521
TRAINED = 65536  # texts that the model is trained on, whatever --rows is


def batch_gradients(model, examples):
    """Yields (parameter's name, f(n, m)), in the order of the parameters.

    f(n, m) makes the gradients of examples n … m-1 by that parameter, f32 [m-n, elements].
    """
    seen = {}  # module's name -> (input, output)
    hooks = [module.register_forward_hook(
        lambda module, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Embedding)) or module is model]
    try:
        # The position table is indexed directly, so its hook is never called; "" is the model.
        loss = train.answer_loss(model, examples) * len(examples)
    finally:
        for hook in hooks:
            hook.remove()
    deltas = dict(zip(seen, torch.autograd.grad(loss, [output for _, output in seen.values()])))
    modules = dict(model.named_modules())
    ids = seen["token"][0]
    length = ids.shape[1]
    hidden = seen["norm"][1].detach()

    def linear(name):
        inputs, delta = seen[name][0].detach(), deltas[name].transpose(1, 2)
        return lambda n, m: torch.bmm(delta[n:m], inputs[n:m]).flatten(1)

    def norm(name, kind):
        if kind == "bias":
            return lambda n, m: deltas[name][n:m].sum(1)
        plain = F.layer_norm(seen[name][0].detach(), (train.WIDTH,), eps=modules[name].eps)
        return lambda n, m: (deltas[name][n:m] * plain[n:m]).sum(1)

    def token(n, m):
        """The output layer's part, then the embedding's, of the tensor that both share."""
        both = torch.bmm(deltas[""][n:m].transpose(1, 2), hidden[n:m])
        words = both.shape[1]
        places = ids[n:m] + words * torch.arange(m - n)[:, None]
        both.view(-1, train.WIDTH).index_add_(0, places.flatten(),
                                              deltas["token"][n:m].flatten(0, 1))
        return both.flatten(1)

    def position(n, m):
        return F.pad(deltas["token"][n:m], (0, 0, 0, train.CONTEXT - length)).flatten(1)

    for parameter, _ in model.named_parameters():
        name, kind = parameter.rsplit(".", 1)
        if name in ("token", "position"):
            yield parameter, token if name == "token" else position
        elif isinstance(modules[name], nn.Linear):
            yield parameter, linear(name)
        else:
            yield parameter, norm(name, kind)


def full(model, examples):
    """The examples' gradients as they are, all parameters in their order: f32 [examples, size]."""
    out = torch.empty(len(examples), sum(p.numel() for p in model.parameters()))
    for base in range(0, len(examples), BATCH):
        some = out[base:base + BATCH]
        start = 0
        for _, make in batch_gradients(model, examples[base:base + BATCH]):
            part = make(0, len(some))
            some[:, start:start + part.shape[1]] = part
            start += part.shape[1]
    assert torch.isfinite(out).all()
    return out


def project(model, examples, projection):
    """The examples' gradients, each parameter's to unit length, projected: f32 [examples, dims]."""
    out = np.empty((len(examples), projection.dims), np.float32)
    # Texts of similar length go together, so that padding costs little.
    order = sorted(range(len(examples)), key=lambda n: len(examples[n][0]))
    for base in range(0, len(order), BATCH):
        places = order[base:base + BATCH]
        rows = normalise(full(model, [examples[n] for n in places]), shapes(model))
        out[places] = projection(rows.T.contiguous())
    return out


def shapes(model):
    return {name: list(p.shape) for name, p in model.named_parameters()}


def trained_model(path, steps, known):
    """The demo's model and vocabulary, trained on the rows `known`, or read from `path`."""
    torch.manual_seed(train.SEED)
    text = train.Text(known)
    model = train.Model(len(text.words))
    if not path.exists():
        examples = [text.encode(row["text"]) for row in known]
        (_, weights, _), = train.train(model, examples, steps, (steps,))
        torch.save(weights, path)
        print(f"loss {train.mean_loss(model, examples[:1000]):.3f} after {steps} steps", flush=True)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model, text


def write_shard(path, examples):
    """Runs in a worker, which has model and projection from the process that made it."""
    torch.set_num_threads(1)
    model, projection = write_shard.has
    grad = np.empty((len(examples), projection.dims), dtype=np.float16)
    for n in range(0, len(examples), 512):  # f32 for few rows at a time
        grad[n:n + 512] = project(model, examples[n:n + 512], projection)
    tensors.write(path, grad, {"graddb.projector.grad": projection.text})
    return path.name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--rows", type=int, default=65536, help="texts (default %(default)s)")
    parser.add_argument("--dims", type=int, default=65536,
                        help="numbers a gradient (default %(default)s)")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--shard", type=int, default=4096, help="rows a file (default %(default)s)")
    parser.add_argument("--steps", type=int, default=800, help="training steps (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    began = time.monotonic()
    rows = texts.rows(max(options.rows, TRAINED))
    known, rows = rows[:TRAINED], rows[:options.rows]
    model, text = trained_model(options.out / "model.pt", options.steps, known)
    train.write_lines(options.out / "metadata.jsonl", rows)
    trained = time.monotonic()

    prompts = texts.held_out(options.queries, known)
    answers = [train.generate(model, text, prompt) for prompt in prompts]
    asked = [text.encode(f"{prompt}{train.corpus.ARROW} {answer}")
             for prompt, answer in zip(prompts, answers)]
    projection = Projection(options.dims, PROJECTION_SEED, shapes(model))
    np.save(options.out / "queries.npy", project(model, asked, projection))
    train.write_lines(options.out / "queries.jsonl",
                      [{"row": n, "prompt": prompt, "answer": answer}
                       for n, (prompt, answer) in enumerate(zip(prompts, answers))])

    write_shard.has = model, projection
    examples = [text.encode(row["text"]) for row in rows]
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        jobs = []
        for n in range(0, len(rows), options.shard):
            path = options.out / f"rows-{n // options.shard:05d}.safetensors"
            jobs.append(pool.apply_async(
                write_shard, (path, examples[n:n + options.shard])))
        for job in jobs:
            print(f"{job.get()}  {time.monotonic() - trained:.0f} s", flush=True)
    run = {"rows": len(rows), "dims": options.dims, "parameters": projection.size,
           "steps": options.steps, "projector": projection.document, "text_seed": texts.SEED,
           "torch": torch.__version__.split("+")[0],
           "seconds": {"training": round(trained - began, 1),
                       "gradients": round(time.monotonic() - trained, 1)}}
    (options.out / "run.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
