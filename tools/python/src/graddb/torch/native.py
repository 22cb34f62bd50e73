"""Projections by the library, for gradients that lie in a CPU's memory.

Its kernels hash elements several times as fast as PyTorch's operations do. They add the elements as
they are: scales, and what is not finite, are the business of who calls. Threads share the rows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from .._call import call, encode

LEAST_PART = 1 << 17  # elements that are worth a thread's while


def add_sketch(seed: int, dims: int, name: str, x: Tensor, out: Tensor) -> bool:
    """Adds f32 [rows, elements] to f32 [rows, dims]; false where they do not lie in memory as the
    library needs them."""
    if x.device.type != "cpu" or x.shape[1] > 1 and x.stride(1) != 1 or out.stride(1) != 1:
        return False
    text, rows = encode(name, "a tensor's name"), len(x)
    parts = max(1, min(torch.get_num_threads(), rows, x.numel() // LEAST_PART))
    cuts = [rows * n // parts for n in range(parts + 1)]

    def add(first: int, last: int) -> None:
        call("graddb_sketch_add", seed, text, dims, x.data_ptr() + 4 * first * x.stride(0),
             last - first, x.shape[1], x.stride(0), out.data_ptr() + 4 * first * out.stride(0),
             out.stride(0))

    others = [_pool().submit(add, cuts[n], cuts[n + 1]) for n in range(1, parts)]
    add(cuts[0], cuts[1])
    for other in others:
        other.result()
    return True


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "graddb-projection")
