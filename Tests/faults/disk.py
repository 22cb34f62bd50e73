"""A disk as weak as POSIX allows, fed with the calls that a program made.

What a program sees is the live state. What is on the disk is less: of a file its bytes and its size
as of its last fsync, of a directory its names as of the directory's last fsync. Everything since is
pending, and a power failure may keep or lose any of it:

  none    nothing that is pending is kept
  all     everything is: what a killed process leaves
  names   names are kept, bytes are not: a file system that journals its names only
  bytes   the other way round
  sectors, writes    a random half of the pending names, and of the pending bytes a random half of
          the sectors, or of the writes

A rename is kept or lost whole, also between two directories. An fsync that fails has thrown away
what was pending for the file: those bytes can never reach the disk any more, though they can still
be seen.
"""

import os
import random
from pathlib import Path, PurePosixPath

SECTOR = 512
RENAME_EXCHANGE = 2
WEAKNESSES = ("none", "all", "names", "bytes", "sectors", "writes")


class File:
    def __init__(self, content=b""):
        self.live = bytearray(content)
        self.durable = bytes(content)
        # (number, offset, bytes) of writes, (number, size) of truncations.
        self.pending = []

    def write(self, number, offset, data):
        if offset > len(self.live):
            self.live.extend(bytes(offset - len(self.live)))
        self.live[offset : offset + len(data)] = data
        self.pending.append((number, offset, data))

    def truncate(self, number, size):
        resize(self.live, size)
        self.pending.append((number, size))

    def sync(self):
        # What a failed sync has lost stays lost: only what is pending is brought to the disk.
        self.durable = bytes(self.content("all", None))
        self.pending = []

    def lose(self):
        self.pending = []

    def content(self, weakness, coin):
        if weakness in ("none", "names") or not self.pending:
            return self.durable
        if weakness in ("all", "bytes"):
            content = bytearray(self.durable)
            self._apply(content, lambda number, sector: True)
            return content
        whole = weakness == "writes"
        content = bytearray(self.durable)
        self._apply(content, lambda number, sector: coin(number, None if whole else sector))
        return content

    def _apply(self, content, is_kept):
        for change in self.pending:
            if len(change) == 2:
                if is_kept(change[0], None):
                    resize(content, change[1])
                continue
            number, offset, data = change
            end = offset + len(data)
            for sector in range(offset // SECTOR, (end + SECTOR - 1) // SECTOR):
                first, last = max(offset, sector * SECTOR), min(end, (sector + 1) * SECTOR)
                if is_kept(number, sector):
                    resize(content, max(len(content), last))
                    content[first:last] = data[first - offset : last - offset]


class Directory:
    def __init__(self):
        self.live = {}
        self.durable = {}
        # (number, {name: file or None}) in the order of the calls.
        self.pending = []

    def change(self, number, names):
        apply_names(self.live, names)
        self.pending.append((number, names))

    def sync(self):
        for _, names in self.pending:
            apply_names(self.durable, names)
        self.pending = []

    def lose(self):
        """Names stay pending: a file system that cannot write them stops altogether."""

    def names(self, weakness, coin):
        if weakness in ("none", "bytes") or not self.pending:
            return self.durable
        kept = dict(self.durable)
        for number, names in self.pending:
            if weakness in ("all", "names") or coin(number, None):
                apply_names(kept, names)
        return kept


def resize(content, size):
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def apply_names(directory, names):
    for name, file in names.items():
        if file is None:
            directory.pop(name, None)
        else:
            directory[name] = file


class Disk:
    """The disk below one directory, everything there durable when it is first looked at."""

    def __init__(self, root):
        self.root = PurePosixPath(root)
        self.top = self._load(Path(root))
        self.handles = {}
        self.count = 0

    def _load(self, path):
        directory = Directory()
        for entry in os.scandir(path):
            child = self._load(Path(entry)) if entry.is_dir() else File(Path(entry).read_bytes())
            directory.live[entry.name] = directory.durable[entry.name] = child
        return directory

    # MARK: calls

    def begin_process(self):
        """Handles are numbered anew by every process."""
        self.handles = {}

    def apply(self, call):
        """Takes one call of the record."""
        assert call.kind != "?", f"a call that is not modelled: {call.other} {call.path}"
        self.count += 1
        if call.kind == "s" and call.injected:
            self.handles[call.handle].lose()
        elif call.result >= 0:
            getattr(self, {"o": "_look", "O": "_open", "w": "_write", "t": "_truncate",
                           "a": "_allocate", "s": "_sync", "g": "_nothing", "r": "_rename",
                           "l": "_link", "u": "_remove", "d": "_remove", "m": "_make"}[call.kind])(call)  # fmt: skip

    def add(self, directory, name):
        """Takes over what is below a name, in the world that `directory` is: it is durable."""
        parts = PurePosixPath(name).parts
        above = self._find(self.root.joinpath(*parts[:-1]))
        added = self._load(Path(directory) / name)
        above.live[parts[-1]] = above.durable[parts[-1]] = added

    def _find(self, path):
        node = self.top
        for part in PurePosixPath(path).relative_to(self.root).parts:
            node = node.live[part]
        return node

    def _parent(self, path):
        path = PurePosixPath(path)
        return self._find(path.parent), path.name

    def _look(self, call):
        self.handles[call.handle] = self._find(call.path)

    def _open(self, call):
        directory, name = self._parent(call.path)
        if name not in directory.live:
            directory.change(self.count, {name: File()})
        file = directory.live[name]
        if call.flags & os.O_TRUNC and file.live:
            file.truncate(self.count, 0)
        self.handles[call.handle] = file

    def _write(self, call):
        self.handles[call.handle].write(self.count, call.offset, call.data)

    def _truncate(self, call):
        file = self.handles[call.handle]
        if len(file.live) != call.length:
            file.truncate(self.count, call.length)

    def _allocate(self, call):
        keep_size = call.flags & 1
        file, size = self.handles[call.handle], call.offset + call.length
        if not keep_size and size > len(file.live):
            file.truncate(self.count, size)

    def _sync(self, call):
        self.handles[call.handle].sync()

    def _nothing(self, call):
        pass

    def _rename(self, call):
        source, old = self._parent(call.path)
        target, new = self._parent(call.other)
        file = source.live[old]
        other = target.live.get(new)
        if other is file:
            return
        if call.flags & RENAME_EXCHANGE:
            assert source is target, "an exchange between two directories is not modelled"
            source.change(self.count, {old: other, new: file})
        elif source is target:
            source.change(self.count, {old: None, new: file})
        else:
            source.change(self.count, {old: None})
            target.change(self.count, {new: file})

    def _link(self, call):
        target, new = self._parent(call.other)
        target.change(self.count, {new: self._find(call.path)})

    def _remove(self, call):
        directory, name = self._parent(call.path)
        directory.change(self.count, {name: None})

    def _make(self, call):
        directory, name = self._parent(call.path)
        directory.change(self.count, {name: Directory()})

    # MARK: states

    def live(self):
        """What the program sees: {path: bytes, or None for a directory}."""
        return dict(self._walk(self.top, "", lambda d: d.live, lambda f: bytes(f.live)))

    def after_power_failure(self, weakness, seed=0):
        """What is on the disk now."""

        def coin(number, sector):
            return random.Random(f"{seed} {number} {sector}").random() < 0.5

        return dict(
            self._walk(
                self.top,
                "",
                lambda directory: directory.names(weakness, coin),
                lambda file: bytes(file.content(weakness, coin)),
            )
        )

    def _walk(self, directory, prefix, names, content):
        for name, child in sorted(names(directory).items()):
            if isinstance(child, Directory):
                yield prefix + name, None
                yield from self._walk(child, f"{prefix}{name}/", names, content)
            else:
                yield prefix + name, content(child)


def write_state(state, directory):
    """Makes a directory that holds a state of a disk."""
    directory = Path(directory)
    directory.mkdir(parents=True)
    for path, content in state.items():
        if content is None:
            (directory / path).mkdir()
        else:
            (directory / path).write_bytes(content)
    return directory
