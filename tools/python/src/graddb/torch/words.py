"""Words of random bits (format-spec/projectors.md) as torch tensors, on any device.

An unsigned 64-bit word is kept in an int64: additions and products wrap around as they should, and
a logical shift is an arithmetic one with the copied sign bits masked away.
"""

from __future__ import annotations

import torch

from .xxh3 import xxh3

GAMMA = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def signed(word: int) -> int:
    """The int64 with the bits of an unsigned word."""
    return word - (1 << 64) if word >> 63 else word


def shifted(words: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical shift to the right."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def mix(word: int) -> int:
    """splitmix64's finaliser, of one unsigned word."""
    word = (word ^ word >> 30) * FIRST & MASK
    word = (word ^ word >> 27) * SECOND & MASK
    return word ^ word >> 31


def stream(seed: int, name: str, number: int) -> int:
    """key(t, i) of the specification: the stream `number` of the tensor `name`."""
    return mix(mix(seed ^ xxh3(name.encode("utf-8"))) + (number + 1) * GAMMA & MASK)


def words(key: int, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Words first … first + count − 1 of a stream: int64 [count]."""
    z = torch.arange(first + 1, first + count + 1, dtype=torch.int64, device=device)
    z = z * signed(GAMMA) + signed(key)
    z = (z ^ shifted(z, 30)) * signed(FIRST)
    z = (z ^ shifted(z, 27)) * signed(SECOND)
    return z ^ shifted(z, 31)


def below(words: torch.Tensor, limit: int) -> torch.Tensor:
    """A number below `limit` (at most 2³¹) from each word."""
    return shifted(words, 32) * limit >> 32


def signs(words: torch.Tensor) -> torch.Tensor:
    """The 64 signs of each word, f32 [..., 64]: −1 where the bit, lowest first, is 1."""
    places = torch.arange(64, device=words.device)
    return 1 - 2 * (words[..., None] >> places & 1).to(torch.float32)
