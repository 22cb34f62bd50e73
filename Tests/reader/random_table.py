"""A random small table, made with gradctl, that remembers what went in."""

import os
import shutil

import codec
import gradctl
import numpy as np

CODECS = ("f32", "f16", "bf16", "int8", "int4", "bit")
DIMS = (1, 2, 7, 9, 16, 63, 64, 100, 1023, 1025, 2049, 4096, 4097, 5000)
# More than 8,192 and 32,768: several slabs of int4 and bit.
LONG_DIMS = {"int4": 8195, "bit": 32777}
TYPES = ("string", "int", "float", "bool")
STRINGS = ("", "alpaca", "dolly", "é\n", "日本", '"')


class RandomTable:
    """`ids` in row order; `fields` by id; `vectors[checkpoint][layer][id]` as given, f32.

    The table `t` of the database in `db`: one layer with each of `codecs`, row groups of three,
    and four ingests for two checkpoints, the second in an order of its own. Between and after them
    layers may be recoded; `codecs` has those of each layer in the end. `ingested` lists for each
    checkpoint (snapshot, number of rows) of its ingests, `complete` is the snapshot of the last.
    """

    def __init__(self, rng, folder, codecs):
        self.rng, self.folder, self.db = rng, str(folder), os.path.join(str(folder), "db")
        dims = [self._dims(kind) for kind in codecs]
        self.layers = {f"l{i}": (int(d), kind) for i, (d, kind) in enumerate(zip(dims, codecs))}
        self.types = {f"f{i}": kind for i, kind in enumerate(rng.permutation(TYPES)[:3])}
        self.weights = {"a": 0.1, "b": 3e-5}
        self.ids, self.fields, self.vectors = [], {}, {"a": {}, "b": {}}
        self.stored_order = {"a": [], "b": []}
        self.codecs = {name: {kind} for name, (_, kind) in self.layers.items()}
        self.ingested, self.snapshot = {"a": [], "b": []}, 0
        count = int(rng.integers(8, 14))
        pool = self._ids(count)
        self._create()
        self._ingest("a", pool[:4])
        self._ingest("a", pool[4 : count - 1])
        self._recode()
        shuffled = [pool[i] for i in rng.permutation(count)]
        self._ingest("b", shuffled[: count // 2])
        self._ingest("b", shuffled[count // 2 :])
        self.complete = self.snapshot
        self._recode()

    def queries(self, count):
        """Query vectors {layer: f32 [count, dims]}."""
        return {name: self._rows(count, dims) for name, (dims, _) in self.layers.items()}

    def given(self, checkpoint, layer):
        """The input vectors of a checkpoint in the order they came, f32."""
        return np.stack([self.vectors[checkpoint][layer][i] for i in self.stored_order[checkpoint]])

    def remove(self):
        shutil.rmtree(self.db)

    def _dims(self, kind):
        if kind in LONG_DIMS and self.rng.random() < 0.2:
            return LONG_DIMS[kind]
        return self.rng.choice([dims for dims in DIMS if dims >= codec.LEAST_DIMS.get(kind, 1)])

    def _ids(self, count):
        if self.rng.random() < 0.5:
            return [f"row {i}" if i else "é" for i in range(count)]
        numbers = [-(2**63), 2**63 - 1, *range(-3, count)]
        return [numbers[i] for i in self.rng.permutation(len(numbers))[:count]]

    def _create(self):
        options = [part for name, (dims, kind) in self.layers.items()
                   for part in ("--layer", f"{name}:{dims}:{kind}")]
        options += [part for name, kind in self.types.items()
                    for part in ("--field", f"{name}:{kind}")]
        gradctl.run(self.db, "init")
        gradctl.run(self.db, "create", "t", *options, "--row-group", 3)

    def _recode(self):
        """Each layer with probability one half, beside what it has or in its place."""
        for name, (dims, _) in self.layers.items():
            possible = [kind for kind in CODECS if dims >= codec.LEAST_DIMS.get(kind, 1)]
            kind, beside = self.rng.choice(possible), self.rng.random() < 0.5
            known = self.codecs[name]
            if self.rng.random() < 0.5 or kind in known and (beside or len(known) == 1):
                continue
            gradctl.run(self.db, "recode", "t", "--layer", name, "--codec", kind,
                        *(["--beside"] if beside else []))
            self.codecs[name] = known | {kind} if beside else {kind}
            self.snapshot += 1

    def _rows(self, count, dims):
        scale = 10.0 ** self.rng.integers(-3, 3)
        return (self.rng.standard_normal((count, dims)) * scale).astype(np.float32)

    def _ingest(self, checkpoint, ids):
        tensors = {name: self._rows(len(ids), dims) for name, (dims, _) in self.layers.items()}
        zero = self.rng.random(len(ids)) < 0.2
        half = self.rng.random() < 0.3
        for name in tensors:
            tensors[name][zero] = 0
            if half:
                tensors[name] = tensors[name].astype(np.float16)
            kept = self.vectors[checkpoint].setdefault(name, {})
            kept.update(zip(ids, tensors[name].astype(np.float32)))
        for row_id in ids:
            self.fields.setdefault(row_id, self._field_values())
        fields = [{k: v for k, v in self.fields[i].items() if v is not None} for i in ids]
        self.ids += [row_id for row_id in ids if row_id not in self.ids]
        self.stored_order[checkpoint] += ids
        self.snapshot += 1
        self.ingested[checkpoint].append((self.snapshot, len(ids)))
        gradctl.ingest(self.db, "t", self.folder, tensors, checkpoint, ids, fields,
                       ["--weight", self.weights[checkpoint]])

    def _field_values(self):
        def value(kind):
            if self.rng.random() < 0.3:
                return None
            if kind == "string":
                return STRINGS[self.rng.integers(len(STRINGS))]
            if kind == "int":
                return int(self.rng.integers(-(2**63), 2**63 - 1))
            if kind == "float":
                return float(self.rng.standard_normal() * 10.0 ** self.rng.integers(-200, 200))
            return bool(self.rng.random() < 0.5)

        return {name: value(kind) for name, kind in self.types.items()}
