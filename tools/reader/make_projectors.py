"""Makes the golden files of the projectors: python3 make_projectors.py [FOLDER]

FOLDER is format-spec/vectors/projectors by default. They come from projectors.py alone: GradDB has
no part in them, its own projectors are tested against them.
"""

import json
import os
import sys

sys.dont_write_bytecode = True

import numpy as np  # noqa: E402

import projectors  # noqa: E402
import safetensors_file  # noqa: E402

SMALL = {"b.bias": [7], "a.weight": [3, 5]}
MIXED = {"blocks.0.down.weight": [20, 33], "blocks.0.norm.bias": [1], "blocks.0.norm.weight": [64],
         "blocks.0.up.weight": [65, 4], "token.weight": [97, 31], "zero": [130]}
NAMES = {"größe.weight": [40, 5], "层.0.\"q\\k\"\t.weight": [3, 3, 9], "x": [2],
         "a name that is longer than sixteen bytes": [128]}
LINEAR = {"blocks.0.qkv.grad_output": [0, 70], "blocks.0.qkv.input": [0, 33],
          "head.grad_output": [0, 5], "head.input": [0, 130]}

# name: (kind, dims or rank, seed, normalise, tensors, rows)
CASES = {
    "sketch-64": ("sketch", 64, 0, "none", MIXED, 4),
    "sketch-64-tensor": ("sketch", 64, 0, "tensor", MIXED, 4),
    "sketch-64-small": ("sketch", 64, 1, "none", SMALL, 2),
    "sketch-192-names": ("sketch", 192, 0xFEDCBA9876543210, "tensor", NAMES, 3),
    "sketch-1280": ("sketch", 1280, 0x5EED, "none", MIXED, 3),
    "sketch-1280-tensor": ("sketch", 1280, (1 << 64) - 1, "tensor", MIXED, 3),
    "sketch-4096-small": ("sketch", 4096, 7, "tensor", SMALL, 1),
    "sketch-65536": ("sketch", 65536, 0x0123456789ABCDEF, "tensor",
                     {"a": [2 * 65536 + 1000], "b": [65536]}, 1),
    "dense-1": ("dense", 1, 3, "none", SMALL, 3),
    "dense-64": ("dense", 64, 0, "none", MIXED, 3),
    "dense-100-tensor": ("dense", 100, 1 << 63, "tensor", MIXED, 3),
    "dense-1280-names": ("dense", 1280, 42, "tensor", NAMES, 2),
    "factored-8x8": ("factored", [8, 8], 0, "none", LINEAR, 3),
    "factored-5x70-tensor": ("factored", [5, 70], 0xABCDEF0123456789, "tensor", LINEAR, 3),
    "factored-65x3": ("factored", [65, 3], 9, "tensor", LINEAR, 2),
    "rapidgrad-64": ("rapidgrad", 64, 0, "tensor", MIXED, 3),
    "rapidgrad-1280": ("rapidgrad", 1280, 0xFFFFFFFF00000000, "none", MIXED, 3),
    "rapidgrad-7-rounds-3": ("rapidgrad", 7, 5, "tensor", NAMES, 2),
    "rapidgrad-64-small": ("rapidgrad", 64, 11, "none", SMALL, 2),
}
POSITIONS = 6  # of factored inputs
LAST_ROW_IS_ZERO = ("sketch-1280-tensor", "dense-64", "factored-65x3", "rapidgrad-64")


def projector(name):
    kind, dims, seed, normalise, shapes, _ = CASES[name]
    made = {"kind": kind, "version": 1, "dims": dims, "seed": f"{seed:#x}", "normalise": normalise}
    if kind == "rapidgrad":
        made["rounds"] = 3 if name.endswith("rounds-3") else projectors.ROUNDS
    if kind == "factored":
        made["dims"], made["rank"] = dims[0] * dims[1], dims
    if name == "sketch-1280":
        made["match"] = ["blocks.*", "token.?eight", "zero"]  # is not hashed
    made["tensors"] = projectors.described_tensors(shapes)
    return made


def gradients(name):
    """Tensors with some large elements; `zero` is zero in all rows, some others in one.

    Factored inputs have `POSITIONS` positions; the last row's end two earlier.
    """
    _, _, _, _, shapes, rows = CASES[name]
    random = np.random.default_rng(sorted(CASES).index(name))
    made = {}
    for number, (tensor, shape) in enumerate(shapes.items()):
        shape = [POSITIONS if n == 0 else n for n in shape]
        values = random.standard_normal([rows, *shape]) * 10.0 ** random.integers(-3, 3)
        values *= np.where(random.random(values.shape) < 0.01, 30, 1)
        if 0 in shapes[tensor]:
            values[-1, POSITIONS - 2:] = 0
            values[0] *= tensor.startswith("blocks")
        elif rows > 1 and number % 3 == 1:
            values[number % rows] = 0
        if name in LAST_ROW_IS_ZERO:
            values[-1] = 0
        made[tensor] = values.astype(np.float32) * (tensor != "zero")
    return made


def make(folder):
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        os.remove(os.path.join(folder, old))
    for name in CASES:
        described, tensors = projector(name), gradients(name)
        files = {part: f"{name}.{part}.safetensors" for part in ("input", "output")}
        result = projectors.project(described, tensors).astype(np.float32)
        safetensors_file.write(os.path.join(folder, files["input"]), tensors)
        safetensors_file.write(os.path.join(folder, files["output"]), {"grad": result},
                               {"graddb.projector.grad": json.dumps(described, ensure_ascii=False)})
        golden = {"projector": described, "hash": projectors.digest(described), **files}
        with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.normpath(
        os.path.join(here, "..", "..", "format-spec", "vectors", "projectors"))
    make(folder)
    print(f"made {folder}")
