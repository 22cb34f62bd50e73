"""GradDB: which training data made the model say this?

An embedded, on-disk database of compressed gradient vectors, and exact dot-product scans over them.

    db = graddb.create("runs/db")
    t = db.create_table("alpaca", layers={"grad": (65536, "bit")}, fields={"source": str})
    t.append(vectors, ids=ids, fields={"source": sources}, checkpoint="step-300")
    r = t.query("SCORE cosine TO $q TOP 10", q=query)
    r.ids, r.scores, r.to_pandas()

Threads may share all objects; calls release the global interpreter lock. A writer takes one call at a
time. A process that is forked may read (it opens the database by itself), but not write where its
parent has: RocksDB's threads stay there. Start writing processes with "spawn".
"""

from ._call import Cancellation
from ._library import library as _c
from .database import Database, create, open
from .errors import (BadInput, Closed, Corrupt, Error, Interrupted, Locked, NotFound, QueryError,
                     StorageError, TooNew)
from .kept import Kept
from .projector import Projector
from .result import Plan, Result
from .table import AppendResult, Checkpoint, Snapshot, Table
from .writer import Taken, Writer, WriterSummary

__version__: str = _c.graddb_version().decode()

__all__ = [
    "AppendResult", "BadInput", "Cancellation", "Checkpoint", "Closed", "Corrupt", "Database",
    "Error", "Interrupted", "Kept", "Locked", "NotFound", "Plan", "Projector", "QueryError", "Result",
    "Snapshot", "StorageError", "Table", "Taken", "TooNew", "Writer", "WriterSummary", "create", "open",
]
