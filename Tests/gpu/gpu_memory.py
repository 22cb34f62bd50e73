"""Memory and arguments of kernels, for the emulator: the structures of graddb_device.h, and buffers that
end where nothing may be read or written."""

import ctypes
import mmap

import numpy as np

U32, U64, I64 = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64
PAGE = mmap.PAGESIZE

ROWS = {"1": 32, "few": 256, "many": 256}
QUERIES = {"1": 1, "few": 64, "many": 128}
CODECS = {"f32": 1, "f16": 2, "bf16": 3, "int8": 4, "int4": 5, "bit": 6}
PACK_ELEMENTS, SELECT_ROWS, THREADS, SELECT_PASSES = 1024, 4096, 256, 3
SELECT_STATE_BYTES = 2 * (4 * 2048 + 16)

STATISTICS = np.dtype([("scale", "<f4"), ("residual_norm", "<f4"), ("squared_norm", "<f8")])
ITEM = np.dtype([("slabs", "<u8"), ("statistics", "<u8"), ("rows", "<u4"), ("first", "<u4")])
TILE = np.dtype([("item", "<u4"), ("row", "<u4")])
ESTIMATE_TERM = np.dtype([("unit", "<f8"), ("factor", "<f8"), ("least", "<f8")])
TERM = np.dtype([("addend", "<i8"), ("scale", "<f8")])
CANDIDATE = np.dtype([("query", "<u4"), ("row", "<u4"), ("score", "<f8")])


def structure(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


LAYER = structure("Layer", ("codec", U32), ("slabs", U32), ("pitch", U32), ("last_pitch", U32),
                  ("factor", I64), ("queries", U64), ("query_stride", U64), ("terms", U64),
                  ("query_count", U32), ("zero", U32))
PACK = structure("Pack", ("layer", LAYER), ("packed", U64))
SCORE = structure("Score", ("layer", LAYER), ("packed", U64), ("items", U64), ("tiles", U64),
                  ("counting", U64), ("dots", U64), ("stride", U64), ("is_first", U32), ("tile_count", U32))
HALVES = structure("Halves", ("layer", LAYER), ("halves", U64), ("terms", U64))
ESTIMATE = structure("Estimate", ("score", SCORE), ("highs", U64), ("terms", U64))
RESCORE = structure("Rescore", ("layer", LAYER), ("packed", U64), ("items", U64), ("candidates", U64),
                    ("found", U64), ("norms", U64), ("query_norms", U64), ("item_count", U32),
                    ("capacity", U32), ("is_first", U32), ("zero", U32))
NORMS = structure("Norms", ("items", U64), ("norms", U64), ("is_first", U32), ("item_count", U32))
COSINES = structure("Cosines", ("dots", U64), ("stride", U64), ("norms", U64), ("query_norms", U64),
                    ("rows", U32), ("query_count", U32))
SELECT = structure("Select", ("scores", U64), ("stride", U64), ("counting", U64), ("floors", U64),
                   ("state", U64), ("candidates", U64), ("found", U64), ("highs", U64), ("capacity", U32),
                   ("rows", U32), ("query_count", U32), ("top", U32), ("bottom", U32), ("pass_", U32))
STREAM = structure("Stream", ("source", U64), ("target", U64), ("bytes", U64))
MULTIPLY = structure("Multiply", ("result", U64), ("rounds", U64))

LIBC = ctypes.CDLL(None, use_errno=True)


class Buffer:
    """Bytes between two pages that cannot be touched, as near to the second as `alignment` allows."""

    def __init__(self, size, alignment=16):
        room = max(1, -(-size // PAGE)) * PAGE
        self.memory = mmap.mmap(-1, room + 2 * PAGE)
        self.view = (ctypes.c_char * (room + 2 * PAGE)).from_buffer(self.memory)
        self.base = ctypes.addressof(self.view)
        self.protect(self.base, PAGE)
        self.protect(self.base + PAGE + room, PAGE)
        self.size = size
        self.offset = (PAGE + room - size) // alignment * alignment
        self.address = self.base + self.offset

    def protect(self, address, size):
        """Makes whole pages unreachable."""
        if LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def array(self, dtype=np.uint8):
        """Its contents, as an array that can be written to."""
        return np.frombuffer(self.memory, np.uint8, self.size, self.offset).view(dtype)

    @classmethod
    def of(cls, array, alignment=16):
        array = np.ascontiguousarray(array)
        made = cls(array.nbytes, alignment)
        made.array()[:] = array.reshape(-1).view(np.uint8)
        return made


class Emulator:
    """Kernels by name. A grid's x and y, and a structure of arguments."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.gd_emulate.argtypes = [ctypes.c_char_p, U32, U32, ctypes.c_void_p]
        self.library.gd_emulate_seed.argtypes = [U64]

    def seed(self, value):
        self.library.gd_emulate_seed(value)

    def launch(self, kernel, x, y, arguments):
        if self.library.gd_emulate(kernel.encode(), x, y, ctypes.byref(arguments)) != 0:
            raise LookupError(f"there is no kernel {kernel}")


def bit_words(flags):
    """Flags as words of 32 bits, the first in the lowest."""
    padded = np.zeros(-(-max(1, len(flags)) // 32) * 32, np.uint8)
    padded[:len(flags)] = flags
    return np.packbits(padded, bitorder="little").view("<u4")
