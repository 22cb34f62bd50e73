"""Which parameters are recorded, and under which layer of the table.

Patterns are those of projectors (`*`, `?`) over the parameters' names. One that begins with "!"
leaves out what it matches; where there are only such, everything else is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from torch import Tensor, nn

from ..projector import projector_documents
from .errors import BadInput

WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")  # put before names by wrappers


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name; one that is shared has its first name.

    Of a model with adapters (LoRA) these are the adapters', since the rest is frozen. Names are
    those of the plain model: what DistributedDataParallel and others put before them is left out.
    """
    return {plain(name): p for name, p in model.named_parameters() if p.requires_grad}


def plain(name: str) -> str:
    for wrapper in WRAPPERS:
        while name.startswith(wrapper) or f".{wrapper}" in name:
            name = name.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return name


def chosen(names: Iterable[str], patterns: Iterable[str] | None) -> list[str]:
    """The names that the patterns take, in order. Raises BadInput where one takes nothing."""
    names = list(names)
    if patterns is None:
        return names
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in patterns:
        if not any(matches(pattern.removeprefix("!"), name) for name in names):
            raise BadInput(f"no trained parameter is called {pattern!r}; there are {listed(names)}")
    wanted = [p for p in patterns if not p.startswith("!")] or ["*"]
    refused = [p[1:] for p in patterns if p.startswith("!")]
    return [name for name in names if any(matches(p, name) for p in wanted)
            and not any(matches(p, name) for p in refused)]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    return _expression(pattern).fullmatch(name) is not None


def listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def linear_weights(model: nn.Module) -> dict[str, str]:
    """Weights of linear layers to the names of their modules, for factored projectors."""
    found = {}
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if linear and isinstance(getattr(module, "weight", None), nn.Parameter):
            found[plain(f"{name}.weight" if name else "weight")] = plain(name)
    return found


def by_module(model: nn.Module, patterns: Iterable[str] | None = None) -> dict[str, list[str]]:
    """The trained parameters of each module, by a name that a layer may have."""
    found: dict[str, list[str]] = {}
    for name in chosen(trained(model), patterns):
        found.setdefault(layer_name(name.rpartition(".")[0] or "model"), []).append(name)
    return found


def layer_name(module: str) -> str:
    """Names of layers start with a letter and have no others than [A-Za-z0-9_.-]."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", module)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def per_module(model: nn.Module, projector: Any,
               layers: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """A projector for each module that has trained parameters, as `create_table` takes them.

        projectors = per_module(model, graddb.Projector("sketch", dims=4096, normalise="tensor"))
        db.create_table("alpaca", layers={name: (4096, "bit") for name in projectors},
                        projectors=projectors)
    """
    document = projector_documents({"": projector})[""]
    return {name: {**document, "match": parameters}
            for name, parameters in by_module(model, layers).items()}
