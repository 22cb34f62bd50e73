"""Losses of single examples, as `Recording.backward` takes them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import BadInput

IGNORED = -100  # labels that have no part in the loss, as everywhere in PyTorch


def causal_lm_losses(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Of a causal language model: the mean cross-entropy of each example's own labels, [rows].

    `batch` has `input_ids`, `labels` (else the ids, where `attention_mask` is not 0) and what else
    the model takes.
    """
    losses, counts = causal_lm_token_losses(model, batch)
    return losses.sum(1) / counts.sum(1).clamp(min=1)


def causal_lm_token_losses(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Of a causal language model: the cross-entropy of each label, [rows, positions], and where
    there is one. Position p is that of the label: what stands there was to be predicted."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    ids = inputs.get("input_ids")
    if ids is None:
        raise BadInput(f"a batch without input_ids: it has {', '.join(batch)}")
    labels = batch.get("labels")
    if labels is None:
        mask = inputs.get("attention_mask")
        labels = ids if mask is None else torch.where(mask != 0, ids, IGNORED)
    result = model(**inputs)
    logits = result.logits if hasattr(result, "logits") else result[0]
    losses = F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED,
        reduction="none").view(len(labels), -1)
    # The first position has nothing before it to be predicted from.
    return F.pad(losses, (1, 0)), F.pad(labels[:, 1:] != IGNORED, (1, 0))
