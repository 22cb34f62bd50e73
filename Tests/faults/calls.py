"""The C library that stands between gradctl and the file system: building it, telling it what to
do, and reading what it recorded."""

import os
import struct
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "blackbox"))

import graddb  # noqa: E402 (from the directory above)

SOURCE = Path(__file__).with_name("faultfs.c")
WRITES = "w"
HEADER = struct.Struct("<IIQqqqqIIII")


@dataclass(frozen=True)
class Call:
    """One line of the record; `faultfs.c` says what each number is."""

    kind: str
    flags: int
    number: int
    result: int
    handle: int
    offset: int
    length: int
    injected: bool
    path: str
    other: str
    data: bytes

    def __str__(self):
        names = f"{self.path} -> {self.other}" if self.other else self.path
        return f"call {self.number} {KINDS[self.kind]} {names} ({len(self.data)} bytes) = {self.result}"


KINDS = {
    "o": "look", "O": "open", "w": "write", "t": "ftruncate", "a": "fallocate", "s": "sync",
    "g": "sync_file_range", "r": "rename", "l": "link", "u": "unlink", "m": "mkdir", "d": "rmdir",
    "y": "symlink", "?": "foreign",
}  # fmt: skip

# Calls named by what they are, rather than by number: the k-th one of `kinds` whose paths match.
Match = namedtuple("Match", "kinds path other k", defaults=("*", 1))


def build(directory, source=SOURCE):
    """Compiles a library to load into gradctl; None where there is no C compiler."""
    library = Path(directory) / f"{Path(source).stem}.so"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    for compiler in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if not compiler:
            continue
        try:
            command = [compiler, *flags, "-o", library, source, "-ldl", "-lpthread"]
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            continue
        assert done.returncode == 0, done.stderr
        return library
    return None


class Faults:
    """Environments in which gradctl meets what a test wants it to meet."""

    def __init__(self, library):
        self.library = library

    def environment(self, roots, log=None, at=None, match=None, action=None, sticky=False, **changes):
        """`roots` are the directories whose calls count. `action` happens `at` a number or a `match`."""
        if isinstance(roots, (str, os.PathLike)):
            roots = [roots]
        if match is not None:
            match = f"{match.kinds}|{match.path}|{match.other}|{match.k}"
        return graddb.environment(
            LD_PRELOAD=self.library,
            FAULTS_ROOTS=":".join(os.fspath(root) for root in roots),
            FAULTS_LOG=log,
            FAULTS_AT=at,
            FAULTS_MATCH=match,
            FAULTS_ACTION=action,
            FAULTS_STICKY=1 if sticky else None,
            **changes,
        )

    def unsynced(self, roots):
        """For commands that look at what was built: their syncs take no time."""
        return self.environment(roots, FAULTS_NOSYNC=1)


def read(log):
    """The calls of a record, in order."""
    data = Path(log).read_bytes() if Path(log).exists() else b""
    calls, at = [], 0
    while at < len(data):
        kind, flags, number, result, handle, offset, length, injected, *sizes = HEADER.unpack_from(data, at)
        at += HEADER.size
        path, other, payload = (data[at + sum(sizes[:i]):][:size] for i, size in enumerate(sizes))
        at += sum(sizes)
        calls.append(
            Call(chr(kind), flags, number, result, handle, offset, length, bool(injected),
                 path.decode(), other.decode(), payload)
        )  # fmt: skip
    return calls


def numbered(calls):
    return [call for call in calls if call.number]
