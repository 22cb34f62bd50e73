"""Ids and fields for the library, and columns of its answers as numpy arrays."""

from __future__ import annotations

import ctypes
from typing import Any, Mapping, Sequence

import numpy as np

from . import _library, errors
from ._call import encode

TYPES = {"string": _library.STRING, "int": _library.INT, "float": _library.FLOAT,
         "bool": _library.BOOL}


class InputColumn:
    """A C structure for one value per row; keeps alive what it points to."""

    def __init__(self, values: Any, kind: int, what: str, name: str | None = None) -> None:
        self._name = None if name is None else encode(name, "a field's name")
        values = _as_sequence(values, what)
        fill = {_library.STRING: self._strings, _library.INT: self._integers,
                _library.FLOAT: self._floats, _library.BOOL: self._bools}[kind]
        self._validity: np.ndarray | None = None
        self._offsets: np.ndarray | None = None
        self._values: np.ndarray = fill(values, what)
        self.column = _library.Column(
            self._name, _address(self._values), _address(self._offsets),
            _address(self._validity), len(values), kind)

    def _present(self, values: Sequence[Any]) -> list[Any]:
        """Marks None as NULL."""
        items = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if any(item is None for item in items):
            self._validity = np.array([item is not None for item in items], np.uint8)
        return items

    def _strings(self, values: Sequence[Any], what: str) -> np.ndarray:
        parts = []
        for row, item in enumerate(self._present(values)):
            if not (item is None or isinstance(item, str)):
                raise errors.BadInput(f"{what}, row {row}: {item!r} is no str")
            try:
                parts.append(b"" if item is None else item.encode())
            except UnicodeEncodeError:
                raise errors.BadInput(f"{what}, row {row}: {item!r} is not Unicode text") from None
        self._offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=self._offsets[1:])
        return np.frombuffer(b"".join(parts) or b"\0", np.uint8)

    def _integers(self, values: Sequence[Any], what: str) -> np.ndarray:
        if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
            if values.dtype == np.uint64 and len(values) and values.max() >= 1 << 63:
                raise errors.BadInput(f"{what}: {values.max()} has more than 64 bits with a sign")
            return np.ascontiguousarray(values, np.int64)
        items = self._present(values)
        for row, item in enumerate(items):
            if item is not None and (isinstance(item, (bool, np.bool_))
                                     or not isinstance(item, (int, np.integer))):
                raise errors.BadInput(f"{what}, row {row}: {item!r} is no int")
            if item is not None and not -(1 << 63) <= item < 1 << 63:
                raise errors.BadInput(f"{what}, row {row}: {item} has more than 64 bits")
        return np.array([0 if item is None else item for item in items], np.int64)

    def _floats(self, values: Sequence[Any], what: str) -> np.ndarray:
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
            return np.ascontiguousarray(values, np.float64)
        items = self._present(values)
        for row, item in enumerate(items):
            if item is not None and (isinstance(item, (bool, np.bool_)) or not isinstance(
                    item, (int, float, np.integer, np.floating))):
                raise errors.BadInput(f"{what}, row {row}: {item!r} is no number")
        return np.array([0.0 if item is None else item for item in items], np.float64)

    def _bools(self, values: Sequence[Any], what: str) -> np.ndarray:
        if isinstance(values, np.ndarray) and values.dtype == np.bool_:
            return np.ascontiguousarray(values).view(np.uint8)
        items = self._present(values)
        for row, item in enumerate(items):
            if not (item is None or isinstance(item, (bool, np.bool_))):
                raise errors.BadInput(f"{what}, row {row}: {item!r} is no bool")
        return np.array([bool(item) for item in items], np.uint8)


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def _as_sequence(values: Any, what: str) -> Sequence[Any]:
    """A list, or a numpy array of one dimension: also of torch tensors, pandas and pyarrow."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise errors.BadInput(f"{what} is one value; give a list or an array, one for each row")
    if isinstance(values, (list, tuple)):
        return values
    if hasattr(values, "detach"):  # torch
        values = values.detach().cpu().numpy()
    elif hasattr(values, "to_pylist"):  # pyarrow
        return values.to_pylist()
    elif hasattr(values, "isna"):  # pandas, where what is missing is NaN
        values = values.to_numpy(object, na_value=None) if values.isna().any() \
            else values.to_numpy()
    elif not isinstance(values, np.ndarray):
        return list(values)
    if values.ndim != 1:
        raise errors.BadInput(f"{what} has shape {list(values.shape)}, but one value for each row "
                              "is needed")
    return values


def id_column(ids: Any) -> InputColumn:
    """Ids: strings, or integers where the first one is."""
    values = _as_sequence(ids, "ids")
    if isinstance(values, np.ndarray):
        is_text = values.dtype.kind in "UT" or (
            values.dtype.kind == "O" and len(values) > 0 and isinstance(values[0], str))
    else:
        is_text = len(values) > 0 and isinstance(values[0], str)
    return InputColumn(values, _library.STRING if is_text else _library.INT, "ids")


def field_columns(fields: Mapping[str, Any] | None, types: dict[str, str]) -> list[InputColumn]:
    """Fields in the types that the table has for them."""
    columns = []
    for name, values in (fields or {}).items():
        if name not in types:
            known = ", ".join(types) or "none"
            raise errors.BadInput(f"the table has no field {name!r}; it has {known}")
        columns.append(InputColumn(values, TYPES[types[name]], f"field {name!r}", name))
    return columns


def column_array(columns: Sequence[InputColumn]) -> Any:
    return (_library.Column * max(1, len(columns)))(*(column.column for column in columns))


class OutputColumn:
    """A column of an answer, copied out of the library."""

    def __init__(self, column: _library.Column) -> None:
        rows = column.rows
        self.name: str = column.name.decode()
        self.type: str = list(TYPES)[list(TYPES.values()).index(column.type)]
        self.validity = None if not column.validity else _copy(
            column.validity, rows, np.uint8).astype(bool)
        self.offsets: np.ndarray | None = None
        if column.type == _library.STRING:
            self.offsets = _copy(column.offsets, rows + 1, np.int64)
            self.values = _copy(column.values, int(self.offsets[-1]), np.uint8)
        else:
            dtype = {_library.INT: np.int64, _library.FLOAT: np.float64, _library.BOOL: np.bool_}
            self.values = _copy(column.values, rows, dtype[column.type])

    def numpy(self) -> np.ndarray:
        """int64, float64, bool, or objects: strings, and None in columns that have NULL."""
        if self.offsets is not None:
            data, offsets = self.values.tobytes(), self.offsets.tolist()
            array = np.empty(len(offsets) - 1, object)
            array[:] = [data[start:end].decode() for start, end in zip(offsets, offsets[1:])]
        else:
            array = self.values
        if self.validity is not None:
            array = array.astype(object)
            array[~self.validity] = None
        return array

    def arrow(self) -> Any:
        """As a pyarrow array: large_string, int64, double, bool."""
        import pyarrow as pa

        nulls = None
        if self.validity is not None:
            nulls = pa.py_buffer(np.packbits(self.validity, bitorder="little").tobytes())
        if self.offsets is not None:
            return pa.Array.from_buffers(
                pa.large_string(), len(self.offsets) - 1,
                [nulls, pa.py_buffer(self.offsets), pa.py_buffer(self.values)])
        mask = None if self.validity is None else ~self.validity
        return pa.array(self.values, mask=mask)


def _copy(address: int, count: int, dtype: Any) -> np.ndarray:
    array = np.empty(count, dtype)
    ctypes.memmove(array.ctypes.data, address, array.nbytes)
    return array
