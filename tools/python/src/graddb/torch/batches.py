"""Where the examples are in a tensor: which dimension counts them, and how operations move it.

`Batch` answers for the tensors of one forward pass. A tensor's place is the dimension of the
batch, FLAT where the first dimension counts examples and, within each, something else (as in
`x.view(-1, width)`), LOST where it depends on the batch in a way that was not followed, and None
where it does not depend on it. Shapes alone can not tell: a table of 32 positions looks like a
batch of 32 examples.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

FLAT, LOST = -1, -2


class Batch:
    """The places of the batch of `size` examples in the tensors of a forward pass.

    A tensor that was made before belongs to the batch if its first dimension has its size and it
    is none of `constants`, the model's parameters and buffers.
    """

    def __init__(self, size: int, constants: Iterable[Tensor]):
        self.size = size
        self._constants = {id(tensor) for tensor in constants}
        self._places: dict[int, tuple[weakref.ref, int | None]] = {}

    def place(self, tensor: Tensor) -> int | None:
        known = self._places.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        if id(tensor) in self._constants or tensor.dim() == 0:
            return None
        return 0 if tensor.shape[0] == self.size else None

    def mark(self, tensor: Tensor, place: int | None) -> None:
        self._places[id(tensor)] = weakref.ref(tensor), place

    def mark_inputs(self, value: Any) -> None:
        """Marks what a model is called with."""
        if isinstance(value, Tensor):
            if value.dim() and value.shape[0] == self.size and id(value) not in self._constants:
                self.mark(value, 0)
        elif isinstance(value, Mapping):
            for one in value.values():
                self.mark_inputs(one)
        elif isinstance(value, (list, tuple)):
            for one in value:
                self.mark_inputs(one)

    def examples(self, tensor: Tensor, place: int, first: int, last: int) -> Tensor:
        """Examples first … last − 1, each shaped as if it were alone: [n, …]."""
        if place == FLAT:
            return tensor.unflatten(0, (self.size, -1))[first:last]
        return tensor.narrow(place, first, last - first).movedim(place, 0).unsqueeze(place + 1)

    def result(self, name: str, args: tuple, kwargs: dict, sources: list[tuple[Tensor, int]],
               out: Tensor) -> int:
        """The place in the result of an operation on `sources`, tensors with their places."""
        sources = sorted(sources, key=lambda source: -source[0].dim())
        tensor, place = sources[0]
        if place == LOST:
            return LOST
        if name in RESHAPES:
            return self._reshaped(tensor, place, out)
        if place >= 0 and name in MOVES and args and args[0] is tensor:
            place = MOVES[name](place, tensor, args[1:], kwargs)
            return place if 0 <= place < out.dim() and out.shape[place] == self.size else LOST
        for tensor, place in sources:
            if place == LOST or out.dim() == 0:
                continue
            if place == FLAT:
                if out.shape[0] == tensor.shape[0]:
                    return FLAT
                continue
            for found in (place, out.dim() - tensor.dim() + place):
                if 0 <= found < out.dim() and out.shape[found] == self.size:
                    return found
        return LOST

    def _reshaped(self, tensor: Tensor, place: int, out: Tensor) -> int:
        if place > 0:
            return place if out.shape[: place + 1] == tensor.shape[: place + 1] else LOST
        if out.dim() == 0 or out.shape[0] % self.size:
            return LOST
        return 0 if out.shape[0] == self.size else FLAT


RESHAPES = {"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"}


def _swapped(place: int, tensor: Tensor, a: int, b: int) -> int:
    a, b = a % tensor.dim(), b % tensor.dim()
    return b if place == a else a if place == b else place


def _transposed(place: int, tensor: Tensor, args: tuple, kwargs: dict) -> int:
    a = args[0] if args else kwargs.get("dim0", kwargs.get("axis0"))
    b = args[1] if len(args) > 1 else kwargs.get("dim1", kwargs.get("axis1"))
    return _swapped(place, tensor, a, b)


def _permuted(place: int, tensor: Tensor, args: tuple, kwargs: dict) -> int:
    order = args if len(args) > 1 else args[0] if args else kwargs["dims"]
    return [n % tensor.dim() for n in order].index(place)


def _unsqueezed(place: int, tensor: Tensor, args: tuple, kwargs: dict) -> int:
    at = (args[0] if args else kwargs["dim"]) % (tensor.dim() + 1)
    return place + (at <= place)


def _unbound(place: int, tensor: Tensor, args: tuple, kwargs: dict) -> int:
    at = (args[0] if args else kwargs.get("dim", 0)) % tensor.dim()
    return LOST if at == place else place - (at < place)


def _indexed(place: int, tensor: Tensor, args: tuple, kwargs: dict) -> int:
    """`tensor[…]` with slices, None, … and numbers; other indices only behind the batch."""
    index = args[0] if isinstance(args[0], tuple) else (args[0],)
    given = sum(one is not None and one is not Ellipsis for one in index)
    at, result = 0, 0
    for one in index:
        if at > place:
            break
        if one is None:
            result += 1
        elif one is Ellipsis:
            skipped = tensor.dim() - given
            if at + skipped > place:
                break
            at, result = at + skipped, result + skipped
        elif isinstance(one, slice):
            if at == place:
                return result
            at, result = at + 1, result + 1
        elif isinstance(one, int) and at != place:
            at += 1
        else:
            return LOST
    return result + place - at


Move = Callable[[int, Tensor, tuple, dict], int]
MOVES: dict[str, Move] = {
    "transpose": _transposed, "swapaxes": _transposed, "swapdims": _transposed,
    "t": lambda place, tensor, args, kwargs: _swapped(place, tensor, 0, -1),
    "T": lambda place, tensor, args, kwargs: tensor.dim() - 1 - place,
    "mT": lambda place, tensor, args, kwargs: _swapped(place, tensor, -2, -1),
    "permute": _permuted, "unsqueeze": _unsqueezed, "unbind": _unbound, "select": _unbound,
    "__getitem__": _indexed,
}
