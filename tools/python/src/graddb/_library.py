"""libgraddb.so, found, loaded and described to ctypes: graddb.h in Python.

ctypes releases the global interpreter lock during every call.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (CDLL, POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64,
                    c_size_t, c_uint32, c_uint64, c_void_p)
from pathlib import Path
from typing import Any

ABI_VERSION = 2
NAME = "libgraddb.so"


class Tensor(Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p), ("rows", c_int64), ("dims", c_int64),
                ("row_stride", c_int64), ("dtype", c_int32), ("device", c_int32)]


class RawTensor(Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p), ("shape", POINTER(c_int64)),
                ("row_stride", c_int64), ("rank", c_int32), ("dtype", c_int32)]


class Column(Structure):
    _fields_ = [("name", c_char_p), ("values", c_void_p), ("offsets", c_void_p),
                ("validity", c_void_p), ("rows", c_int64), ("type", c_int32)]


class Parameter(Structure):
    _fields_ = [("name", c_char_p), ("file", c_char_p), ("tensors", POINTER(Tensor)),
                ("tensor_count", c_size_t), ("projectors", c_char_p)]


F32, F16, BF16 = 0, 1, 2
STRING, INT, FLOAT, BOOL = 0, 1, 2, 3
RUN, EXPLAIN, EXPLAIN_ANALYZE = 0, 1, 2
HOST, GPU_0 = 0, 1

# What each function returns and takes, without the error at the end of those that can fail. Texts
# that the caller frees are plain pointers here: ctypes would make bytes of them, and lose them.
TEXT = c_void_p
HANDLE = c_void_p
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "graddb_open": (HANDLE, [c_char_p]),
    "graddb_create": (HANDLE, [c_char_p]),
    "graddb_set_lock_timeout": (c_int32, [HANDLE, c_double]),
    "graddb_info": (TEXT, [HANDLE]),
    "graddb_table_info": (TEXT, [HANDLE, c_char_p]),
    "graddb_statistics": (TEXT, [HANDLE]),
    "graddb_table_snapshots": (TEXT, [HANDLE, c_char_p]),
    "graddb_create_table": (TEXT, [HANDLE, c_char_p]),
    "graddb_tag": (TEXT, [HANDLE, c_char_p, c_char_p, c_int64]),
    "graddb_delete_tag": (c_int32, [HANDLE, c_char_p, c_char_p]),
    "graddb_append": (TEXT, [HANDLE, c_char_p, c_char_p, POINTER(Tensor), c_size_t,
                             POINTER(Column), POINTER(Column), c_size_t, HANDLE]),
    "graddb_read": (c_int32, [HANDLE, c_char_p, c_char_p, POINTER(Column), POINTER(c_float),
                              c_size_t, HANDLE]),
    "graddb_query": (HANDLE, [HANDLE, c_char_p, c_char_p, c_int32, POINTER(Parameter), c_size_t,
                              c_char_p, HANDLE]),
    "graddb_check_gpu": (c_int32, [c_int32]),
    "graddb_keep": (HANDLE, [HANDLE, c_char_p, c_char_p, HANDLE]),
    "graddb_kept_info": (TEXT, [HANDLE]),
    "graddb_writer_open": (HANDLE, [HANDLE, c_char_p, c_char_p, HANDLE]),
    "graddb_writer_append": (c_int32, [HANDLE, POINTER(Tensor), c_size_t, POINTER(Column),
                                       POINTER(Column), c_size_t, POINTER(c_int64)]),
    "graddb_writer_flush": (c_int32, [HANDLE]),
    "graddb_writer_close": (TEXT, [HANDLE]),
    "graddb_commit": (TEXT, [HANDLE, c_char_p, c_char_p, HANDLE]),
    "graddb_staged": (TEXT, [HANDLE, c_char_p]),
    "graddb_abandon": (c_int32, [HANDLE, c_char_p, c_char_p]),
    "graddb_projector_create": (HANDLE, [c_char_p]),
    "graddb_projector_info": (TEXT, [HANDLE]),
    "graddb_projector_project": (c_int32, [HANDLE, POINTER(RawTensor), c_size_t, c_int64,
                                           POINTER(c_float), c_size_t, c_int32, HANDLE]),
    "graddb_sketch_add": (c_int32, [c_uint64, c_char_p, c_int64, c_void_p, c_int64, c_int64, c_int64,
                                    c_void_p, c_int64]),
    "graddb_result_column": (c_int32, [HANDLE, c_int64, POINTER(Column)]),
}
INFALLIBLE: dict[str, tuple[Any, list[Any]]] = {
    "graddb_abi_version": (c_uint32, []),
    "graddb_version": (c_char_p, []),
    "graddb_string_free": (None, [TEXT]),
    "graddb_error_code": (c_int32, [HANDLE]),
    "graddb_error_message": (c_char_p, [HANDLE]),
    "graddb_error_free": (None, [HANDLE]),
    "graddb_take_notes": (TEXT, []),
    "graddb_cancellation_create": (HANDLE, []),
    "graddb_cancellation_cancel": (None, [HANDLE]),
    "graddb_cancellation_free": (None, [HANDLE]),
    "graddb_close": (None, [HANDLE]),
    "graddb_writer_earlier_rows": (c_int64, [HANDLE]),
    "graddb_projector_free": (None, [HANDLE]),
    "graddb_writer_free": (None, [HANDLE]),
    "graddb_result_rows": (c_int64, [HANDLE]),
    "graddb_result_columns": (c_int64, [HANDLE]),
    "graddb_result_is_plan": (c_int32, [HANDLE]),
    "graddb_result_plan_json": (c_char_p, [HANDLE]),
    "graddb_result_plan_text": (c_char_p, [HANDLE]),
    "graddb_result_free": (None, [HANDLE]),
    "graddb_kept_free": (None, [HANDLE]),
}


def path() -> str:
    """The library's file: $GRADDB_LIBRARY, else the one that the package brought along, else, in a
    checkout, the one that Swift has built there."""
    chosen = os.environ.get("GRADDB_LIBRARY")
    if chosen:
        return chosen
    here = Path(__file__).resolve()
    bundled = here.with_name("lib") / NAME
    built = here.parents[min(4, len(here.parents) - 1)] / ".build" / "release" / NAME
    return str(built if built.exists() and not bundled.exists() else bundled)


def _load() -> CDLL:
    where = path()
    try:
        library = CDLL(where)
    except OSError as error:
        raise ImportError(
            f"graddb cannot load its library {where}: {error}. Install the package with pip, or "
            f"set GRADDB_LIBRARY to a {NAME} that `swift build -c release --product graddb` made"
        ) from None
    library.graddb_abi_version.restype = c_uint32
    version = library.graddb_abi_version()
    if version != ABI_VERSION:
        raise ImportError(f"{where} has ABI version {version}, this package needs {ABI_VERSION}: "
                          "install package and library of the same version")
    for name, (result, arguments) in INFALLIBLE.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = [*arguments, POINTER(c_void_p)]
    return library


library = _load()
