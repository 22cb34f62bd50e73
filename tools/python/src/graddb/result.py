"""What statements give back: rows, or a plan."""

from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from . import _library
from ._call import call, library
from ._columns import OutputColumn

if TYPE_CHECKING:
    import pandas
    import pyarrow



SHOWN_ROWS = 20
SHOWN_CHARACTERS = 48


class Result:
    """The rows of an answer: query by query, the top ones before the bottom ones, best first.

    Columns are `query`, `rank`, `end`, `id` and `score`, under BUDGET `score_low`, `score_high` and
    `expected_recall`, under PER LAYER `layer`, then what SELECT names. Under GROUP BY rows are groups,
    and `id` is what a group's rows have in common, of the column's type; None for NULL.
    `result["source"]` is a column, `result[3]` a row.
    """

    def __init__(self, handle: int) -> None:
        self._columns: dict[str, OutputColumn] = {}
        for index in range(library.graddb_result_columns(handle)):
            column = _library.Column()
            call("graddb_result_column", handle, index, ctypes.byref(column))
            output = OutputColumn(column)
            self._columns[output.name] = output
        self._arrays: dict[str, np.ndarray] = {}
        self._length: int = library.graddb_result_rows(handle)
        self.plan = Plan(handle)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    @property
    def ids(self) -> np.ndarray:
        """[rows], int64, or str as objects; of groups their values."""
        return self["id"]

    @property
    def scores(self) -> np.ndarray:
        """[rows], float64."""
        return self["score"]

    def to_numpy(self) -> dict[str, np.ndarray]:
        """All columns by name: int64, float64, bool, or objects (str, and columns with None)."""
        return {name: self[name] for name in self._columns}

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow table: int64, double, bool, large_string."""
        import pyarrow as pa

        return pa.table({name: column.arrow() for name, column in self._columns.items()})

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas data frame. Integers and bools with NULL in them become Int64 and boolean."""
        import pandas as pd

        frame = {}
        for name, column in self._columns.items():
            array: Any = self[name]
            if column.validity is not None and column.type != "string":
                array = pd.array(array, dtype={"int": "Int64", "float": "Float64",
                                               "bool": "boolean"}[column.type])
            frame[name] = array
        return pd.DataFrame(frame)

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return self._length > 0

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            if key not in self._columns:
                raise KeyError(f"no column {key!r}; there are {', '.join(self._columns)}")
            if key not in self._arrays:
                self._arrays[key] = self._columns[key].numpy()
            return self._arrays[key]
        if not -self._length <= key < self._length:
            raise IndexError(f"no row {key}; there are {self._length}")
        return {name: _plain(self[name][key]) for name in self._columns}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = list(self._columns)
        for values in zip(*(self[name].tolist() for name in names)):
            yield dict(zip(names, values))

    def __repr__(self) -> str:
        """A table of the first rows; query and end only where they tell rows apart."""
        if not self._length:
            return "(no rows)"
        names = [name for name in self._columns
                 if name not in ("query", "end") or len(set(self[name].tolist())) > 1]
        shown = min(self._length, SHOWN_ROWS)
        lines = [names, *([_cell(self[name][row]) for name in names] for row in range(shown))]
        widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
        numeric = [self._columns[name].type in ("int", "float") for name in names]
        text = ["  ".join(cell.rjust(width) if right else cell.ljust(width)
                          for cell, width, right in zip(line, widths, numeric)).rstrip()
                for line in lines]
        if shown < self._length:
            text.append(f"… {self._length:,} rows")
        return "\n".join(text)


class Plan:
    """How a statement runs, or has run: `print(plan)` shows the tree, `plan.json` is it as
    dictionaries, with `statement` and `plan` (format-spec/cli-json.md, explain)."""

    def __init__(self, handle: int) -> None:
        self._text: str = library.graddb_result_plan_text(handle).decode()
        self._json: bytes = library.graddb_result_plan_json(handle)

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self._json)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.6f}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.5e}"
    text = str(value).replace("\n", " ")
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS - 1] + "…"
