"""What a database holds that no snapshot has (format-spec/versions.md): all that a clean-up must remove.

`left` returns one line for each thing. After a `gc` there is none; before it, what there is says
what the `gc` must count.
"""

import struct

import values
import versions


class Garbage:
    """Of one table: `documents` by kind, `emptied` segments, `rows` (numbers), `containers`, and `others`
    (texts)."""

    def __init__(self, database, name: str):
        self.table = table = database.table(name)
        self.store, self.number = database.store, table.number
        self.snapshots = sorted(table.snapshots)
        hexadecimal, self.documents = f"{table.number:08x}", {}
        self.kept = {}
        for kind in ("segment", "checkpoint", "preconditioner"):
            every = {doc[kind]: doc for key, doc in database.catalog.items()
                     if key.startswith(f"{kind}/{hexadecimal}/")}
            self.kept[kind] = {number: doc for number, doc in every.items()
                               if self._is_had(doc, every)}
            self.documents[kind] = [doc for number, doc in every.items()
                                    if number not in self.kept[kind]]
        # Needed for their rows only: companions have all that is read of them.
        self.emptied = [doc for doc in self.kept["segment"].values()
                        if doc["encodings"] and not self._holds_blocks(doc, doc)]
        self.rows = self._rows(database)
        self.containers = self._containers()
        self.others = [*self._blocks(), *self._row_maps(), *self._preconditioners()]

    def texts(self) -> list[str]:
        found = [f"{kind} {doc[kind]}" for kind, docs in self.documents.items() for doc in docs]
        found += [f"blocks of segment {doc['segment']}" for doc in self.emptied]
        found += [f"row {number}" for number in self.rows]
        found += [f"container {container} of snapshot {snapshot}"
                  for container, snapshot in self.containers]
        return [f"table {self.table.name}: {text}" for text in found + self.others]

    def _is_had(self, document, every):
        """A companion is had where its base is and one of its encodings."""
        if "base" in document:
            base = every.get(document["base"])
            return base is not None and self._holds_blocks(document, base)
        return any(versions.has(document, number) for number in self.snapshots)

    def _holds_blocks(self, document, base):
        """Whether a snapshot that has the base has one of the document's encodings."""
        numbers = {part["encoding"] for part in document["encodings"]}
        encodings = [encoding for layer in self.table.schema["layers"]
                     for encoding in layer["encodings"] if encoding["encoding"] in numbers]
        return any(versions.has(base, number) and versions.has(encoding, number)
                   for number in self.snapshots for encoding in encodings)

    def _rows(self, database):
        """The numbers of rows that no snapshot has, of which something is there."""
        live, there = set(), set()
        for snapshot in self.snapshots:
            at = database.table(self.table.name, snapshot)
            live |= {number for number in range(at.next_row) if at.live[number]}
        prefix = struct.pack(">I", self.number)
        for key, _ in self.store.scan("rows", prefix):
            there.add(int.from_bytes(key[4:], "big"))
        for _, value in self.store.scan("keys", prefix):
            there |= set(values.row_numbers(value))
        for field in [*range(len(self.table.fields)), values.ID_COLUMN]:
            for _, value in self.store.scan("fields", values.column_key(self.number, field)):
                _, first, column = values.column_block(value)
                there |= {first + i for i, cell in enumerate(column) if cell is not None}
        return sorted(there - live)

    def _containers(self):
        every = list(versions.containers(self.store, self.number))
        seen = set()
        for snapshot in self.snapshots:
            seen |= {entry[:2] for entry in versions.seen(every, snapshot).values()}
        return sorted({entry[:2] for entry in every} - seen)

    def _blocks(self):
        for key, _ in self.store.scan("blocks", struct.pack(">I", self.number)):
            _, segment, group, encoding, _ = struct.unpack(">IQIII", key)
            document = self.kept["segment"].get(segment)
            if document is None or group >= document["row_groups"] or encoding not in [
                    part["encoding"] for part in document["encodings"]]:
                yield f"block {key.hex()}"

    def _row_maps(self):
        for key, _ in self.store.scan("fields", struct.pack(">IB", self.number, 2)):
            _, _, segment, group = struct.unpack(">IBQI", key)
            document = self.kept["segment"].get(segment)
            if document is None or "base" in document or group >= document["row_groups"]:
                yield f"row map {key.hex()}"

    def _preconditioners(self):
        for key, _ in self.store.scan("fields", struct.pack(">IB", self.number, 3)):
            if struct.unpack(">IBIII", key)[2] not in self.kept["preconditioner"]:
                yield f"numbers of a preconditioner {key.hex()}"
        for key, _ in self.store.scan("fields", struct.pack(">IB", self.number, 4)):
            _, _, number, segment, _ = struct.unpack(">IBIQI", key)
            if (number not in self.kept["preconditioner"]
                    or segment not in self.kept["segment"]):
                yield f"norms of a preconditioner {key.hex()}"


def left(database) -> list[str]:
    """One line for each thing in the database that no snapshot has."""
    found = [text for name in database.tables() for text in Garbage(database, name).texts()]
    found += [f"{key} {document}" for key, document in database.catalog.items()
              if key.startswith("reservation/") and not document.get("staged")]
    tables = {database.table(name).number for name in database.tables()}
    for family in ("keys", "rows", "fields", "blocks"):
        for key, _ in database.store.scan(family):
            if int.from_bytes(key[:4], "big") not in tables:
                found.append(f"{family}: the key {key.hex()} is of no table")
    return found
