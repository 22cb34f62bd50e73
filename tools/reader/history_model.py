"""A table's history by its definition: snapshots as immutable states of rows by id.

A `Model` goes through the operations of cli-json.md and makes a `State` for each snapshot. A state
knows its rows, their fields, and their vectors in every encoding that it has, bit for bit: seeds are
documented (XXH3 of the layer's name), and the second reader knows what the codecs make of a vector.
So hashes and scores are exact, and nothing of them comes from a database.

A row is of one number for ever; an id that comes again after its row was deleted is a new row. What
a row decodes to in an encoding is fixed when the encoding is made: of what was given, or by a recode
of what the finest encoding had until then.
"""

import struct
from dataclasses import dataclass, field, replace
from functools import cached_property

import codec
import content
from block import CODEC_NUMBERS
from xxh3 import xxh3

TYPES = {"int": (1, "<q"), "float": (2, "<d"), "bool": (3, "<B")}


class Row:
    """`fields` has the values that are not NULL."""

    def __init__(self, number, row_id, fields, types):
        self.number, self.id = number, row_id
        self.fields = {name: value for name, value in fields.items() if value is not None}
        self.term = xxh3(self._record(types))

    def _record(self, types):
        data = content.id_bytes(self.id)
        for number, (name, kind) in enumerate(types.items()):
            if name not in self.fields:
                continue
            value = self.fields[name]
            if kind == "string":
                text = value.encode()
                data += struct.pack("<IBI", number, 4, len(text)) + text
            else:
                code, form = TYPES[kind]
                data += struct.pack("<IB", number, code) + struct.pack(form, value)
        return data


class Vector:
    """A row's vectors at a checkpoint: `encoded[encoding]` is one row as it is stored."""

    def __init__(self, row_id, checkpoint):
        self.id, self.checkpoint = row_id, checkpoint
        self.encoded, self._terms = {}, {}

    def term(self, encoding):
        """Of the encoding's sum."""
        if encoding not in self._terms:
            (stored,) = content.stored_words(encoding.codec, self.encoded[encoding])
            self._terms[encoding] = content.vector_term(self.id, self.checkpoint, stored)
        return self._terms[encoding]


@dataclass(frozen=True)
class Encoding:
    number: int
    layer: str
    codec: str


@dataclass(frozen=True)
class Checkpoint:
    number: int
    name: str
    step: int | None
    weight: float | None


@dataclass(frozen=True, eq=False)
class State:
    """A snapshot: `rows` by number, `vectors` by (checkpoint's name, row number), both of live rows only.

    It stands in for a table of the second reader where that computes scores: `layers`, `encoded`,
    `find`.
    """

    model: "Model"
    number: int
    parent: int
    operation: str
    message: str
    checkpoint: str | None
    restored: int | None
    next_row: int
    rows: dict
    vectors: dict
    checkpoints: dict
    encodings: dict
    preconditioners: dict = field(default_factory=dict)

    @property
    def deleted(self):
        return self.next_row - len(self.rows)

    @cached_property
    def by_id(self):
        found = {row.id: row for row in self.rows.values()}
        assert len(found) == len(self.rows)
        return found

    @cached_property
    def hash(self):
        records = sum(row.term for row in self.rows.values())
        checkpoints = sum(content.checkpoint_term(c.name, c.step, c.weight)
                          for c in self.checkpoints.values())
        layers = [(name, [(encoding.codec, sum(v.term(encoding) for v in self.vectors.values()))
                          for encoding in self.encodings[name]]) for name in self.model.dims]
        return content.total(records, checkpoints, layers)

    @cached_property
    def held(self):
        """What the hash must tell apart, as a value of Python's."""
        return (
            frozenset((row.id, tuple(sorted(row.fields.items()))) for row in self.rows.values()),
            frozenset((c.name, c.step, c.weight) for c in self.checkpoints.values()),
            tuple((name, tuple((e.codec, frozenset(
                (v.id, v.checkpoint, v.encoded[e].values.tobytes(), v.encoded[e].scales.tobytes())
                for v in self.vectors.values())) for e in self.encodings[name]))
                for name in self.model.dims),
        )

    def newest_checkpoint(self):
        """Its name, or None in a table that has none."""
        return max(self.checkpoints.values(), key=lambda c: c.number).name if self.checkpoints else None

    def at(self, checkpoint):
        """The row numbers that a checkpoint has, ascending."""
        return sorted(number for name, number in self.vectors if name == checkpoint)

    # As a table of the second reader.

    @cached_property
    def layers(self):
        return [{"name": name, "dims": dims, "codec": self.encodings[name][0].codec,
                 "encoding": self.encodings[name][0], "seed": hex(self.model.seed(name))}
                for name, dims in self.model.dims.items()]

    @cached_property
    def _encoded(self):
        return {}

    def encoded(self, checkpoint, layer):
        key = checkpoint, layer["encoding"]
        if key not in self._encoded:
            numbers = self.at(checkpoint)
            found = [self.vectors[checkpoint, n].encoded[layer["encoding"]] for n in numbers]
            empty = codec.no_rows(layer["codec"], layer["dims"])
            self._encoded[key] = numbers, codec.join([empty, *found])
        return self._encoded[key]

    def stored_order(self, checkpoint):
        """The row numbers that a checkpoint has, in the order in which they came."""
        return [number for name, number in self.vectors if name == checkpoint]

    def decoded(self, checkpoint, layer):
        _, rows = self.encoded(checkpoint, layer)
        return codec.decode(layer["codec"], int(layer["seed"], 16), rows)

    def find(self, row_id):
        return self.by_id[row_id].number


class Refused(Exception):
    """What the model would not do, with the exit status that gradctl must say it by."""

    def __init__(self, status):
        self.status = status


class Model:
    """`states` are the snapshots left, by number; `newest` is one of them, or the empty state 0. `every` has
    all rows that there have been; which are forgotten is for whoever cleans up to say."""

    def __init__(self, layers, fields):
        """`layers` maps names to (dims, codecs from the table's making); `fields` names to types."""
        self.dims = {name: dims for name, (dims, _) in layers.items()}
        self.fields = fields
        self._encodings = self._checkpoints = 0
        encodings = {name: self._finest_first([self._encoding(name, kind) for kind in codecs])
                     for name, (_, codecs) in layers.items()}
        self.empty = State(self, 0, 0, "", "", None, None, 0, {}, {}, {}, encodings)
        self.states, self.tags, self.newest, self.times = {}, {}, self.empty, {}
        self.every, self.forgotten = {}, set()

    def seed(self, layer):
        return xxh3(layer.encode())

    def _encoding(self, layer, kind):
        self._encodings += 1
        return Encoding(self._encodings - 1, layer, kind)

    @staticmethod
    def _finest_first(encodings):
        return tuple(sorted(encodings, key=lambda e: CODEC_NUMBERS[e.codec]))

    def _publish(self, operation, tag=None, message="", **changes):
        changes = {"checkpoint": None, "restored": None} | changes
        self.newest = replace(self.newest, number=self.newest.number + 1, parent=self.newest.number,
                              operation=operation, message=message, **changes)
        self.states[self.newest.number] = self.newest
        self.every |= self.newest.rows
        if tag:
            self.tags[tag] = self.newest.number
        return self.newest

    # Operations. Each returns what the acknowledgement must say.

    def ingest(self, checkpoint, ids, fields, vectors, step=None, weight=None, resume=False, tag=None,
               message="", operation="ingest"):
        """`fields` has a dict per id, of those that are given; `vectors[layer]` is [rows, dims]."""
        state = self.newest
        rows, stored, next_row, skipped = dict(state.rows), dict(state.vectors), state.next_row, 0
        known = state.by_id
        if len(set(ids)) != len(ids):
            raise Refused(65)
        coded = {encoding: codec.encode_rows(encoding.codec, self.seed(name), vectors[name])
                 for name in self.dims for encoding in state.encodings[name]}
        for place, row_id in enumerate(ids):
            row = known.get(row_id)
            if row is not None and any(row.fields.get(name) != value
                                       for name, value in fields[place].items() if value is not None):
                raise Refused(65)
            if row is not None and (checkpoint, row.number) in stored:
                if not resume:
                    raise Refused(65)
                skipped += 1
                continue
            if row is None:
                row = rows[next_row] = Row(next_row, row_id, fields[place], self.fields)
                next_row += 1
            vector = stored[checkpoint, row.number] = Vector(row_id, checkpoint)
            vector.encoded = {encoding: rows_.one(place) for encoding, rows_ in coded.items()}
        new, count = next_row - state.next_row, len(ids) - skipped
        if not count:
            return {"snapshot": state.number, "rows": 0, "new_rows": 0, "skipped": skipped}
        checkpoints = dict(state.checkpoints)
        if checkpoint not in checkpoints:
            checkpoints[checkpoint] = Checkpoint(self._checkpoints, checkpoint, step, weight)
            self._checkpoints += 1
        made = self._publish(operation, tag, message, checkpoint=checkpoint, rows=rows,
                             vectors=stored, next_row=next_row, checkpoints=checkpoints)
        return {"snapshot": made.number, "rows": count, "new_rows": new, "skipped": skipped}

    def recode(self, layer, kind, beside=False, tag=None):
        state = self.newest
        old = state.encodings[layer]
        same = [encoding for encoding in old if encoding.codec == kind]
        if same and (beside or len(old) == 1):
            raise Refused(64)
        rows, new = 0, same
        if not same:
            new, seed = [self._encoding(layer, kind)], self.seed(layer)
            for vector in state.vectors.values():
                given = codec.decode(old[0].codec, seed, vector.encoded[old[0]])
                vector.encoded[new[0]] = codec.encode_rows(kind, seed, given)
                rows += 1
        kept = self._finest_first([*new, *(old if beside else [])])
        made = self._publish("recode", tag, encodings=state.encodings | {layer: kept})
        return {"snapshot": made.number, "codecs": [e.codec for e in kept], "rows": rows}

    def delete(self, ids, missing=0, tag=None, message="", dry_run=False):
        """`ids` are of rows that there are."""
        state = self.newest
        gone = {state.by_id[row_id].number for row_id in ids}
        left = len(state.rows) - len(gone)
        if gone and not dry_run:
            state = self._publish(
                "delete", tag, message,
                rows={number: row for number, row in state.rows.items() if number not in gone},
                vectors={key: v for key, v in state.vectors.items() if key[1] not in gone})
        elif tag and not dry_run:
            self.tags[tag] = state.number
        return {"snapshot": state.number, "deleted": len(gone), "missing": missing, "rows": left,
                "dry_run": dry_run}

    def restore(self, number, tag=None, message=""):
        old = self.states[number] if number else self.empty
        made = self._publish(
            "restore", tag, message, restored=number, rows=old.rows, vectors=old.vectors,
            checkpoints=old.checkpoints, encodings=old.encodings,
            preconditioners=old.preconditioners)
        return {"snapshot": made.number, "restored": number, "rows": len(made.rows),
                "hash": made.hash}

    def compact(self, tag=None, message=""):
        """A snapshot of the same content. Whether there is something to do is not the model's to say."""
        return self._publish("compact", tag, message)

    def precondition(self, name, checkpoints):
        """A diagonal one of all layers."""
        made = self._publish(
            "precondition", preconditioners=self.newest.preconditioners
            | {name: {"checkpoints": list(checkpoints), "of": self.newest}})
        return {"snapshot": made.number}

    def remove_preconditioner(self, name):
        left = {n: p for n, p in self.newest.preconditioners.items() if n != name}
        return {"snapshot": self._publish("precondition", preconditioners=left).number}

    def tag(self, name, number):
        self.tags[name] = number

    def untag(self, name):
        del self.tags[name]

    def expire(self, keep_last=None, before=None, dry_run=False):
        """`before` is a time as `times` has them."""
        kept = {self.newest.number, *self.tags.values()}
        if keep_last is not None:
            kept |= set(sorted(self.states)[-keep_last:])
        if before is not None:
            kept |= {number for number, time in self.times.items() if time >= before}
        expired = sorted(set(self.states) - kept)
        left = len(self.states) - len(expired)
        if not dry_run:
            for number in expired:
                del self.states[number]
        return {"expired": expired, "snapshots": left, "dry_run": dry_run}

    def every_row(self):
        """By number, below the newest `next_row`; None for rows that are forgotten."""
        return [None if number in self.forgotten else self.every[number]
                for number in range(self.newest.next_row)]

    def unseen_rows(self):
        """The numbers of rows that no snapshot left has."""
        live = {number for state in self.states.values() for number in state.rows}
        return set(range(self.newest.next_row)) - live
