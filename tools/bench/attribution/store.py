"""One table in GradDB, written and asked through gradctl."""

import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[3]
GRADCTL = os.environ.get("GRADCTL", str(ROOT / ".build" / "release" / "gradctl"))
BITS = {"f32": 32, "f16": 16, "bf16": 16, "int8": 8, "int4": 4, "bit": 1}
LAYER = "grad"


def normalise(rows, shapes):
    """Each tensor's part of f32 [rows, elements] to length 1, in place."""
    start = 0
    for shape in shapes.values():
        part = rows[:, start:start + int(np.prod(shape))]
        norm = torch.linalg.vector_norm(part, dim=1, keepdim=True)
        part *= torch.where(norm > 0, 1 / norm, 0)
        start += part.shape[1]
    return rows


class Store:
    """A new database of one table, whose ids count from 0."""

    def __init__(self, path, dims, codec, layer=LAYER):
        self.path, self.layer, self.rows, self.bytes = Path(path), layer, {}, 0
        self.run("init")
        self.run("create", "t", "--layer", f"{layer}:{dims}:{codec}")

    def run(self, *arguments, **options):
        command = [GRADCTL, *map(str, arguments), "--db", str(self.path), "--json", "--quiet",
                   "--threads", "1"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, **options)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ingest(self, blocks, checkpoint="c", *more):
        """Arrays [rows, dims], f32 or f16, through a pipe."""
        command = [GRADCTL, "ingest", "t", "-", "--checkpoint", checkpoint, *more,
                   "--db", str(self.path), "--json", "--quiet"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for block in blocks:
            kind = {"float32": "F32", "float16": "F16"}[block.dtype.name]
            header = json.dumps({self.layer: {"dtype": kind, "shape": block.shape,
                                              "data_offsets": [0, block.nbytes]}}).encode()
            process.stdin.write(struct.pack("<QQ", 8 + len(header) + block.nbytes, len(header)))
            process.stdin.write(header)
            process.stdin.write(memoryview(np.ascontiguousarray(block)).cast("B"))
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"gradctl ingest ended with {process.returncode}")
        done = json.loads(output.splitlines()[-1])
        self.rows[checkpoint] = self.rows.get(checkpoint, 0) + done["rows"]
        self.bytes += done["bytes"]

    def bytes_per_row(self):
        """What all blocks take, headers and checksums included."""
        return self.bytes / sum(self.rows.values())

    def scores(self, queries, measure, checkpoint="c"):
        """[queries, rows] of f32 [queries, dims]."""
        file = self.path.with_name("queries.npy")
        np.save(file, queries)
        count = self.rows[checkpoint]
        found = np.full((len(queries), count), np.nan)
        for hit in self.run("query", f"SELECT id FROM t SCORE {measure} TO '{file}' "
                                     f"ACROSS '{checkpoint}' WEIGHT 1 TOP {count}"):
            # A single query vector has no number.
            place = hit["query"].rsplit("[", 1)
            found[int(place[1][:-1]) if len(place) > 1 else 0, hit["id"]] = hit["score"]
        if np.isnan(found).any():
            raise SystemExit("gradctl left rows out")
        return found
