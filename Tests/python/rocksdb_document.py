"""Changes a document of the catalog behind the engine's back, through RocksDB's C interface."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_size_t, c_void_p


def put_document(path, key, change):
    """Writes `change(value)` under `key` in the column family `catalog`."""
    rocks = ctypes.CDLL("librocksdb.so")
    for name in ("options_create", "open_column_families", "list_column_families", "get_cf",
                 "readoptions_create", "writeoptions_create"):
        getattr(rocks, f"rocksdb_{name}").restype = c_void_p
    rocks.rocksdb_list_column_families.restype = POINTER(c_char_p)
    options = c_void_p(rocks.rocksdb_options_create())
    error, count, length = c_char_p(), c_size_t(), c_size_t()
    families = rocks.rocksdb_list_column_families(options, str(path).encode(), byref(count),
                                                  byref(error))
    assert not error.value, error.value
    names = (c_char_p * count.value)(*families[:count.value])
    handles = (c_void_p * count.value)()
    store = c_void_p(rocks.rocksdb_open_column_families(
        options, str(path).encode(), count.value, names, (c_void_p * count.value)(
            *[options.value] * count.value), handles, byref(error)))
    assert not error.value, error.value
    catalog = c_void_p(handles[list(names).index(b"catalog")])
    value = rocks.rocksdb_get_cf(store, c_void_p(rocks.rocksdb_readoptions_create()), catalog, key,
                                 c_size_t(len(key)), byref(length), byref(error))
    before = ctypes.string_at(value, length.value)
    after = change(before)
    assert after != before
    rocks.rocksdb_put_cf(store, c_void_p(rocks.rocksdb_writeoptions_create()), catalog, key,
                         c_size_t(len(key)), after, c_size_t(len(after)), byref(error))
    assert not error.value, error.value
    for handle in handles:
        rocks.rocksdb_column_family_handle_destroy(c_void_p(handle))
    rocks.rocksdb_close(store)
