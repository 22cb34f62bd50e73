"""A database directory, read-only: the catalog, tables, and what a snapshot of a table holds.

A deleted row keeps its number: columns have a place for it, while records, vectors and scores are
of the rows that the snapshot has.

Nothing here knows RocksDB's files (rocksdb_store.py) or a value's bytes (values.py, block.py).
"""

import json
import os
import re

import numpy as np

import values
import versions
from block import CODEC_NUMBERS, SLAB_BYTES, Block, row_bytes
from codec import Encoded, decode, encode_rows, join, no_rows, unpack
from preconditioner import Preconditioner
from rocksdb_store import Store

FORMAT_VERSION = 1
FAMILIES = {"default", "catalog", "keys", "rows", "fields", "blocks"}


class Database:
    """`catalog` is every document by its key; `table` opens one table at a snapshot."""

    def __init__(self, path: str):
        self.path = path
        if not os.path.exists(os.path.join(path, "CURRENT")):
            raise FileNotFoundError(f"there is no database at {path}")
        self.store = Store(path)
        unknown = set(self.store.families) - FAMILIES
        if unknown:
            raise ValueError(f"format too new: column families {sorted(unknown)}")
        self.catalog = {
            key.decode(): json.loads(value) for key, value in self.store.scan("catalog")
        }
        about = self.catalog["database"]
        if about["format"] != "graddb":
            raise ValueError("not a GradDB database")
        if about["format_version"] > FORMAT_VERSION or about["reader_features"]:
            raise ValueError("format too new")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.store.close()

    def tables(self) -> list[str]:
        return [key[len("table/") :] for key in self.catalog if key.startswith("table/")]

    def table(self, name: str, snapshot: int | None = None) -> "Table":
        if f"table/{name}" not in self.catalog:
            raise KeyError(f"there is no table {name}")
        return Table(self, self.catalog[f"table/{name}"], snapshot)


class Table:
    """A table at one snapshot (the newest by default).

    `live` says of each row number below `next_row` whether the snapshot has the row; `rows` is how
    many it has. `layers` are the schema's, each with `encoding` and `codec` of its finest encoding in the
    snapshot; wherever a layer is taken, one of `encodings` can be given instead.
    """

    def __init__(self, database: Database, schema: dict, snapshot: int | None):
        self.store, self.schema = database.store, schema
        self.catalog = database.catalog
        self.number, self.name = schema["table"], schema["name"]
        self.fields = schema["fields"]
        hexadecimal = f"{self.number:08x}"
        catalog = self.catalog

        def documents(kind, key):
            pattern = re.compile(f"{kind}/{hexadecimal}/({key})")
            found = [(pattern.fullmatch(name), document) for name, document in catalog.items()]
            return [(match[1], document) for match, document in found if match]

        self.head = catalog[f"head/{hexadecimal}"]
        self.tags = {name: doc["snapshot"] for name, doc in documents("tag", ".+")}
        self.snapshots = {doc["snapshot"]: doc for _, doc in documents("snapshot", "[0-9a-f]{16}")}
        self.snapshot = self.head["snapshot"] if snapshot is None else snapshot
        if self.snapshot not in {0, *self.snapshots}:
            raise KeyError(f"table {self.name} has no snapshot {self.snapshot}")
        self.document = self.snapshots.get(self.snapshot, {"next_row": 0, "deleted": 0})
        self.next_row = self.document["next_row"]
        self.live = np.ones(self.next_row, bool)
        if self.document["deleted"]:
            self.live = ~versions.deleted_rows(self.store, self.number, self.snapshot, self.next_row)
        self.rows = int(self.live.sum())

        def had(kind, key):
            return [doc for _, doc in documents(kind, key) if versions.has(doc, self.snapshot)]

        self.checkpoints = {doc["name"]: doc for doc in had("checkpoint", "[0-9a-f]{8}")}
        self.preconditioners = {doc["name"]: doc for doc in had("preconditioner", "[0-9a-f]{8}")}
        self.layers = [self.encodings(layer)[0] for layer in schema["layers"]]
        every = [doc for _, doc in documents("segment", "[0-9a-f]{16}")]
        self.segments = [doc for doc in every
                         if "base" not in doc and versions.has(doc, self.snapshot)]
        # A companion is there for its base, and for its encodings; its own ranges say nothing.
        bases = {doc["segment"] for doc in self.segments}
        numbers = {encoding["encoding"] for layer in schema["layers"]
                   for encoding in self.encodings(layer)}
        self.companions = [doc for doc in every if doc.get("base") in bases
                           and numbers & {part["encoding"] for part in doc["encodings"]}]

    def encodings(self, layer: dict, snapshot: int | None = None) -> list[dict]:
        """The layer in each encoding that the snapshot (this one by default) has, finest first."""
        snapshot = self.snapshot if snapshot is None else snapshot
        found = [encoding for encoding in layer["encodings"] if versions.has(encoding, snapshot)]
        found.sort(key=lambda encoding: CODEC_NUMBERS[encoding["codec"]])
        return [layer | encoding for encoding in found]

    def holder(self, segment: dict, layer: dict) -> dict:
        """The document of the segment that has the blocks: `segment` or a companion of it."""
        found = [doc for doc in [segment, *self.companions]
                 if segment["segment"] in (doc["segment"], doc.get("base"))
                 and layer["encoding"] in [part["encoding"] for part in doc["encodings"]]]
        if len(found) != 1:
            raise ValueError(f"segment {segment['segment']} has encoding {layer['encoding']} "
                             f"{len(found)} times")
        return found[0]

    def layer(self, name: str) -> dict:
        return next(layer for layer in self.layers if layer["name"] == name)

    def preconditioner(self, name: str) -> Preconditioner:
        return Preconditioner(self, self.preconditioners[name])

    def newest_checkpoint(self) -> str:
        return max(self.checkpoints.values(), key=lambda doc: doc["checkpoint"])["name"]

    def raw_records(self):
        """(row number, id, row record) of every row."""
        prefix = values.row_key(self.number, 0)[:4]
        for key, value in self.store.scan("rows", prefix):
            number = int.from_bytes(key[4:], "big")
            if number < self.next_row and self.live[number]:
                yield number, values.row_record(value)[0], value

    def records(self):
        """(row number, id, {field name: value or None}) of every row, from the row records."""
        for number, row_id, value in self.raw_records():
            _, found = values.row_record(value)
            yield number, row_id, {
                field["name"]: found.get(i) for i, field in enumerate(self.fields)
            }

    def find(self, row_id) -> int | None:
        """The row number of an id, from the family `keys`."""
        value = self.store.get("keys", values.id_key(self.number, row_id))
        numbers = [] if value is None else values.row_numbers(value)
        found = [number for number in numbers if number < self.next_row and self.live[number]]
        if len(found) > 1:
            raise ValueError(f"the id {row_id!r} is that of several rows: {found}")
        return found[0] if found else None

    def column(self, name: str) -> list:
        """A field of every row number below `next_row`, from its column; `id` is the ids. Rows that
        are deleted have their values until they are forgotten, then None."""
        if name == "id":
            number = values.ID_COLUMN
            type_name = self.head.get("id_type", "int")
        else:
            number = [field["name"] for field in self.fields].index(name)
            type_name = self.fields[number]["type"]
        prefix, column = values.column_key(self.number, number), []
        for key, value in self.store.scan("fields", prefix):
            kind, first_row, block = values.column_block(value)
            if kind != values.TYPE_NUMBERS[type_name]:
                raise ValueError(f"column {name} is not of its type")
            if first_row != len(column) or key != prefix + first_row.to_bytes(8, "big"):
                raise ValueError(f"column {name} has a gap")
            column += block
        if len(column) < self.next_row:
            raise ValueError(f"column {name} is too short")
        return column[: self.next_row]

    def checkpoint_segments(self, checkpoint: str) -> list[dict]:
        number = self.checkpoints[checkpoint]["checkpoint"]
        return [segment for segment in self.segments if segment["checkpoint"] == number]

    def row_map(self, segment: int, group: int) -> list[int]:
        value = self.store.get("fields", values.row_map_key(self.number, segment, group))
        if value is None:
            raise ValueError(f"segment {segment}, row group {group} has no row map")
        return values.row_map(value)

    def _block_key(self, segment, group, layer, slab):
        holder = self.holder(segment, layer)["segment"]
        return values.block_key(self.number, holder, group, layer["encoding"], slab)

    def block(self, segment: dict, group: int, layer: dict, slab: int) -> bytes:
        """The raw bytes of a block, verified by `encoded_group`, not here."""
        key = self._block_key(segment, group, layer, slab)
        value = self.store.get("blocks", key)
        if value is None:
            raise ValueError(f"block {key.hex()} is missing")
        return value

    def encoded_group(self, segment: dict, group: int, layer: dict) -> Encoded:
        """The rows of a row group in one layer, deleted ones too, put together from its slabs."""
        rows = segment["rows_per_group"]
        if group == segment["row_groups"] - 1:
            rows = segment["rows"] - group * rows
        slabs = []
        for slab in range(-(-row_bytes(layer["codec"], layer["dims"]) // SLAB_BYTES)):
            block = Block(self.block(segment, group, layer, slab))
            key = self._block_key(segment, group, layer, slab)
            if block.key() != key:
                raise ValueError(f"block {key.hex()} says that it is another")
            block.check_place(layer["dims"], layer["codec"], rows)
            slabs.append(block)
        stored = np.concatenate([slab.rows for slab in slabs], axis=1)
        return Encoded(unpack(layer["codec"], layer["dims"], stored), slabs[0].scales,
                       slabs[0].squared_norms, slabs[0].residual_norms)

    def decoded_group(self, segment: dict, group: int, layer: dict) -> np.ndarray:
        """The rows of a row group in one layer, deleted ones too, decoded, f32 [n, dims]."""
        return decode(layer["codec"], int(layer["seed"], 16),
                      self.encoded_group(segment, group, layer))

    def encoded(self, checkpoint: str, layer: dict):
        """(row numbers, rows as stored) of one checkpoint and layer, in stored order."""
        numbers, groups = [], [no_rows(layer["codec"], layer["dims"])]
        for segment in self.checkpoint_segments(checkpoint):
            for group in range(segment["row_groups"]):
                rows = np.array(self.row_map(segment["segment"], group))
                kept = np.flatnonzero(self.live[rows])
                numbers += rows[kept].tolist()
                groups.append(self.encoded_group(segment, group, layer).take(kept))
        return numbers, join(groups)

    def encode_given(self, layer: dict, snapshot: int, rows) -> Encoded:
        """Rows [n, dims] as they must be stored in an encoding, after all recodes until it was
        added, if the ingest that made `snapshot` was given them."""
        seed, added = int(layer["seed"], 16), layer["snapshots"][0][0]
        if added > snapshot:
            finest = self.encodings(layer, added - 1)[0]
            rows = decode(finest["codec"], seed, self.encode_given(finest, snapshot, rows))
        return encode_rows(layer["codec"], seed, rows)

    def vectors(self, checkpoint: str, layer: dict):
        """(row numbers, decoded vectors f32 [n, dims]) of one checkpoint and layer."""
        numbers, rows = self.encoded(checkpoint, layer)
        return numbers, decode(layer["codec"], int(layer["seed"], 16), rows)
