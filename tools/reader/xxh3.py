"""XXH3-64 with seed 0, as format-spec/README.md asks for it.

Inputs up to 240 bytes are hashed with Python integers. Longer ones go through numpy: the sums of
a block's sixteen stripes do not depend on their order, so all blocks are summed at once, and only
the scrambling between blocks is a loop.
"""

import struct

import numpy as np

MASK = (1 << 64) - 1

PRIME32_1 = 0x9E3779B1
PRIME32_2 = 0x85EBCA77
PRIME32_3 = 0xC2B2AE3D
PRIME64_1 = 0x9E3779B185EBCA87
PRIME64_2 = 0xC2B2AE3D27D4EB4F
PRIME64_3 = 0x165667B19E3779F9
PRIME64_4 = 0x85EBCA77C2B2AE63
PRIME64_5 = 0x27D4EB2F165667C5
PRIME_MX1 = 0x165667919E3779F9
PRIME_MX2 = 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

STRIPE_BYTES = 64
BLOCK_STRIPES = (192 - STRIPE_BYTES) // 8
BLOCK_BYTES = STRIPE_BYTES * BLOCK_STRIPES


def xxh3(data) -> int:
    """The hash of any bytes-like object, as an unsigned 64-bit integer."""
    data = bytes(data)
    size = len(data)
    if size == 0:
        return _avalanche64(_secret64(56) ^ _secret64(64))
    if size <= 3:
        return _hash_1_to_3(data)
    if size <= 8:
        return _hash_4_to_8(data)
    if size <= 16:
        return _hash_9_to_16(data)
    if size <= 128:
        return _hash_17_to_128(data)
    if size <= 240:
        return _hash_129_to_240(data)
    return _hash_long(data)


def _u32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def _secret64(at):
    return _u64(SECRET, at)


def _fold(a, b):
    """The 128-bit product, its two halves combined."""
    product = a * b
    return (product & MASK) ^ (product >> 64)


def _avalanche(h):
    h ^= h >> 37
    h = h * PRIME_MX1 & MASK
    return h ^ (h >> 32)


def _avalanche64(h):
    """The finaliser of XXH64, which the shortest inputs use."""
    h ^= h >> 33
    h = h * PRIME64_2 & MASK
    h ^= h >> 29
    h = h * PRIME64_3 & MASK
    return h ^ (h >> 32)


def _mix16(data, at, secret_at):
    return _fold(
        _u64(data, at) ^ _secret64(secret_at), _u64(data, at + 8) ^ _secret64(secret_at + 8)
    )


def _hash_1_to_3(data):
    size = len(data)
    word = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
    return _avalanche64(word ^ _u32(SECRET, 0) ^ _u32(SECRET, 4))


def _hash_4_to_8(data):
    size = len(data)
    word = _u32(data, size - 4) + (_u32(data, 0) << 32)
    h = word ^ _secret64(8) ^ _secret64(16)
    h ^= (h << 49 | h >> 15) & MASK ^ (h << 24 | h >> 40) & MASK
    h = h * PRIME_MX2 & MASK
    h ^= (h >> 35) + size
    h = h * PRIME_MX2 & MASK
    return h ^ (h >> 28)


def _hash_9_to_16(data):
    size = len(data)
    low = _u64(data, 0) ^ _secret64(24) ^ _secret64(32)
    high = _u64(data, size - 8) ^ _secret64(40) ^ _secret64(48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return _avalanche(size + swapped + high + _fold(low, high) & MASK)


def _hash_17_to_128(data):
    size = len(data)
    acc = size * PRIME64_1
    for i in range((size - 1) // 32, -1, -1):
        acc += _mix16(data, 16 * i, 32 * i)
        acc += _mix16(data, size - 16 * (i + 1), 32 * i + 16)
    return _avalanche(acc & MASK)


def _hash_129_to_240(data):
    size = len(data)
    acc = size * PRIME64_1
    for i in range(8):
        acc += _mix16(data, 16 * i, 16 * i)
    acc = _avalanche(acc & MASK)
    for i in range(8, size // 16):
        acc += _mix16(data, 16 * i, 16 * (i - 8) + 3)
    acc += _mix16(data, size - 16, 136 - 17)
    return _avalanche(acc & MASK)


def _stripe_sums(words, secret):
    """What each stripe (last axis: its eight words) adds to the eight accumulators."""
    keyed = words ^ secret
    low, high = keyed & np.uint64(0xFFFFFFFF), keyed >> np.uint64(32)
    swapped = words.reshape(*words.shape[:-1], 4, 2)[..., ::-1].reshape(words.shape)
    return low * high + swapped


def _hash_long(data):
    size = len(data)
    secret = np.stack(
        [np.frombuffer(SECRET, "<u8", 8, 8 * i) for i in range(BLOCK_STRIPES)]
    )
    acc = np.array(
        [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1],
        np.uint64,
    )
    scramble_secret = np.frombuffer(SECRET, "<u8", 8, 128)
    blocks = (size - 1) // BLOCK_BYTES
    whole = np.frombuffer(data, "<u8", blocks * BLOCK_BYTES // 8)
    for block in _stripe_sums(whole.reshape(blocks, BLOCK_STRIPES, 8), secret).sum(axis=1):
        acc = acc + block
        acc = (acc ^ (acc >> np.uint64(47)) ^ scramble_secret) * np.uint64(PRIME32_1)

    rest = blocks * BLOCK_BYTES
    stripes = (size - 1 - rest) // STRIPE_BYTES
    words = np.frombuffer(data, "<u8", stripes * 8, rest).reshape(stripes, 8)
    acc = acc + _stripe_sums(words, secret[:stripes]).sum(axis=0, dtype=np.uint64)
    last = np.frombuffer(data[-STRIPE_BYTES:], "<u8")
    acc = acc + _stripe_sums(last, np.frombuffer(SECRET, "<u8", 8, 192 - 64 - 7))

    lanes = [int(lane) for lane in acc]
    result = size * PRIME64_1
    for i in range(4):
        low, high = struct.unpack_from("<QQ", SECRET, 11 + 16 * i)
        result += _fold(lanes[2 * i] ^ low, lanes[2 * i + 1] ^ high)
    return _avalanche(result & MASK)
