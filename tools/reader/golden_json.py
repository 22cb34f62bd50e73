"""Writes the golden JSON: one key or list item per line where it is long, exact numbers."""

import json

import numpy as np

LINE_WIDTH = 100


def number(value):
    """A numpy number as the shortest JSON number: 3.0 becomes 3, but -0.0 stays."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value) if value != 0 or not np.signbit(value) else value
    return value


def row(array, decimals=None):
    """A vector as a list of exact numbers, or rounded to `decimals`."""
    wide = array.astype(np.float64) if array.dtype.kind == "f" else array
    if decimals is not None:
        wide = np.round(wide, decimals) + 0.0  # no negative zeros
    return [number(value) for value in wide]


def rows(array, decimals=None):
    return [row(one, decimals) for one in array]


def text(value, indent=0) -> str:
    """JSON that breaks lines only outside of what fits on one; lists of numbers never break."""
    flat = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    spaced = json.dumps(value, ensure_ascii=False)
    if indent + len(spaced) <= LINE_WIDTH:
        return spaced
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{pad}{json.dumps(k)}: {text(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = [pad + text(item, indent + 1) for item in value]
        return "[\n" + ",\n".join(items) + "\n" + " " * indent + "]"
    return flat


def write(file, value):
    with open(file, "w") as out:
        out.write(text(value) + "\n")
