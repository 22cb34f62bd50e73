"""Random histories of a table, and a model of what each of its snapshots holds.

The model knows the words of format-spec/versions.md and nothing of the engine: rows have numbers that are
never used twice, segments hold rows of a checkpoint, encodings and checkpoints come and go.
"""

import copy

import numpy as np

DIMS = {"a": 40, "b": 5000}
ROW_GROUP = 8
ROW_BYTES = {
    "f32": lambda dims: 4 * dims, "f16": lambda dims: 2 * dims, "int8": lambda dims: dims,
    "int4": lambda dims: (dims + 1) // 2, "bit": lambda dims: (dims + 7) // 8,
}
CHECKPOINTS = ["c0", "c1", "c2"]


def block_bytes(rows, codec, dims):
    """Of all blocks of a segment in one encoding (format-spec/block.md)."""
    total, row_bytes = 0, ROW_BYTES[codec](dims)
    for first in range(0, rows, ROW_GROUP):
        count = min(ROW_GROUP, rows - first)
        for slab in range(0, row_bytes, 4096):
            stride = min(4096, row_bytes - slab)
            chunk = max(1, 8192 // stride)
            total += 128 + (16 * count if slab == 0 else 0) + count * stride + 8 * -(-count // chunk)
    return total


class Snapshot:
    """What a snapshot holds. Everything is plain data, so that a copy is the next one's beginning."""

    def __init__(self):
        self.rows = {}  # id: row number
        self.fields = {}  # row number: value
        self.checkpoints = {}  # name: (number, step, weight)
        self.encodings = {}  # number: (layer, codec)
        self.segments = {}  # number: (checkpoint number, rows)
        self.blocks = {}  # (segment, encoding): bytes
        self.vectors = {}  # (row number, checkpoint number): {encoding: what it is}
        self.preconditioners = {}  # number: name

    @property
    def live(self):
        return set(self.rows.values())

    @property
    def live_vectors(self):
        live = self.live
        return {key for key in self.vectors if key[0] in live}

    def content(self, encoding_key):
        """What two snapshots that are equal agree in; `encoding_key` says what of a vector counts."""
        names = {number: name for name, (number, _, _) in self.checkpoints.items()}
        ids = {row: i for i, row in self.rows.items()}
        return (
            {i: self.fields[row] for i, row in self.rows.items()},
            {name: rest for name, (_, *rest) in self.checkpoints.items()},
            sorted(self.encodings.values()),
            {(ids[row], names[c]): sorted(map(encoding_key, (v for k, v in self.vectors[row, c].items()
                                                            if k in self.encodings)))
             for row, c in self.live_vectors},
        )


class TableHistory:
    """Runs commands on table `t` of a database, and keeps the model of every snapshot."""

    def __init__(self, database, files, seed):
        self.random = np.random.default_rng(seed)
        self.database, self.files = database, files
        layers = [f"a:{DIMS['a']}:f32", f"b:{DIMS['b']}:int8+bit"]
        database.create("t", layers, ["n:int"], row_group=ROW_GROUP)
        empty = Snapshot()
        empty.encodings = {0: ("a", "f32"), 1: ("b", "int8"), 2: ("b", "bit")}
        self.snapshots = {0: empty}
        self.numbers = {"row": 0, "checkpoint": 0, "encoding": 3, "segment": 0, "preconditioner": 0}
        self.compacted = False
        self.log = []

    @property
    def newest(self):
        return self.snapshots[max(self.snapshots)]

    def take(self, kind):
        self.numbers[kind] += 1
        return self.numbers[kind] - 1

    def step(self, operations):
        """Runs one random operation; some change nothing and make no snapshot."""
        name = self.random.choice(operations)
        before = copy.deepcopy(self.newest)
        made = getattr(self, name)(before)
        if made is not None:
            assert made == max(self.snapshots) + 1
            self.snapshots[made] = before
        self.log.append((name, made))

    def ingest(self, state):
        name = str(self.random.choice(CHECKPOINTS))
        known = state.checkpoints.get(name)
        present = {row for row, c in state.live_vectors if known and c == known[0]}
        ids = [f"r{i}" for i in self.random.permutation(40) if state.rows.get(f"r{i}") not in present]
        ids = ids[: int(self.random.integers(1, 25))]
        if not ids:
            return None
        if known is None:
            known = (self.take("checkpoint"), int(self.random.integers(3)), float(self.random.integers(1, 3)))
            state.checkpoints[name] = known
        # Few different vectors, so that what was deleted may come again as it was.
        tokens = self.random.integers(0, 2, len(ids)).tolist()
        metadata = []
        segment = self.take("segment")
        for i, token in zip(ids, tokens):
            if i not in state.rows:
                state.rows[i] = self.take("row")
                state.fields[state.rows[i]] = int(self.random.integers(2))
            metadata.append({"id": i, "n": state.fields[state.rows[i]]})
            state.vectors[state.rows[i], known[0]] = {
                e: (token, codec) for e, (_, codec) in state.encodings.items()}
        state.segments[segment] = (known[0], len(ids))
        for e, (layer, codec) in state.encodings.items():
            state.blocks[segment, e] = block_bytes(len(ids), codec, DIMS[layer])
        vectors = {
            layer: np.stack([np.random.default_rng([int(i[1:]), token]).standard_normal(dims)
                             for i, token in zip(ids, tokens)]).astype(np.float32)
            for layer, dims in DIMS.items()
        }
        acknowledged = self.database.ingest(
            "t", self.files.tensors("v.safetensors", vectors), checkpoint=name, step=known[1],
            weight=known[2], metadata=self.files.metadata("m.jsonl", metadata))
        return acknowledged["snapshot"]

    def delete(self, state):
        ids = [i for i in state.rows if self.random.random() < 0.25]
        if not ids:
            return None
        file = self.files.write("ids.txt", "\n".join(ids) + "\n")
        line = self.database.json("delete", "t", "--ids", file).line
        assert line["deleted"] == len(ids)
        for i in ids:
            del state.rows[i]
        return line["snapshot"]

    def restore(self, state):
        number = int(self.random.choice(list(self.snapshots)))
        state.__dict__ = copy.deepcopy(self.snapshots[number]).__dict__
        return self.database.json("restore", "t", "--to", number).line["snapshot"]

    def recode(self, state):
        layer = str(self.random.choice(list(DIMS)))
        codec = str(self.random.choice(["f32", "f16", "int8", "int4", "bit"]))
        beside = bool(self.random.integers(2))
        mine = {e: c for e, (of, c) in state.encodings.items() if of == layer}
        if codec in mine.values():
            if beside or len(mine) == 1:
                return None
            for e, c in mine.items():
                if c != codec:
                    del state.encodings[e]
        else:
            finest = min(mine, key=lambda e: list(ROW_BYTES).index(mine[e]))
            new = self.take("encoding")
            for kinds in state.vectors.values():
                if finest in kinds:
                    kinds[new] = (*kinds[finest], codec)
            # A companion for each segment.
            for segment, (_, rows) in state.segments.items():
                self.take("segment")
                state.blocks[segment, new] = block_bytes(rows, codec, DIMS[layer])
            if not beside:
                for e in mine:
                    del state.encodings[e]
            state.encodings[new] = (layer, codec)
        return self.database.recode("t", codec, layer=layer, beside=beside)["snapshot"]

    def precondition(self, state):
        if not state.checkpoints:
            return None
        newest = max(number for number, _, _ in state.checkpoints.values())
        if sum(c == newest for _, c in state.live_vectors) == 0:
            return None
        number = self.take("preconditioner")
        name = f"p{number % 3}"
        if name in state.preconditioners.values():
            return None
        state.preconditioners[number] = name
        return self.database.json(
            "precondition", "t", "--name", name, "--kind", "diagonal", "--layers", "a").line["snapshot"]

    def unprecondition(self, state):
        if not state.preconditioners:
            return None
        number = min(state.preconditioners)
        name = state.preconditioners.pop(number)
        return self.database.json("precondition", "t", "--name", name, "--remove").line["snapshot"]

    def tag(self, state):
        number = int(self.random.choice(list(self.snapshots)))
        if number > 0:
            self.database.json("tag", "t", f"tag{len(self.log)}", number)

    def compact(self, state):
        """Nothing that a snapshot holds changes; which segments hold it, the model does not know."""
        line = self.database.json("compact", "t", *(["--all"] if self.random.integers(2) else [])).line
        self.compacted = True
        return line["snapshot"] if line["snapshot"] > max(self.snapshots) else None
