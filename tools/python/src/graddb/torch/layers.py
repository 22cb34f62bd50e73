"""The layers of a table as the recorder fills them: projector, tensors, vectors of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import BadInput, BadProjector, ShapeChanged
from .projection import Projection
from .selection import chosen, linear_weights, listed, matches, trained


class RecordedLayer:
    """One layer: what of the model's parameters goes into it, and how.

    `tensors` maps parameters to what the projector calls them: their own names, or for `factored`
    the module's, whose inputs and output gradients are projected.
    """

    def __init__(self, name: str, projector: Mapping[str, Any], model: nn.Module,
                 parameters: Mapping[str, Tensor], given: bool):
        self.name = name
        self.projection = Projection(projector)
        self.factored = self.projection.kind == "factored"
        match = projector.get("match")
        weights = linear_weights(model) if self.factored else {}
        self.tensors: dict[str, str] = {}
        self.shapes: dict[str, list[int]] = {}
        for parameter in parameters:
            if self.factored and parameter not in weights:
                if given and not any(parameter.rpartition(".")[0] == module for module in weights.values()):
                    raise BadProjector(f"{parameter} is no linear layer's: projector {name} is factored")
                continue
            if self.factored:
                module = weights[parameter]
                parts = {f"{module}.{part}": [0, size] for part, size in
                         zip(("grad_output", "input"), features(model, parameters[parameter], parameter))}
            else:
                module, parts = parameter, {parameter: list(parameters[parameter].shape)}
            if match is None or any(matches(p, tensor) for p in match for tensor in parts):
                self.tensors[parameter] = module
                self.shapes.update(parts)
        if not self.tensors:
            raise BadInput(f"no parameter goes into layer {name}: of {listed(parameters)} none is "
                           f"{'a linear weight that is ' if self.factored else ''}matched by {match}")
        self.document = self.projection.described(self.shapes)
        self._check_tensors(projector.get("tensors"))

    def check_shapes(self, parameters: Mapping[str, Tensor]) -> None:
        """Raises ShapeChanged where a parameter is not what it was when the recorder was made."""
        for name in self.tensors:
            if not self.factored and list(parameters[name].shape) != self.shapes[name]:
                raise ShapeChanged(f"layer {self.name}: {name} has shape {list(parameters[name].shape)}, "
                                   f"but {self.shapes[name]} in the rows that are there")

    def _check_tensors(self, tensors: list[Mapping] | None) -> None:
        """Earlier rows have the same tensors."""
        if tensors is None:
            return
        before = {t["name"]: list(t["shape"]) for t in tensors}
        for name in self.shapes.keys() & before.keys():
            if self.shapes[name] != before[name]:
                raise ShapeChanged(f"layer {self.name}: {name} has shape {self.shapes[name]}, but "
                                   f"{before[name]} in the rows that are there")
        different = sorted(self.shapes.keys() ^ before.keys())
        if different:
            raise BadProjector(f"layer {self.name} has rows of other tensors: {listed(different)} "
                               "are in either these or those, but not in both")


def features(model: nn.Module, weight: Tensor, name: str) -> tuple[int, int]:
    """Of a linear layer: (outputs, inputs)."""
    modules = {id(module.weight): module for module in model.modules()
               if isinstance(getattr(module, "weight", None), nn.Parameter)}
    transposed = not isinstance(modules[id(weight)], nn.Linear)
    return tuple(reversed(weight.shape)) if transposed else tuple(weight.shape)


def recorded_layers(model: nn.Module, projectors: Mapping[str, Mapping],
                    layers: Any) -> list[RecordedLayer]:
    """`layers`: patterns for all layers together, or {layer: patterns}, or None."""
    parameters = trained(model)
    if not parameters:
        raise BadInput("the model has no parameters that are trained (requires_grad)")
    found = []
    for name, projector in projectors.items():
        patterns = layers.get(name) if isinstance(layers, Mapping) else layers
        if isinstance(layers, Mapping) and patterns is None:
            raise BadInput(f"layers says nothing of the table's layer {name}")
        names = chosen(parameters, patterns)
        found.append(RecordedLayer(name, projector, model, {n: parameters[n] for n in names},
                                   patterns is not None and projector.get("match") is None))
    unknown = sorted(set(layers) - set(projectors)) if isinstance(layers, Mapping) else []
    if unknown:
        raise BadInput(f"the table has no layer {unknown[0]}; it has {listed(projectors)}")
    return found


def empty_vectors(layers: list[RecordedLayer], rows: int, device: torch.device) -> dict[str, Tensor]:
    return {layer.name: torch.zeros(rows, layer.projection.dims, device=device) for layer in layers}
