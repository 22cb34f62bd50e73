"""Runs gradctl, and writes the files that it reads: for the maker of the golden files, and tests.

The reader itself uses none of this.
"""

import json
import os
import struct
import subprocess

import numpy as np

DTYPES = {"float32": "F32", "float16": "F16"}


def path() -> str:
    """The program: $GRADCTL, or the release build of this repository."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    return os.environ.get("GRADCTL", os.path.join(root, ".build", "release", "gradctl"))


def run(db, *arguments, script: str | None = None) -> list:
    """The JSON that a command prints, one item per line; `script` goes to its standard input."""
    command = [path(), *map(str, arguments), "--db", str(db), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, input=script)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def answers(db, statements, parameters=None) -> list[list[dict]]:
    """The result rows of each statement, in one run."""
    options = [part for name, file in (parameters or {}).items()
               for part in ("--param", f"{name}={file}")]
    script = "".join(statement + ";\n" for statement in statements)
    return run(db, "query", "-", "--format", "json", *options, script=script)


def write_safetensors(file, tensors: dict):
    header, data = {}, b""
    for name, array in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": array.shape,
                        "data_offsets": offsets}
        data += np.ascontiguousarray(array).tobytes()
    text = json.dumps(header).encode()
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def write_metadata(file, ids, fields=None):
    """JSON Lines: `fields` is one dict per id, without the fields that are NULL."""
    with open(file, "w") as out:
        for i, row_id in enumerate(ids):
            out.write(json.dumps({"id": row_id} | (fields[i] if fields else {})) + "\n")


def ingest(db, table, folder, tensors, checkpoint, ids=None, fields=None, options=()):
    """Ingests arrays {layer: [rows, dims]} through files in `folder`."""
    gradients, metadata = os.path.join(folder, "in.safetensors"), os.path.join(folder, "in.jsonl")
    write_safetensors(gradients, tensors)
    arguments = [table, gradients, "--checkpoint", checkpoint, *options]
    if ids is not None:
        write_metadata(metadata, ids, fields)
        arguments += ["--metadata", metadata]
    return run(db, "ingest", *arguments)[0]
