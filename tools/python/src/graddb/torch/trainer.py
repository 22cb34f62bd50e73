"""Recording from Hugging Face's Trainer.

    trainer = Trainer(model, arguments, train_dataset=data,
                      callbacks=[GradDBCallback(table, data, steps=[100, 300], ids="id")])
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate
from transformers import TrainerCallback

from .errors import BadInput
from .losses import causal_lm_losses, causal_lm_token_losses
from .recorder import Recorder
from .report import Report

_log = logging.getLogger("graddb")

INPUTS = {"input_ids", "attention_mask", "labels"}
Losses = Callable[[nn.Module, Mapping[str, Tensor]], Any]


class GradDBCallback(TrainerCallback):
    """Records the gradients of a dataset's examples at chosen steps of a Trainer's training.

    At each of `steps` (numbers, or one number: every so many), and with `epochs` at the end of each
    epoch, all of `dataset` goes through the model as it is then, without dropout, and the rows are
    committed as checkpoint "step-<step>", with the step and its learning rate as weight. Training
    itself is left as it was, its random numbers too.

    `ids`: the name of a column, or a sequence; indices in the dataset where left out. `fields`:
    names of columns that become fields. `losses(model, batch)`: the examples' losses [rows], or for
    a table of tokens (losses, mask), both [rows, positions]; those of causal language models where
    left out. `collate`: makes a batch of examples; the Trainer's own where left out.
    `resume`: a checkpoint that was begun by a run that died is gone on with.
    Other options are the Recorder's.

    With several processes each records its share, as a rank of one staged ingest.
    """

    def __init__(self, table: Any, dataset: Any, *, steps: int | Collection[int] | None = None,
                 epochs: bool = False, batch_size: int = 8, ids: str | Sequence | None = None,
                 fields: Sequence[str] = (), losses: Losses | None = None,
                 collate: Callable[[list], Mapping] | None = None, resume: bool = True,
                 **options: Any):
        if steps is None and not epochs:
            raise BadInput("say when to record: steps=100, steps=[100, 300] or epochs=True")
        self.table, self.dataset, self.steps, self.epochs = table, dataset, steps, epochs
        self.batch_size, self.ids, self.fields = batch_size, ids, list(fields)
        self.losses, self.collate, self.resume, self.options = losses, collate, resume, options
        self.recorder: Recorder | None = None
        self.recorded: list[str] = []  # names of checkpoints
        self._rate: float | None = None

    @property
    def report(self) -> Report | None:
        return self.recorder.report() if self.recorder else None

    # ---- what the Trainer calls ----

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self._rate = optimizer.param_groups[0]["lr"] if optimizer is not None else None

    def on_step_end(self, args, state, control, **kwargs):
        step, steps = state.global_step, self.steps
        if steps is not None and (step % steps == 0 if isinstance(steps, int) else step in steps):
            self._record(args, step, **kwargs)

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.epochs:
            self._record(args, state.global_step, **kwargs)

    def on_train_end(self, args, state, control, **kwargs):
        if self.recorder:
            _log.info("%s", self.recorder.report())

    # ---- recording ----

    def _record(self, args: Any, step: int, model: nn.Module, optimizer: Any = None,
                train_dataloader: Any = None, **kwargs: Any) -> None:
        checkpoint = f"step-{step}"
        if checkpoint in self.recorded:
            return
        if self.recorder is None:
            if self.options.get("direction") == "adam":
                self.options.setdefault("optimizer", optimizer)
            self.recorder = Recorder(model, self.table, **self.options)
        collate = self.collate or getattr(train_dataloader, "collate_fn", None)
        rank, ranks = args.process_index, args.world_size
        shares = {"rank": rank, "ranks": ranks} if ranks > 1 else {}
        was_training = model.training
        model.eval()
        try:
            with torch.random.fork_rng(), torch.enable_grad(), self.recorder.writer(
                    checkpoint, step=step, weight=self._rate, resume=self.resume,
                    **shares) as writer:
                for rows, batch in self._batches(collate, rank, ranks):
                    self._record_batch(writer, model, rows, batch, args.device)
        finally:
            model.train(was_training)
        if ranks > 1:
            torch.distributed.barrier()
            if rank == 0:
                self.table.commit(checkpoint=checkpoint)
        self.recorded.append(checkpoint)

    def _record_batch(self, writer: Any, model: nn.Module, rows: list[int], batch: Mapping,
                      device: torch.device) -> None:
        batch = {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}
        ids = rows
        if isinstance(self.ids, str):
            ids = [self.dataset[n][self.ids] for n in rows]
        elif self.ids is not None:
            ids = [self.ids[n] for n in rows]
        fields = {name: [self.dataset[n][name] for n in rows] for name in self.fields}
        with self.recorder.record(writer, ids=ids, fields=fields) as recording:
            losses = self.losses
            if losses is None:
                losses = causal_lm_token_losses if self.recorder.tokens else causal_lm_losses
            found = losses(model, batch)
            recording.backward(*found) if isinstance(found, tuple) else recording.backward(found)

    def _batches(self, collate: Callable | None, rank: int,
                 ranks: int) -> Iterator[tuple[list[int], Mapping]]:
        indices = list(range(rank, len(self.dataset), ranks))
        chunks = [indices[n : n + self.batch_size] for n in range(0, len(indices), self.batch_size)]
        # A generator of its own: a loader draws a seed from torch's, which training goes on with.
        loader = DataLoader(self.dataset, batch_sampler=chunks, collate_fn=self._collated(collate),
                            generator=torch.Generator())
        yield from zip(chunks, loader)

    def _collated(self, collate: Callable | None) -> Callable[[list], Mapping]:
        """Batches without the columns that the model knows nothing of."""
        columns = {*self.fields, *([self.ids] if isinstance(self.ids, str) else [])} - INPUTS
        return lambda examples: (collate or default_collate)(
            [{k: v for k, v in one.items() if k not in columns} if isinstance(one, Mapping) else one
             for one in examples])
