"""A RocksDB directory, read without RocksDB: CURRENT, MANIFEST, table files, write-ahead logs.

1. CURRENT names the MANIFEST, a log of version edits. Applied in order they give the column
   families and, for each, its live table files and the log number below which its entries are in
   table files already.
2. Write-ahead logs at or above that number are replayed into memory.
3. A family is read by merging its files and its replayed entries: of equal keys the one with the
   highest sequence number counts, unless it, or a range deletion above it, deletes the key.
"""

import heapq
import itertools
import os

from rocksdb_log import RANGE_DELETION, VALUE, Cursor, batch, records
from rocksdb_table import TableFile

# Tags of a version edit. Those with bit 13 set are length-prefixed and may be skipped.
COMPARATOR, LOG_NUMBER, NEXT_FILE, LAST_SEQUENCE, COMPACT_CURSOR = 1, 2, 3, 4, 5
DELETED_FILE, PREVIOUS_LOG, MIN_LOG_TO_KEEP, NEW_FILE = 6, 9, 10, 103
FAMILY, FAMILY_ADD, FAMILY_DROP, MAX_FAMILY, IN_ATOMIC_GROUP = 200, 201, 202, 203, 300
SKIPPABLE = 1 << 13
FIELD_END, FIELD_PATH = 1, 65


class Family:
    """A column family: its name, its live files as {number: attached sequence}, its log number."""

    def __init__(self, name):
        self.name, self.files, self.log_number = name, {}, 0
        self.tables, self.memory, self.range_deletions = [], [], []


class Store:
    """An open directory. `families` maps names to families; `scan` and `get` read them."""

    def __init__(self, path: str):
        self.path = path
        by_number = self._read_manifest()
        self.families = {family.name: family for family in by_number.values()}
        self._replay_logs(by_number)
        for family in by_number.values():
            for number, sequence in sorted(family.files.items()):
                table = TableFile(os.path.join(path, f"{number:06d}.sst"), sequence)
                family.tables.append(table)
                family.range_deletions += table.range_deletions
            family.memory.sort(key=_newest_first)

    def close(self):
        for family in self.families.values():
            for table in family.tables:
                table.close()

    def scan(self, name: str, prefix: bytes = b""):
        """(key, value) of the live keys with a prefix, in key order."""
        family = self.families[name]
        sources = [table.entries(prefix) for table in family.tables]
        sources.append(entry for entry in family.memory if entry[0] >= prefix)
        last = None
        for key, sequence, kind, value in heapq.merge(*sources, key=_newest_first):
            if not key.startswith(prefix):
                return
            if key == last:
                continue
            last = key
            if kind == VALUE and not _deleted(family, key, sequence):
                yield key, value
            elif kind not in (0, VALUE, 7):
                raise ValueError(f"family {name} has an entry of unknown type {kind}")

    def get(self, name: str, key: bytes) -> bytes | None:
        family = self.families[name]
        found = [entry for table in family.tables if table.may_have(key)
                 for entry in itertools.takewhile(lambda entry: entry[0] == key, table.entries(key))]
        found += [entry for entry in family.memory if entry[0] == key]
        if not found:
            return None
        _, sequence, kind, value = max(found, key=lambda entry: entry[1])
        if kind not in (0, VALUE, 7):
            raise ValueError(f"family {name} has an entry of unknown type {kind}")
        return value if kind == VALUE and not _deleted(family, key, sequence) else None

    def _read(self, name):
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def _read_manifest(self):
        families, group = {}, []
        for record in records(self._read(self._read("CURRENT").decode().strip())):
            edit = _parse_edit(record)
            group.append(edit)
            if edit["remaining"] == 0:
                for member in group:
                    _apply(families, member)
                group = []
        return families

    def _replay_logs(self, families):
        oldest = min(family.log_number for family in families.values())
        names = [name for name in os.listdir(self.path) if name.endswith(".log")]
        for name in sorted(names, key=lambda name: int(name[:-4])):
            number = int(name[:-4])
            if number < oldest:
                continue
            for record in records(self._read(name)):
                for sequence, family_number, kind, key, value in batch(record):
                    family = families.get(family_number)
                    if family is None or number < family.log_number:
                        continue
                    if kind == RANGE_DELETION:
                        family.range_deletions.append((key, value, sequence))
                    else:
                        family.memory.append((key, sequence, kind, value))


def _newest_first(entry):
    return entry[0], -entry[1]


def _deleted(family, key, sequence):
    return any(start <= key < end and sequence < above
               for start, end, above in family.range_deletions)


def _parse_edit(record):
    cursor = Cursor(record)
    edit = {"family": 0, "add": None, "drop": False, "log": None, "remaining": 0,
            "new": {}, "deleted": []}
    while cursor.left():
        tag = cursor.varint()
        if tag in (NEXT_FILE, LAST_SEQUENCE, PREVIOUS_LOG, MIN_LOG_TO_KEEP, MAX_FAMILY):
            cursor.varint()
        elif tag == COMPARATOR:
            if cursor.slice() != b"leveldb.BytewiseComparator":
                raise ValueError("a column family has a comparator of its own")
        elif tag == LOG_NUMBER:
            edit["log"] = cursor.varint()
        elif tag == COMPACT_CURSOR:
            cursor.varint(), cursor.slice()
        elif tag == DELETED_FILE:
            cursor.varint()
            edit["deleted"].append(cursor.varint())
        elif tag == NEW_FILE:
            number, sequence = _new_file(cursor)
            edit["new"][number] = sequence
        elif tag == FAMILY:
            edit["family"] = cursor.varint()
        elif tag == FAMILY_ADD:
            edit["add"] = cursor.slice().decode()
        elif tag == FAMILY_DROP:
            edit["drop"] = True
        elif tag == IN_ATOMIC_GROUP:
            edit["remaining"] = cursor.varint()
        elif tag & SKIPPABLE:
            cursor.slice()
        else:
            raise ValueError(f"the MANIFEST has an edit of unknown type {tag}")
    return edit


def _new_file(cursor):
    """A file's number and its largest sequence number, which is that of all entries of a file
    that was attached whole."""
    _, number, _ = cursor.varint(), cursor.varint(), cursor.varint()  # level, number, bytes
    cursor.slice(), cursor.slice()  # smallest and largest key
    _, largest = cursor.varint(), cursor.varint()
    while (field := cursor.varint()) != FIELD_END:
        cursor.slice()
        if field == FIELD_PATH:
            raise ValueError("a table file lies outside the database's directory")
    return number, largest


def _apply(families, edit):
    number = edit["family"]
    if edit["add"] is not None:
        families[number] = Family(edit["add"])
    elif number == 0 and 0 not in families:
        families[0] = Family("default")
    if edit["drop"]:
        families.pop(number, None)
        return
    family = families[number]
    for deleted in edit["deleted"]:
        family.files.pop(deleted, None)
    family.files.update(edit["new"])
    if edit["log"] is not None:
        family.log_number = max(family.log_number, edit["log"])
