"""Errors, named after the exit codes of format-spec/cli-json.md."""

from __future__ import annotations


class Error(Exception):
    """A failure of the engine: what is wrong, where, and what to do about it.

    `code` is the exit code that `gradctl` would have, `kind` its name.
    """

    code = 1
    kind = "failed"


class NotFound(Error):
    """There is no such database, table, or row."""

    code, kind = 10, "not_found"


class Locked(Error):
    """Another process is writing to the database, and did not stop in time."""

    code, kind = 11, "locked"


class Corrupt(Error):
    """Stored bytes are not what was written."""

    code, kind = 12, "corrupt"


class TooNew(Error):
    """The database was written by a newer format than this version reads."""

    code, kind = 13, "format_too_new"


class QueryError(Error, ValueError):
    """Wrong arguments, query syntax, or an unknown field, layer, checkpoint, snapshot or tag."""

    code, kind = 64, "usage"


class BadInput(Error, ValueError):
    """Vectors, ids or fields are bad: their shape, type, number or content."""

    code, kind = 65, "bad_input"


class StorageError(Error, OSError):
    """The operating system could not read or write; no space left."""

    code, kind = 74, "io"


class Interrupted(Error):
    """The call was cancelled; the database is as it was."""

    code, kind = 130, "interrupted"


class Closed(Error):
    """The database or writer was used after its end."""

    code, kind = 1, "closed"


BY_CODE = {error.code: error for error in (
    Error, NotFound, Locked, Corrupt, TooNew, QueryError, BadInput, StorageError, Interrupted)}
