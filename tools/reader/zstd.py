"""Decompression of single zstd frames, by libzstd through ctypes."""

import ctypes
import ctypes.util

MAX_BYTES = 1 << 30


def _load():
    for name in ("libzstd.so.1", ctypes.util.find_library("zstd"), "libzstd.dylib"):
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            pass
    raise ImportError("libzstd is not installed (Debian: libzstd1)")


_LIB = _load()
_LIB.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
_LIB.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_LIB.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
_LIB.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
_LIB.ZSTD_decompress.restype = ctypes.c_size_t
_LIB.ZSTD_decompress.argtypes = [
    ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
]


def decompress(frame: bytes, size: int | None = None) -> bytes:
    """The content of one frame. Its size comes from the frame unless the caller knows it."""
    frame = bytes(frame)
    if size is None:
        size = _LIB.ZSTD_getFrameContentSize(frame, len(frame))
    if size > MAX_BYTES:
        raise ValueError("not a zstd frame with its content size")
    if _LIB.ZSTD_findFrameCompressedSize(frame, len(frame)) != len(frame):
        raise ValueError("not exactly one zstd frame")
    content = ctypes.create_string_buffer(max(size, 1))
    if _LIB.ZSTD_decompress(content, size, frame, len(frame)) != size:
        raise ValueError("a zstd frame is damaged")
    return content.raw[:size]
