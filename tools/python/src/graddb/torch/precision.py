"""Full single precision: a projector is linear, whatever a program allows its own products.

Programs trade precision for speed in training: autocast, TF32 on GPUs, bf16 in oneDNN. A projection
has to agree with that of any other implementation to 10⁻⁵ of its length (format-spec/projectors.md),
which TF32, with ten bits, does not reach.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = {"cpu": 0, "cuda": 0}
_before: dict[str, str | bool] = {}


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products of f32 on `device` are such, and neither autocast nor shorter formats change them.

    What formats are allowed is a setting of the process: it is put back when the last of its users here
    has ended.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type not in _users:
            yield
            return
        with _lock:
            if _users[device.type] == 0:
                _before[device.type] = _exchange(device.type, None)
            _users[device.type] += 1
        try:
            yield
        finally:
            with _lock:
                _users[device.type] -= 1
                if _users[device.type] == 0:
                    _exchange(device.type, _before.pop(device.type))


def _exchange(device: str, wanted: str | bool | None) -> str | bool:
    """Sets what products may use, None for nothing but f32; gives what it was."""
    backend = torch.backends.cuda if device == "cuda" else torch.backends.mkldnn
    products = getattr(backend, "matmul", None)  # which oneDNN's has from PyTorch 2.9 on
    if hasattr(products, "fp32_precision"):
        before, exact = products.fp32_precision, "ieee"
    elif device == "cuda":
        before, exact = products.allow_tf32, False
    else:
        before, exact = torch.get_float32_matmul_precision(), "highest"
    value = exact if wanted is None else wanted
    if value == before:
        return before
    if hasattr(products, "fp32_precision"):
        products.fp32_precision = value
    elif device == "cuda":
        products.allow_tf32 = value
    else:
        torch.set_float32_matmul_precision(value)
    return before
