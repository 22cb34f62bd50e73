"""Gradients per example are those of each example alone."""

import pytest

torch = pytest.importorskip("torch")

import torch_models  # noqa: E402
from graddb.torch import Trace, UnsupportedUse  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def needed(name):
    if module := torch_models.NEEDS.get(name.split(",")[0]):
        pytest.importorskip(module)


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def traced(model, rows, loss):
    """{name: [rows, …]} from one backward pass of loss(), and nothing where none came."""
    parameters = trained(model)
    found = {}

    def take(name, first, last, gradients):
        out = found.setdefault(name, torch.zeros(rows, *parameters[name].shape))
        out[first:last] = gradients

    trace = Trace(model, parameters, rows, take)
    with trace:
        loss().backward()
    trace.finish()
    trace.clear()
    return found


def by_func(case):
    """The oracle: torch.func, an example at a time."""
    parameters = trained(case.model)

    def loss(given, *example):
        return torch.func.functional_call(
            _Losses(case), {f"model.{name}": p for name, p in given.items()},
            tuple(one[None] for one in example)).sum()

    rows = [torch.func.grad(loss)({k: p.detach() for k, p in parameters.items()},
                                  *[x[row] for x in case.inputs])
            for row in range(len(case.inputs[0]))]
    return {name: torch.stack([row[name] for row in rows]) for name in parameters}


class _Losses(nn.Module):
    """So that functional_call can put parameters into a model that a function calls."""

    def __init__(self, case):
        super().__init__()
        self.model, self.losses = case.model, case.losses

    def forward(self, *inputs):
        return self.losses(self.model, *inputs)


def alone(case):
    """The same, by a backward pass for each example."""
    parameters = trained(case.model)
    rows = []
    for row in range(len(case.inputs[0])):
        losses = case.losses(case.model, *[x[row : row + 1] for x in case.inputs])
        found = torch.autograd.grad(losses.sum(), list(parameters.values()), allow_unused=True)
        rows.append([torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters.values())])
    return {name: torch.stack(column) for name, column in zip(parameters, zip(*rows))}


def assert_near(found, wanted, tolerance=1e-5):
    for name, gradients in wanted.items():
        got = found.get(name, torch.zeros_like(gradients)).flatten(1)
        lengths = gradients.flatten(1).norm(dim=1)
        off = (got - gradients.flatten(1)).norm(dim=1)
        # A key's bias has no effect: its gradient is rounding, as long as the others' noise.
        assert (off <= tolerance * lengths + 1e-8).all(), (name, off, lengths)


@pytest.mark.parametrize("name", torch_models.CASES)
def test_each_row_is_the_gradient_of_its_example_alone(name):
    needed(name)
    case = torch_models.made(name)
    rows = len(case.inputs[0])
    found = traced(case.model, rows, lambda: case.losses(case.model, *case.inputs).sum())
    assert_near(found, alone(case))


@pytest.mark.parametrize("name", ["perceptron", "language", "convolutions", "shared", "gpt2", "lora"])
def test_torch_func_agrees(name):
    needed(name)
    case = torch_models.made(name)
    rows = len(case.inputs[0])
    found = traced(case.model, rows, lambda: case.losses(case.model, *case.inputs).sum())
    assert_near(found, by_func(case))


@pytest.mark.parametrize("name", torch_models.CASES)
def test_training_sees_the_same_gradients_to_the_bit(name):
    needed(name)
    plain, watched = torch_models.made(name), torch_models.made(name)
    plain.losses(plain.model, *plain.inputs).mean().backward()
    traced(watched.model, len(watched.inputs[0]),
           lambda: watched.losses(watched.model, *watched.inputs).mean())
    for (name, p), q in zip(plain.model.named_parameters(), watched.model.parameters()):
        assert (p.grad is None) == (q.grad is None), name
        assert p.grad is None or torch.equal(p.grad, q.grad), name


def test_a_mean_gives_each_row_its_share():
    case = torch_models.made("language")
    found = traced(case.model, 5, lambda: case.losses(case.model, *case.inputs).mean())
    assert_near({name: 5 * g for name, g in found.items()}, alone(case))


@pytest.mark.parametrize("name", ["perceptron", "language", "gpt2"])
def test_under_autocast_rows_are_as_exact_as_the_type(name):
    needed(name)
    case = torch_models.made(name)
    with torch.autocast("cpu", torch.bfloat16):
        found = traced(case.model, len(case.inputs[0]),
                       lambda: case.losses(case.model, *case.inputs).float().sum())
    wanted = alone(case)
    for name, gradients in wanted.items():
        cosine = F.cosine_similarity(found[name].flatten(1), gradients.flatten(1))
        assert (cosine > 0.98).all() or gradients.norm() < 1e-6, name


def test_checkpointing_changes_nothing():
    pytest.importorskip("transformers")
    case = torch_models.made("gpt2")
    wanted = alone(case)
    case.model.gradient_checkpointing_enable({"use_reentrant": False})
    case.model.train()
    found = traced(case.model, 5, lambda: case.losses(case.model, *case.inputs).sum())
    assert_near(found, wanted)


def test_an_embedding_with_padding_and_a_repeated_word():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4, padding_idx=1), nn.Flatten(), nn.Linear(12, 1))
    case = torch_models.Case(model, (torch.tensor([[0, 0, 1], [2, 1, 4], [3, 3, 3]]),),
                             torch_models.cubes)
    found = traced(model, 3, lambda: case.losses(model, *case.inputs).sum())
    assert_near(found, alone(case))
    assert found["0.weight"][:, 1].abs().max() == 0


@pytest.mark.parametrize("operation", [
    lambda x, p: x + p, lambda x, p: p - x, lambda x, p: x - p, lambda x, p: x * p, lambda x, p: x / p.exp(),
    lambda x, p: torch.addcmul(x, x, p), lambda x, p: x @ torch.outer(p, p),
    lambda x, p: torch.where(x > 0, x, p),
    lambda x, p: x.clone().add_(p), lambda x, p: torch.einsum("btc,c->btc", x, p),
    lambda x, p: x + p.view(1, 1, -1).repeat(len(x), 1, 1), lambda x, p: x * torch.stack([p, p, p]),
    lambda x, p: F.prelu(x.transpose(1, 2), p).transpose(1, 2),
    lambda x, p: x * p[None].to(torch.float64).float(),
    lambda x, p: p.softmax(0)[x.abs().long().clamp(max=4)[..., :1]] * x,
], ids=range(15))
def test_operations_on_parameters(operation):
    torch.manual_seed(1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.randn(5))

        def forward(self, x):
            return operation(x, self.p)

    case = torch_models.Case(Model(), (torch.randn(4, 3, 5),), torch_models.cubes)
    found = traced(case.model, 4, lambda: case.losses(case.model, *case.inputs).sum())
    assert_near(found, alone(case))


class Lost(nn.Module):
    """Examples are mixed into one dimension in an order that nobody can follow."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x.transpose(0, 1).reshape(-1, 4)).view(x.shape[1], -1, 4).transpose(0, 1)


def test_examples_that_can_not_be_told_apart_are_refused():
    model = Lost()
    with pytest.raises(UnsupportedUse, match="linear.weight.*can not be told apart.*!linear.weight"):
        traced(model, 3, lambda: model(torch.randn(3, 5, 4)).square().sum())
    assert model.linear.weight.grad is not None  # training's own backward pass was not ended


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_is_refused_in_training_and_exact_in_evaluation(affine):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=affine), nn.Linear(6, 2))
    case = torch_models.Case(model, (torch.randn(5, 4),), torch_models.cubes)
    with pytest.raises(UnsupportedUse, match="mixes the examples"):
        traced(model, 5, lambda: case.losses(model, *case.inputs).sum())
    model.eval()
    assert_near(traced(model, 5, lambda: case.losses(model, *case.inputs).sum()), alone(case))


def test_inputs_changed_afterwards_are_refused():
    linear = nn.Linear(4, 4)

    def loss():
        with torch.autocast("cpu", torch.bfloat16):
            x = torch.randn(3, 4)
            y = linear(x)  # autocast keeps a copy of x, and so autograd does not mind
            x.zero_()
            return y.float().square().sum()

    with pytest.raises(UnsupportedUse, match="changed in place"):
        traced(linear, 3, loss)


def test_dropout_in_what_has_to_be_repeated_is_refused():
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    x = torch.randn(3, 4, 8)
    with pytest.raises(UnsupportedUse, match="multi_head_attention"):
        traced(layer, 3, lambda: layer(x, x, x, need_weights=False)[0].square().sum())


def test_nothing_of_the_graph_is_kept():
    import gc
    import weakref

    case = torch_models.made("language")
    traced(case.model, 5, lambda: case.losses(case.model, *case.inputs).sum())
    seen = []
    handle = case.model.blocks[0].register_forward_hook(lambda m, i, out: seen.append(weakref.ref(out)))
    gc.disable()
    try:
        traced(case.model, 5, lambda: case.losses(case.model, *case.inputs).sum())
        assert seen[0]() is None  # without the help of the garbage collector
    finally:
        gc.enable()
        handle.remove()
