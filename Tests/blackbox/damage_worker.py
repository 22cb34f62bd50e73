"""Damages a copy of a database and asks it everything, again and again, in one process.

Started by damage.py. Arguments: the library, the copy. Each line of standard input is a damage, as
JSON; the answer is a line with what came of it. The file is as before afterwards.
"""

import hashlib
import json
import os
import resource
import sys
from pathlib import Path

from library import Library, Refused

STATEMENTS = [
    "SELECT row, source, tokens FROM t SCORE cosine TO ROW 'x3' TOP 200",
    "SELECT row FROM t SCORE dot TO ROW 'x3' WHERE source = 'a' TOP 20 BOTTOM 20",
    "SELECT row FROM t AT 'first' SCORE dot TO ROW 'x7' ACROSS 'c' WEIGHT 1 TOP 200",
    "SELECT row FROM t SCORE dot TO ROW 'x70' LAYERS 'b' PRECONDITION p TOP 50",
    "SELECT row FROM t SCORE cosine TO ROWS WHERE tokens < 9 MEAN LAYERS 'a' TOP 10 CONFIDENCE 0.99",
]
# A block of memory that is twice as large as all that a sound database needs.
MEMORY_BYTES = 2 << 30


def asked(library, path):
    """What each question is answered: a hash, or the kind of the error."""

    def outcome(ask):
        try:
            return hashlib.sha256(ask()).hexdigest()
        except Refused as refused:
            return refused.kind

    try:
        handle = library.open(path)
    except Refused as refused:
        return [refused.kind]
    with handle:
        return [outcome(lambda: handle.query(statement)) for statement in STATEMENTS] + [
            outcome(lambda: handle.table(what, "t")) for what in ("info", "snapshots")
        ]


def apply(damage, content):
    """The damaged content of a file; None where it is gone."""
    what, at = damage["what"], damage["at"]
    if what == "gone":
        return None
    if what == "flip":
        changed = content[at] ^ 1 << damage["bit"]
        return content[:at] + bytes([changed]) + content[at + 1 :]
    if what == "cut":
        return content[:at]
    if what == "zero tail":
        return content[:at] + bytes(len(content) - at)
    # A part that never reached the disk, or another one in its place.
    size = min(512, len(content) - at)
    if what == "zero part":
        return content[:at] + bytes(size) + content[at + size :]
    assert what == "other part"
    other = content[damage["from"] :][:size].ljust(size, b"\0")
    return content[:at] + other + content[at + size :]


def main(library, path):
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    library = Library(library)
    path = Path(path)
    print(json.dumps(asked(library, path)), flush=True)
    for line in sys.stdin:
        damage = json.loads(line)
        victim = path / damage["file"]
        content = victim.read_bytes()
        damaged = apply(damage, content)
        if damaged is None:
            victim.unlink()
        else:
            write(victim, damaged)
        print(json.dumps(asked(library, path)), flush=True)
        write(victim, content)


def write(path, content):
    """In the file that there is: a new one would be another file to whoever has it mapped."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(file, len(content))
    os.pwrite(file, content, 0)
    os.close(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
