"""The few functions of libgraddb.so that ask a database, by ctypes, from graddb.h alone.

Thousands of questions a minute can be asked of it in one process, where gradctl would have to be
started for each. The package in tools/python has tests of its own.
"""

import ctypes
import json
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_size_t, c_void_p

STRING, INT, FLOAT, BOOL = range(4)
BYTES = {INT: 8, FLOAT: 8, BOOL: 1}


class Column(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("values", c_void_p),
        ("offsets", POINTER(c_int64)),
        ("validity", c_void_p),
        ("rows", c_int64),
        ("type", c_int32),
    ]

    @property
    def bytes(self):
        """Name, values and which of them are there."""
        if self.type == STRING:
            offsets = [self.offsets[i] for i in range(self.rows + 1)]
            values = repr(offsets).encode() + ctypes.string_at(self.values, offsets[-1])
        else:
            values = ctypes.string_at(self.values, self.rows * BYTES[self.type])
        validity = ctypes.string_at(self.validity, self.rows) if self.validity else b""
        return b"%s %d %s %s" % (self.name, self.type, values, validity)


class Refused(Exception):
    """An error of the library's, with its kind."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Library:
    def __init__(self, path):
        self.functions = functions = ctypes.CDLL(str(path))
        functions.graddb_open.restype = c_void_p
        functions.graddb_error_kind.restype = c_char_p
        functions.graddb_error_message.restype = c_char_p
        functions.graddb_query.restype = c_void_p
        functions.graddb_result_rows.restype = c_int64
        functions.graddb_result_columns.restype = c_int64
        for name in ("graddb_info", "graddb_table_info", "graddb_table_snapshots", "graddb_staged"):
            getattr(functions, name).restype = c_void_p

    def call(self, name, *arguments):
        error = c_void_p()
        result = getattr(self.functions, name)(*arguments, byref(error))
        if error.value:
            kind = self.functions.graddb_error_kind(error).decode()
            message = self.functions.graddb_error_message(error).decode()
            self.functions.graddb_error_free(error)
            raise Refused(kind, message)
        return result

    def text(self, name, *arguments):
        pointer = c_void_p(self.call(name, *arguments))
        text = ctypes.string_at(pointer)
        self.functions.graddb_string_free(pointer)
        return text

    def open(self, path):
        return Handle(self, c_void_p(self.call("graddb_open", str(path).encode())))


class Handle:
    """An open database."""

    def __init__(self, library, handle):
        self.library, self.handle = library, handle

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.functions.graddb_close(self.handle)

    def table(self, what, table):
        """`info`, `snapshots` or `staged` of a table, as JSON."""
        function = {
            "info": "graddb_table_info",
            "snapshots": "graddb_table_snapshots",
            "staged": "graddb_staged",
        }[what]
        return self.library.text(function, self.handle, table.encode())

    def query(self, statement, threads=1):
        """All columns of the answer, as bytes."""
        result = c_void_p(
            self.library.call(
                "graddb_query",
                self.handle,
                statement.encode(),
                None,
                c_int32(0),
                None,
                c_size_t(0),
                json.dumps({"threads": threads}).encode(),
                None,
            )
        )
        try:
            column = Column()
            answer = [b"%d" % self.library.functions.graddb_result_rows(result)]
            for index in range(self.library.functions.graddb_result_columns(result)):
                self.library.call("graddb_result_column", result, c_int64(index), byref(column))
                answer.append(column.bytes)
            return b"\n".join(answer)
        finally:
            self.library.functions.graddb_result_free(result)
