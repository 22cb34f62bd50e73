"""XXH3-64 with seed 0 of short texts: names of tensors."""

from __future__ import annotations

MASK = (1 << 64) - 1
PRIME64_1, PRIME64_2, PRIME64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME_MX1, PRIME_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3"
)
LONGEST = 240


def xxh3(data: bytes) -> int:
    """The hash of at most 240 bytes, unsigned; raises ValueError for more."""
    size = len(data)
    if size > LONGEST:
        raise ValueError(f"{size} bytes are too many for the name of a tensor: {LONGEST} is the most")
    if size == 0:
        return _finish_short(_secret(56) ^ _secret(64))
    if size <= 3:
        word = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        return _finish_short(word ^ _secret(0, 4) ^ _secret(4, 4))
    if size <= 8:
        return _hash_4_to_8(data)
    if size <= 16:
        low = _word(data, 0) ^ _secret(24) ^ _secret(32)
        high = _word(data, size - 8) ^ _secret(40) ^ _secret(48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _finish(size + swapped + high + _folded(low, high) & MASK)
    return _hash_17_to_240(data)


def _hash_4_to_8(data: bytes) -> int:
    size = len(data)
    word = _word(data, size - 4, 4) + (_word(data, 0, 4) << 32)
    h = word ^ _secret(8) ^ _secret(16)
    h ^= (h << 49 | h >> 15) & MASK ^ (h << 24 | h >> 40) & MASK
    h = h * PRIME_MX2 & MASK
    h = (h ^ (h >> 35) + size) * PRIME_MX2 & MASK
    return h ^ h >> 28


def _hash_17_to_240(data: bytes) -> int:
    size = len(data)
    total = size * PRIME64_1
    if size <= 128:
        for i in range((size - 1) // 32 + 1):
            total += _mixed(data, 16 * i, 32 * i)
            total += _mixed(data, size - 16 * (i + 1), 32 * i + 16)
        return _finish(total & MASK)
    for i in range(8):
        total += _mixed(data, 16 * i, 16 * i)
    total = _finish(total & MASK)
    for i in range(8, size // 16):
        total += _mixed(data, 16 * i, 16 * (i - 8) + 3)
    return _finish(total + _mixed(data, size - 16, 119) & MASK)


def _word(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _secret(at: int, size: int = 8) -> int:
    return _word(SECRET, at, size)


def _folded(a: int, b: int) -> int:
    product = a * b
    return product & MASK ^ product >> 64


def _mixed(data: bytes, at: int, secret: int) -> int:
    return _folded(_word(data, at) ^ _secret(secret), _word(data, at + 8) ^ _secret(secret + 8))


def _finish(h: int) -> int:
    h = (h ^ h >> 37) * PRIME_MX1 & MASK
    return h ^ h >> 32


def _finish_short(h: int) -> int:
    h = (h ^ h >> 33) * PRIME64_2 & MASK
    h = (h ^ h >> 29) * PRIME64_3 & MASK
    return h ^ h >> 32
