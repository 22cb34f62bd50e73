"""The second reader (tools/reader) for black-box tests: what it knows of codecs and of content, and what
it finds in a database's files. Import from here, so that it is on the path."""

import sys

from graddb import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools" / "reader"))

import check  # noqa: E402
import codec  # noqa: E402
import content  # noqa: E402
import garbage  # noqa: E402
import scores  # noqa: E402
import xxh3  # noqa: E402
from block import row_bytes  # noqa: E402
from database import Database  # noqa: E402
from history_model import Model, Refused  # noqa: E402

__all__ = ["Database", "Model", "Refused", "check", "codec", "content", "garbage", "problems", "row_bytes",
           "scores", "xxh3"]


def problems(path, table="t", snapshots=None):
    """What the second reader finds wrong with a table, at some snapshots or all."""
    with Database(str(path)) as opened:
        numbers = sorted(opened.table(table).snapshots) if snapshots is None else snapshots
        return [f"snapshot {number}: {problem}" for number in numbers
                for problem in check.problems(opened.table(table, number))]
