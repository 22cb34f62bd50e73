"""Named points of operations: calls that a step makes, by what they are for.

A point is a kind of call on a path below the database, counted from the step's beginning, or from
its end with a negative number."""

from dataclasses import dataclass
from fnmatch import fnmatch

import calls
from calls import Match


@dataclass(frozen=True)
class Point:
    name: str
    step: str
    kinds: str
    path: str
    other: str = "*"
    which: int = 1

    def match(self, taken):
        """As the library counts it; None where the step does not come by."""
        found = sum(
            call.kind in self.kinds
            and fnmatch(call.path, self._glob(self.path))
            and fnmatch(call.other, self._glob(self.other))
            for call in calls.numbered(taken.calls)
        )
        k = self.which if self.which > 0 else found + 1 + self.which
        if not 1 <= k <= found:
            return None
        return Match(self.kinds, self._glob(self.path), self._glob(self.other), k)

    @staticmethod
    def _glob(path):
        if path == "*":
            return path
        return f"*/{path}" if path.startswith(("backups", "t.gdba")) else f"*/runs/{path}"

    def __str__(self):
        return f"{self.step}: {self.name}"


LOG, TABLE = "db/[0-9]*.log", "db/[0-9]*.sst"
STAGED, RANK = "db/staged/*", "db/staged/*/rank-*"

POINTS = [
    Point("make aside: mkdir", "init", "m", "db.making-*"),
    Point("manifest: write", "init", "w", "db.making-*/MANIFEST-*"),
    Point("manifest: rename of CURRENT", "init", "r", "*", "db.making-*/CURRENT"),
    Point("catalog: write to the log", "init", "w", "db.making-*/*.log"),
    Point("make aside: rename into place", "init", "r", "db.making-*", "db"),
    Point("open: write of the manifest", "create", "w", "db/MANIFEST-*"),
    Point("open: sync of the manifest", "create", "s", "db/MANIFEST-*"),
    Point("open: write of CURRENT", "create", "w", "db/*.dbtmp"),
    Point("open: rename of CURRENT", "create", "r", "*", "db/CURRENT"),
    Point("open: removal of the old manifest", "create", "u", "db/MANIFEST-*"),
    Point("publish: write to the log", "create", "w", LOG),
    Point("publish: sync of the log", "create", "s", LOG),
    Point("flush: write of a table file", "create", "w", TABLE),
    Point("flush: sync of a table file", "create", "s", TABLE),
    Point("flush: write of the manifest", "create", "w", "db/MANIFEST-*", which=-1),
    Point("flush: removal of the log", "create", "u", LOG),
    Point("reserve: write to the log", "ingest", "w", LOG),
    Point("reserve: sync of the log", "ingest", "s", LOG),
    Point("staging: mkdir", "ingest", "m", "db/staging/*"),
    Point("staging: write of a table file", "ingest", "w", "db/staging/*.sst"),
    Point("staging: sync of a table file", "ingest", "s", "db/staging/*.sst"),
    Point("attach: link of a table file into the database", "ingest", "l", "db/staging/*", TABLE),
    Point("attach: sync of a table file", "ingest", "s", TABLE),
    Point("attach: removal of the staged name", "ingest", "u", "db/staging/*.sst"),
    Point("publish: write to the log", "ingest", "w", LOG, which=-1),
    Point("publish: sync of the log", "ingest", "s", LOG, which=-1),
    Point("flush: new log", "ingest", "O", LOG, which=-1),
    Point("flush: write of the last table file", "ingest", "w", TABLE, which=-1),
    Point("flush: sync of the manifest", "ingest", "s", "db/MANIFEST-*", which=-1),
    Point("tidy: removal of staging", "ingest", "d", "db/staging/*"),
    Point("publish: write to the log", "ingest-raw", "w", LOG, which=-1),
    Point("publish: write to the log", "tag", "w", LOG),
    Point("attach: link of a table file into the database", "recode", "l", "db/staging/*", TABLE, -1),
    Point("publish: write to the log", "recode", "w", LOG, which=-1),
    Point("reserve: write to the log", "precondition", "w", LOG),
    Point("numbers: write to the log", "precondition", "w", LOG, which=-2),
    Point("publish: write to the log", "precondition", "w", LOG, which=-1),
    Point("begin: write to the log", "stage-0", "w", LOG),
    Point("begin: mkdir", "stage-0", "m", f"{STAGED}.tmp"),
    Point("begin: write of the document", "stage-0", "w", f"{STAGED}/ingest.json"),
    Point("begin: rename into place", "stage-0", "r", f"{STAGED}.tmp", STAGED),
    Point("rank: write of a table file", "stage-0", "w", f"{RANK}/*.sst"),
    Point("rank: sync of a table file", "stage-0", "s", f"{RANK}/*.sst"),
    Point("rank: write of the records", "stage-0", "w", f"{RANK}/*.rows"),
    Point("journal: write of a pair's line", "stage-0", "w", f"{RANK}/journal"),
    Point("journal: sync of a pair's line", "stage-0", "s", f"{RANK}/journal", which=-2),
    Point("journal: write of the last line", "stage-1", "w", f"{RANK}/journal", which=-1),
    Point("journal: sync of the last line", "stage-1", "s", f"{RANK}/journal", which=-1),
    Point("mark: write to the log", "commit", "w", LOG),
    Point("attach: link of a rank's file", "commit", "l", f"{RANK}/*.sst", "db/staging/*", -1),
    Point("attach: link of a table file into the database", "commit", "l", "db/staging/*", TABLE, -1),
    Point("publish: write to the log", "commit", "w", LOG, which=-1),
    Point("publish: sync of the log", "commit", "s", LOG, which=-1),
    Point("remove: rename of what was staged", "commit", "r", STAGED, f"{STAGED}.tmp"),
    Point("remove: removal of a journal", "commit", "u", f"{RANK}/journal"),
    Point("publish: write to the log", "untag", "w", LOG),
    Point("publish: write to the log", "delete", "w", LOG, which=-1),
    Point("attach: link of a table file into the database", "compact", "l", "db/staging/*", TABLE, -1),
    Point("publish: write to the log", "compact", "w", LOG, which=-1),
    Point("publish: sync of the log", "restore", "s", LOG, which=-1),
    Point("publish: write to the log", "expire", "w", LOG),
    Point("reserve: write to the log", "gc", "w", LOG),
    Point("removal of a segment's table file", "gc", "u", TABLE),
    Point("rewriting: write of a table file", "gc", "w", TABLE, which=-1),
    Point("rewriting: removal of a table file", "gc", "u", TABLE, which=-1),
    Point("rewriting: sync of the manifest", "gc", "s", "db/MANIFEST-*", which=-1),
    Point("making the directory: mkdir", "backup", "m", "backups*"),
    Point("object: write", "backup", "w", "backups/partial/*"),
    Point("object: sync", "backup", "s", "backups/partial/*"),
    Point("object: rename into place", "backup", "r", "*", "backups/objects/*"),
    Point("object: sync of its directory", "backup", "s", "backups/objects/*"),
    Point("manifest: write", "backup", "w", "backups/partial/*", which=-1),
    Point("manifest: rename into place", "backup", "r", "*", "backups/backups/*.jsonl"),
    Point("manifest: sync of its directory", "backup", "s", "backups/backups", which=-1),
    Point("object: rename into place", "backup-again", "r", "*", "backups/objects/*"),
    Point("manifest: rename into place", "backup-again", "r", "*", "backups/backups/*.jsonl"),
    Point("removal of a manifest", "prune", "u", "backups/backups/*"),
    Point("sync of the manifests' directory", "prune", "s", "backups/backups"),
    Point("removal of an object", "prune", "u", "backups/objects/*"),
    Point("catalog: write to the log", "backup-restore", "w", "restored.restoring/*.log", which=-1),
    Point("attach: link of a table file", "backup-restore", "l", "*", "restored.restoring/*.sst"),
    Point("rename into place", "backup-restore", "r", "restored.restoring", "restored"),
    Point("write of the archive", "export", "w", "t.gdba*"),
    Point("rename into place", "export", "r", "t.gdba.*", "t.gdba"),
    Point("publish: write to the log", "import", "w", LOG, which=-1),
    Point("begin: mkdir", "repair", "m", "worn.repairing-*"),
    Point("begin: write of the mark", "repair", "O", "worn.repairing-*/repairing"),
    Point("catalog: write to the log", "repair", "w", "worn.repairing-*/*.log"),
    Point("blocks: second name of a table file", "repair", "l", "worn/*.sst", "worn.repairing-*"),
    Point("blocks: write of a table file", "repair", "w", "worn.repairing-*/staging/*.sst"),
    Point("publish: write to the log", "repair", "w", "worn.repairing-*/*.log", which=-1),
    Point("staged: second name of a journal", "repair", "l", "worn/staged/*/journal", "worn.repairing-*"),
    Point("exchange", "repair", "r", "worn.repairing-*", "worn"),
    Point("set aside: removal of a journal", "repair", "u", "worn.repairing-*/staged/*/journal"),
    Point("set aside: rename", "repair", "r", "worn.repairing-*", "worn.damaged-*"),
    Point("end: removal of the mark", "repair", "u", "worn/repairing"),
]
