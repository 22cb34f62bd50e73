"""Gradients per example of the operations that use parameters.

A `Use` is one call of such an operation with examples: from the gradient of its result it makes
that of an operand, for each example by itself. Linear layers, embeddings, normalisations, sums
and products have their own rules; every other operation goes through torch.func, which repeats
it, and its derivative, for a batch of single examples (vmap of vjp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from .batches import LOST, Batch
from .errors import UnsupportedUse


class Call:
    """An operation with what it was called with."""

    def __init__(self, name: str, func: Callable, args: tuple, kwargs: dict[str, Any]):
        self.name, self.func, self.args, self.kwargs = name, func, args, kwargs
        # None for those that an operation changes on its way.
        self.versions = [(tensor, tensor._version) for tensor in tensors_in(args, kwargs)]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def again(self, values: dict[int, Tensor]) -> Tensor:
        """Calls it with other tensors in the place of some, by their ids, in single precision."""
        def value(x):
            x = values.get(id(x), x)
            return in_single(x) if isinstance(x, Tensor) else x
        args, kwargs = pytree.tree_map(value, (self.args, self.kwargs))
        return self.func(*args, **kwargs)

    def check_unchanged(self) -> None:
        for tensor, version in self.versions:
            if tensor._version != version:
                raise UnsupportedUse(
                    f"a tensor that {self.name} was called with was changed in place afterwards")


class Use:
    """A call with examples; `places` says where they are, by the ids of its tensors."""

    def __init__(self, call: Call, batch: Batch, places: dict[int, int], out_place: int):
        self.call, self.batch, self.places, self.out_place = call, batch, places, out_place
        self.scratch: Tensor | None = None
        self.onto: Tensor | None = None
        if LOST in places.values() or out_place == LOST:
            raise UnsupportedUse(
                f"{call.name} takes tensors in which the examples can not be told apart: no "
                f"dimension of size {batch.size}, the number of ids, was followed up to it")

    def gradient(self, operand: Tensor, grad_output: Tensor, first: int, last: int,
                 scratch: Tensor | None = None, onto: Tensor | None = None) -> Tensor:
        """Of examples first … last − 1 by an operand: f32 [n, *operand.shape], in `scratch` where
        that is of use: memory that was touched before is written several times as fast. An
        embedding's, few rows of many, is added to `onto`, which is then returned."""
        self.call.check_unchanged()
        self.scratch, self.onto = scratch, onto
        g = self.of_output(grad_output, first, last)
        rule = RULES.get(self.call.name)
        found = rule(self, operand, g, first, last) if rule else None
        return through_func(self, operand, g, first, last) if found is None else found

    def factors(self, operand: Tensor, grad_output: Tensor) -> tuple[Tensor, Tensor]:
        """Of a weight that inputs are multiplied with: the gradient of the output
        [batch, positions, features], and the inputs."""
        self.call.check_unchanged()
        inputs = self.multiplied(operand)
        if inputs is None:
            raise UnsupportedUse(f"{self.call.name} is not a product of inputs and this weight")
        g = self.of_output(grad_output, 0, self.batch.size)
        x = self.of_input(inputs, 0, self.batch.size, g)
        return positions(g), positions(x)

    def multiplied(self, operand: Tensor) -> Tensor | None:
        """What is multiplied with the operand, if this is such a call."""
        call = self.call
        if call.name == "linear" and call.argument(1, "weight") is operand:
            return call.argument(0, "input")
        if call.name == "addmm" and call.argument(2, "mat2") is operand and len(call.kwargs) == 0:
            return call.argument(1, "mat1")
        if call.name in PRODUCTS and operand.dim() == 2 and len(call.args) == 2:
            return call.args[0] if call.args[1] is operand else None
        return None

    def of_output(self, grad_output: Tensor, first: int, last: int) -> Tensor:
        return self.batch.examples(grad_output, self.out_place, first, last)

    def of_input(self, tensor: Tensor, first: int, last: int, like: Tensor) -> Tensor:
        """An argument's examples, as the operation saw them: autocast made them its own type."""
        place = self.places.get(id(tensor))
        if place is None:
            raise UnsupportedUse(f"{self.call.name} takes no examples where they are expected")
        some = self.batch.examples(tensor, place, first, last)
        return in_single(some.to(like.dtype)) if some.is_floating_point() else some


def tensors_in(*values: Any) -> list[Tensor]:
    """The tensors among arguments, and in lists and tuples of them."""
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += tensors_in(*value)
        elif isinstance(value, dict):
            found += tensors_in(*value.values())
    return found


def in_single(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() and x.dtype != torch.float64 else x


def outer(use: Use, left: Tensor, right: Tensor) -> Tensor:
    """Σ_p left_p ⊗ right_p of [n, positions, features]: [n, left's features, right's]."""
    shape = len(left), left.shape[2], right.shape[2]
    size, out = shape[0] * shape[1] * shape[2], None
    if use.scratch is not None and use.scratch.numel() >= size and left.dtype == right.dtype == torch.float32:
        out = use.scratch[:size].view(shape)
    return torch.bmm(left.transpose(1, 2), right, out=out)


def positions(x: Tensor) -> Tensor:
    """[n, …, features] as f32 [n, positions, features]."""
    return in_single(x).flatten(1, -2) if x.dim() > 2 else in_single(x).unsqueeze(1)


def summed_to(g: Tensor, shape: torch.Size) -> Tensor:
    """Sums over what was broadcast: [n, …] to [n, *shape], in memory of its own."""
    wanted = (1,) * (g.dim() - 1 - len(shape)) + tuple(shape)
    over = [n + 1 for n, size in enumerate(wanted) if size == 1 and g.shape[n + 1] != 1]
    if any(size not in (1, g.shape[n + 1]) for n, size in enumerate(wanted)):
        raise UnsupportedUse(f"a parameter of shape {list(shape)} has a dimension for the examples")
    return (g.sum(over, keepdim=True) if over else g.clone()).reshape(len(g), *shape)


# ---- rules: (use, operand, its output's gradient [n, …], first, last) to [n, *operand.shape] ----


def linear(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    if operand is use.call.argument(2, "bias"):
        return positions(g).sum(1)
    x = use.of_input(use.call.argument(0, "input"), first, last, g)
    return outer(use, positions(g), positions(x))


def product(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    """matmul and addmm with the operand, a matrix, on the right."""
    if use.call.name == "addmm" and operand is use.call.argument(0, "input") and operand.dim() == 1:
        return positions(g).sum(1) if not use.call.kwargs else None
    inputs = use.multiplied(operand)
    if inputs is None:
        return None
    x = use.of_input(inputs, first, last, g)
    if operand.is_contiguous():
        return outer(use, positions(x), positions(g))
    # A transposed weight, most likely: so the gradient of the weight itself will be contiguous.
    return outer(use, positions(g), positions(x)).transpose(1, 2)


def embedding(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    call = use.call
    ids = call.argument(0, "input")
    padding = call.argument(2, "padding_idx")
    if ids is operand or call.argument(3, "max_norm") is not None:
        return None
    if call.argument(5, "scale_grad_by_freq", False):
        raise UnsupportedUse("an embedding with scale_grad_by_freq mixes the batch's examples")
    ids = use.of_input(ids, first, last, g).reshape(last - first, -1)
    g = in_single(g).reshape(*ids.shape, -1)
    if padding is not None:
        g = g * (ids != padding % operand.shape[0])[..., None]
    out = use.onto
    if out is None or out.dtype != g.dtype or not out.is_contiguous():
        out = torch.zeros(last - first, *operand.shape, dtype=g.dtype, device=g.device)
    rows = (ids + torch.arange(last - first, device=g.device)[:, None] * operand.shape[0]).flatten()
    if g.device.type == "cpu":
        out.flatten(0, 1).index_add_(0, rows, g.flatten(0, 1))
    else:
        out.flatten(0, 1).index_put_((rows,), g.flatten(0, 1), accumulate=True)
    return out


def layer_norm(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    call = use.call
    g = in_single(g)
    if operand is not call.argument(3, "bias"):
        if operand is not call.argument(2, "weight"):
            return None
        x = in_single(use.of_input(call.argument(0, "input"), first, last, call.args[0]))
        eps = call.argument(4, "eps", 1e-5)
        g = g * F.layer_norm(x, tuple(call.argument(1, "normalized_shape")), None, None, eps)
    return g.reshape(len(g), -1, *operand.shape).sum(1)


def addition(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    call = use.call
    if call.kwargs or len(call.args) != 2:
        return None
    part = summed_to(in_single(g), operand.shape)
    taken = {"sub": 1, "__sub__": 1, "sub_": 1, "__isub__": 1, "__rsub__": 0}.get(call.name)
    return -part if taken is not None and call.args[taken] is operand else part


def multiplication(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    call = use.call
    if call.kwargs or len(call.args) != 2:
        return None
    other = call.args[1] if call.args[0] is operand else call.args[0]
    x = use.of_input(other, first, last, other)
    lacking = g.dim() - x.dim()
    x = x.reshape(len(x), *(1,) * lacking, *x.shape[1:])
    return summed_to(in_single(g) * x, operand.shape)


def expansion(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor | None:
    """One copy an example: expand(batch, …), or repeat(batch, 1, …)."""
    return summed_to(in_single(g), operand.shape)


def through_func(use: Use, operand: Tensor, g: Tensor, first: int, last: int) -> Tensor:
    """Any operation, by torch.func: one example at a time, vectorised over them."""
    call, batch = use.call, use.batch
    tensors = {id(tensor): tensor for tensor, _ in call.versions if id(tensor) in use.places}
    examples = [batch.examples(t, use.places[n], first, last).detach() for n, t in tensors.items()]
    fixed = in_single(operand.detach())

    def one(cotangent, *values):
        given = dict(zip(tensors, values))
        out, pull = torch.func.vjp(lambda w: single(call.again({**given, id(operand): w})), fixed)
        return pull(cotangent.to(out.dtype))[0]

    try:
        with torch.enable_grad():
            found = torch.func.vmap(one, randomness="error")(g, *examples)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise UnsupportedUse(f"{call.name} can not be repeated example by example: {error}") from error
    return found


def single(result: Any) -> Tensor:
    """The one tensor of a result that has a gradient."""
    return result if isinstance(result, Tensor) else result[0]


PRODUCTS = {"matmul", "mm", "__matmul__"}
RULES: dict[str, Callable[[Use, Tensor, Tensor, int, int], Tensor | None]] = {
    "linear": linear, "embedding": embedding, "layer_norm": layer_norm, "addmm": product,
    **dict.fromkeys(PRODUCTS, product),
    **dict.fromkeys(("add", "__add__", "__radd__", "add_", "__iadd__",
                     "sub", "__sub__", "__rsub__", "sub_", "__isub__"), addition),
    **dict.fromkeys(("mul", "__mul__", "__rmul__"), multiplication),
    **dict.fromkeys(("expand", "expand_as", "repeat", "broadcast_to"), expansion),
}
