"""Gradients per example of any model, out of one backward pass of a batch.

    with Trace(model, parameters, batch_size, take) as trace:
        loss = …                    # any forward pass
        loss.backward()             # any backward pass
    trace.finish()
    trace.clear()

`Trace` watches, as a TorchFunctionMode, every operation of the forward pass that takes one of the
parameters: where examples take part, the gradient of its result, which the backward pass makes
anyway, is enough to make the parameter's gradient for each example by itself (rules.py). Where
none take part (a transposed table, a slice of it, rows for positions), the result is followed as
derived from the parameter, to the operation where it meets examples. So it does not matter whether
modules hold the parameters, how often they are used, or how they are shared, and training's own
computation is left as it is, to the bit.

As soon as all uses of a parameter have their gradients, `take(name, first, last, gradients)` gets
its gradients of examples first … last − 1 a few at a time; when it returns, they are gone. What each example
adds to the batch's loss has to depend on its own row of the inputs alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Union

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from .batches import Batch
from .errors import UnsupportedUse
from .rules import Call, Use, in_single, single, tensors_in

# Of gradients per example that exist at once: on a CPU, for each thread, what its cache holds.
PIECE_BYTES = {"cpu": 1 << 20, "other": 256 << 20}
UNCHANGED = {"to", "float", "half", "bfloat16", "contiguous", "clone", "type"}


class Leaf:
    """A parameter that is traced."""

    def __init__(self, name: str, parameter: Tensor):
        self.name, self.parameter = name, parameter
        self.factors = False  # whether inputs and output gradients are asked for
        self.uses = 0
        self.reached: list[tuple[Use, Origin, Tensor, Tensor]] = []
        self.taken = False
        self.problem: Exception | None = None

    def leaves(self) -> set[Leaf]:
        return {self}

    def pulled(self, leaf: Leaf, gradients: Tensor) -> Tensor | None:
        return gradients if leaf is self else None


class Derived:
    """A tensor made from parameters without examples: `call`, whose arguments come from `parents`."""

    def __init__(self, call: Call, parents: list[tuple[Origin, Tensor]]):
        self.call, self.parents = call, parents

    def leaves(self) -> set[Leaf]:
        return set().union(*(origin.leaves() for origin, _ in self.parents))

    def pulled(self, leaf: Leaf, gradients: Tensor) -> Tensor | None:
        """[n, *its shape], the gradients by this tensor, to [n, *shape], those by a parameter."""
        total = None
        for origin, tensor in self.parents:
            if leaf not in origin.leaves():
                continue
            part = origin.pulled(leaf, self._pulled_once(tensor, gradients))
            total = part if total is None else total + part
        return total

    def _pulled_once(self, tensor: Tensor, gradients: Tensor) -> Tensor:
        if self.call.name in UNCHANGED:
            return in_single(gradients)
        if self.call.name in ("T", "t", "mT") and tensor.dim() == 2:
            return gradients.transpose(1, 2)
        self.call.check_unchanged()
        with torch.enable_grad():
            out, pull = torch.func.vjp(
                lambda w: single(self.call.again({id(tensor): w})), in_single(tensor.detach()))
        return torch.func.vmap(lambda g: pull(g.to(out.dtype))[0])(gradients)


Origin = Union[Leaf, Derived]
Take = Callable[[str, int, int, Tensor], None]
TakeFactors = Callable[[str, Tensor, Tensor], None]


class Trace(TorchFunctionMode):
    """Follows `parameters` (names to tensors) through one forward pass of `size` examples.

    `take_factors(name, grad_output, inputs)` gets [batch, positions, features] for the weights
    named in `factored` instead. After `finish`, problems that concern single parameters are
    raised: UnsupportedUse. With `keep` the backward passes can be repeated: see `again`.
    """

    def __init__(self, model: nn.Module, parameters: Mapping[str, Tensor], size: int, take: Take,
                 take_factors: TakeFactors | None = None, factored: frozenset[str] = frozenset(),
                 keep: bool = False):
        super().__init__()
        self.model, self.size, self.take, self.take_factors = model, size, take, take_factors
        self.keep = keep
        self.dtypes: set[torch.dtype] = set()  # of the gradients that came back
        self.seconds = 0.0  # spent here rather than in the model
        self.leaves = {name: Leaf(name, parameter) for name, parameter in parameters.items()}
        for name in factored:
            self.leaves[name].factors = True
        self._batch = Batch(size, [*model.parameters(), *model.buffers()])
        self._origins: dict[int, tuple[Tensor, Origin]] = {
            id(leaf.parameter): (leaf.parameter, leaf) for leaf in self.leaves.values()}
        self._handles: list = []
        self._depth = 0  # of calls of the model
        self._uses: dict[int, tuple[Use, list[tuple[Leaf, Origin, Tensor]]]] = {}
        self._edges: list[GradientEdge] = []
        self._hooks: list = []
        self._scratch: Tensor | None = None
        self._problem: Exception | None = None  # that concerns all parameters

    def __enter__(self) -> Trace:
        self._handles = [
            self.model.register_forward_pre_hook(self._model_begins, with_kwargs=True),
            self.model.register_forward_hook(self._model_ends, always_call=True)]
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def finish(self) -> None:
        """Ends a backward pass: takes what is left, and raises what went wrong."""
        for leaf in self.leaves.values():
            if leaf.reached:
                self._guarded(leaf)
        for problem in (self._problem, *(leaf.problem for leaf in self.leaves.values())):
            if problem is not None:
                raise problem

    def again(self) -> None:
        """Gets ready for another backward pass of the same forward pass."""
        for leaf in self.leaves.values():
            leaf.reached, leaf.taken = [], False

    def clear(self) -> None:
        """Lets go of the graph, whose hooks hold this trace, and of everything in it."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._edges = [], []
        self._uses.clear()
        self._origins.clear()

    @property
    def outputs(self) -> list[GradientEdge]:
        """Results of operations with parameters: what a backward pass has to reach."""
        return self._edges

    # ---- the forward pass ----

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, (Tensor, tuple, list)) and type(result) is not torch.Size:
            began = time.perf_counter()
            self._follow(func, args, kwargs, result)
            self.seconds += time.perf_counter() - began
        return result

    def _model_begins(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self._batch.mark_inputs((args, kwargs))
        self._depth += 1

    def _model_ends(self, module: nn.Module, args: tuple, result: object) -> None:
        self._depth -= 1

    def _follow(self, func: Callable, args: tuple, kwargs: dict, result: object) -> None:
        outs = tensors_in(result)
        if not outs:
            return
        operands, sources = [], []
        for tensor in {id(t): t for t in tensors_in(args, kwargs)}.values():
            origin = self._origins.get(id(tensor))
            if origin is not None:
                operands.append((origin[1], tensor))
                continue
            place = self._batch.place(tensor)
            if place is not None:
                sources.append((tensor, place))
        if not (operands or sources or self._depth):
            return
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        if name == "batch_norm" and sources and (args[5] if len(args) > 5 else kwargs.get("training")):
            self._problem = UnsupportedUse(
                "a batch norm that is being trained mixes the examples of a batch: none has a gradient "
                "of its own; put the batch norms into eval mode, or use group norms")
        expands = operands and not sources and self._expands(name, operands, outs[0])
        for out in outs:
            if expands:
                self._batch.mark(out, 0)
            elif sources:
                self._batch.mark(out, self._batch.result(name, args, kwargs, sources, out))
            elif not operands:
                self._batch.mark(out, None)
        graded = [out for out in outs if out.grad_fn is not None]
        if not operands or not graded or not torch.is_grad_enabled():
            return
        call = Call(name, func, args, kwargs)
        if sources or expands:
            self._use(call, operands, dict((id(t), place) for t, place in sources), graded)
        else:
            origin = Derived(call, operands)
            for out in graded:
                self._origins[id(out)] = out, origin

    def _expands(self, name: str, operands: list, out: Tensor) -> bool:
        """One copy of a parameter for each example, as of a classification token."""
        shape = operands[0][1].shape
        return (name in ("expand", "expand_as", "repeat", "broadcast_to") and self.size > 1
                and out.shape[0] == self.size and (len(shape) < out.dim() or shape[0] == 1))

    def _use(self, call: Call, operands: list, places: dict[int, int], graded: list[Tensor]) -> None:
        leaves = set().union(*(origin.leaves() for origin, _ in operands))
        try:
            if len(graded) > 1:
                raise UnsupportedUse(f"{call.name} has several results")
            if call.name.endswith("_") and not call.name.endswith("__") and call.name not in (
                    "add_", "sub_") or call.name in ("__imul__", "__itruediv__", "__setitem__"):
                raise UnsupportedUse(f"{call.name} overwrites what it takes")
            use = Use(call, self._batch, places, self._batch.place(graded[0]))
        except UnsupportedUse as problem:
            for leaf in leaves:
                leaf.problem = leaf.problem or self._named(leaf, problem)
            return
        number = len(self._edges)
        self._edges.append(get_gradient_edge(graded[0]))
        # The graph keeps the hook longer than the use is needed: it knows only its number.
        self._hooks.append(graded[0].register_hook(lambda g: self._reached(number, g)))
        concerned = [(leaf, origin, tensor) for origin, tensor in operands for leaf in origin.leaves()]
        self._uses[number] = use, concerned
        for leaf, _, _ in concerned:
            leaf.uses += 1

    # ---- the backward pass ----

    def _reached(self, number: int, grad_output: Tensor) -> None:
        """The gradient of a use's result is there."""
        began = time.perf_counter()
        use, concerned = self._uses[number] if self.keep else self._uses.pop(number)
        self.dtypes.add(grad_output.dtype)
        with torch._C.DisableTorchFunction(), torch.no_grad(), \
                torch.autocast(grad_output.device.type, enabled=False):
            for leaf, origin, tensor in concerned:
                leaf.reached.append((use, origin, tensor, grad_output))
                if leaf.taken:
                    leaf.problem = leaf.problem or self._named(leaf, UnsupportedUse(
                        "it got another gradient after those of all its uses, as by checkpointing "
                        "with use_reentrant=True"))
                elif len(leaf.reached) == leaf.uses:
                    self._guarded(leaf)
        self.seconds += time.perf_counter() - began

    def _guarded(self, leaf: Leaf) -> None:
        """A problem of ours must not end training's own backward pass: `finish` raises it."""
        try:
            if leaf.problem is None:
                self._complete(leaf)
        except UnsupportedUse as problem:
            leaf.problem = self._named(leaf, problem)
        except Exception as problem:
            leaf.problem = problem
        leaf.taken = True
        leaf.reached = []

    def _complete(self, leaf: Leaf) -> None:
        if leaf.factors:
            self._complete_factors(leaf)
            return
        device = leaf.parameter.device.type
        numel = leaf.parameter.numel()
        size = PIECE_BYTES["cpu"] * torch.get_num_threads() if device == "cpu" else PIECE_BYTES["other"]
        step = max(1, size // (4 * numel))
        if device == "cpu" and self._scratch is None:
            self._scratch = torch.empty(size // 4)
        # Embeddings come last: they add their few rows to what is there.
        leaf.reached.sort(key=lambda reached: reached[0].call.name == "embedding")
        for first in range(0, self.size, step):
            last = min(first + step, self.size)
            total = None
            for use, origin, tensor, g in leaf.reached:
                onto = total if origin is leaf else None
                part = use.gradient(tensor, g, first, last, self._scratch if total is None else None, onto)
                part = origin.pulled(leaf, part)
                total = part if total is None or part is total else total.add_(part)
            self.take(leaf.name, first, last, total)

    def _complete_factors(self, leaf: Leaf) -> None:
        pairs = []
        for use, origin, tensor, g in leaf.reached:
            pair = use.factors(tensor, g)
            while isinstance(origin, Derived):
                if origin.call.name not in UNCHANGED | {"T", "t", "mT"}:
                    raise UnsupportedUse(
                        f"it is not the weight itself that is used, but a {origin.call.name}")
                origin = origin.parents[0][0]
            pairs.append(pair)
        grad_output, inputs = (torch.cat(part, 1) for part in zip(*pairs))
        self.take_factors(leaf.name, grad_output, inputs)

    def _named(self, leaf: Leaf, problem: UnsupportedUse) -> UnsupportedUse:
        return UnsupportedUse(
            f"{leaf.name}: {problem}. Its gradients per example can not be recorded; leave it out "
            f"with layers=[…, \"!{leaf.name}\"]")
