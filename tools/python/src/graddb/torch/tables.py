"""What the recorder asks of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..projector import projector_documents
from .errors import BadInput, BadProjector


def projectors_of(table: Any, projector: Any) -> dict[str, Mapping]:
    """The projector of each layer, from a table, or as given: one document or several by layer."""
    layers = [] if table is None else table.info()["layers"]
    given = given_projectors(projector, layers[0]["name"] if len(layers) == 1 else "grad")
    if table is None:
        if not given:
            raise BadInput("a recorder needs a table, or a projector")
        return given
    found = {}
    for layer in layers:
        document = layer.get("projector")
        other = given.get(layer["name"])
        if document is None and other is None:
            raise BadProjector(
                f"layer {layer['name']} of {table.name} has no projector; make the table with "
                "projectors={…}, or give the recorder one")
        if document is not None and other is not None:
            for key, value in other.items():
                if key not in ("tensors", "match") and document.get(key) != value:
                    raise BadProjector(f"layer {layer['name']} of {table.name} has a projector with "
                                       f"{key} {document.get(key)!r}, the recorder's has {value!r}")
        document = document or other
        if document["dims"] != layer["dims"]:
            raise BadProjector(f"layer {layer['name']} of {table.name} has {layer['dims']} dims, its "
                               f"projector makes {document['dims']}")
        found[layer["name"]] = document
    return found


def given_projectors(projector: Any, only: str) -> dict[str, Mapping]:
    """By layer: from one projector (a `graddb.Projector`, a document or a text), which is layer `only`'s, or
    several."""
    if projector is None:
        return {}
    one = not isinstance(projector, Mapping) or "kind" in projector
    return projector_documents({only: projector} if one else projector)


def unit_of(table: Any) -> str:
    return table.info().get("unit", "example")
