"""Records the gradients of a training run's examples, projected, in a table.

    recorder = Recorder(model, table)
    ...
    with recorder.writer(checkpoint="step-300", step=300, weight=rate) as writer:
        for ids, batch in batches:
            with recorder.record(writer, ids=ids):
                model(**batch).loss.backward()

Training goes on as without it: every `.grad` has the same bits. What one batch's rows need lives on
the model's device until its projections, [rows, dims], go to the writer's thread.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .background import BackgroundWriter
from .completeness import Completeness
from .directions import DIRECTIONS, AdamDirection
from .errors import BadInput
from .layers import RecordedLayer, empty_vectors, recorded_layers
from .recording import Recording
from .report import Report
from .tables import projectors_of, unit_of

REDUCTIONS = ("mean", "sum")


class Recorder:
    """Takes gradients per example of `model`, and projects them for the layers of `table`.

    `projector`: for a table whose layers have none, or instead of a table: a `graddb.Projector`, a
    projector's document (format-spec/projectors.md) or its text, or one for each layer by name; the
    only layer is called "grad" where there is no table.
    `layers`: patterns over the names of parameters, such as `["*.mlp.*", "!*.bias"]`, for all
    layers, or patterns for each layer by its name. Without them a layer takes what its projector's
    `match` says, else everything that is trained: of a model with adapters, the adapters.
    `direction`: "sgd" records gradients, "adam" the updates that they make, with the state of
    `optimizer` (AdamDirection).
    `reduction`: whether the loss of a batch is the "mean" or the "sum" of its examples' losses, so
    that a row is the gradient of its own loss; `scale` of `record` says it exactly where that
    matters. With a projector that normalises, and direction "sgd", factors do not matter.
    `dtype`: of the vectors that are written. `queue`: batches that wait for the writer at most.
    `nonfinite`: whether rows with NaN or infinities "raise" NonFiniteGradient or are left out
    ("skip"), as a gradient scaler leaves out such steps.
    `check`: the first batch's rows are added up and compared with the batch's own gradient.

    Raises BadProjector, ShapeChanged, BadInput.
    """

    def __init__(self, model: nn.Module, table: Any = None, *, projector: Any = None,
                 layers: Any = None, direction: str = "sgd",
                 optimizer: torch.optim.Optimizer | None = None, reduction: str = "mean",
                 dtype: torch.dtype = torch.float32, queue: int = 8, nonfinite: str = "raise",
                 check: bool = True):
        for value, known, what in ((direction, DIRECTIONS, "direction"), (reduction, REDUCTIONS, "reduction"),
                                   (nonfinite, ("raise", "skip"), "nonfinite"),
                                   (dtype, (torch.float32, torch.float16, torch.bfloat16), "dtype")):
            if value not in known:
                raise BadInput(f"{what} is one of {', '.join(map(str, known))}, not {value!r}")
        self.model, self.table = model, table
        self.reduction, self.dtype = reduction, dtype
        self.tokens = table is not None and unit_of(table) == "token"
        self.layers: list[RecordedLayer] = recorded_layers(model, projectors_of(table, projector), layers)
        self.direction = AdamDirection(optimizer) if direction == "adam" else None
        if self.direction and any(layer.factored for layer in self.layers):
            raise BadInput("a factored projector never has a gradient, so none becomes Adam's update")
        self.completeness = Completeness() if check else None
        self.statistics = Report()
        self._queue, self._skips = queue, nonfinite == "skip"
        self._writers: weakref.WeakKeyDictionary[Any, BackgroundWriter] = weakref.WeakKeyDictionary()
        self._recording = False

    @property
    def projectors(self) -> dict[str, dict[str, Any]]:
        """The layers' projectors with the tensors that are recorded, as tables describe them."""
        return {layer.name: layer.document for layer in self.layers}

    def writer(self, checkpoint: str, **options: Any) -> Any:
        """A writer of the table (Table.writer, which see), which knows the recorder's projectors.

        `weight` is the checkpoint's learning rate. Leaving its `with` block waits for what was
        recorded, and commits it.
        """
        if self.table is None:
            raise BadInput("the recorder was made without a table")
        return self.table.writer(checkpoint, projectors=self.projectors, **options)

    def record(self, writer: Any = None, *, ids: Sequence, fields: Mapping[str, Sequence] | None = None,
               scale: float | Sequence[float] | Tensor = 1.0) -> Recording:
        """A context for the forward and the backward pass of one batch.

        `ids` has one id, and each of `fields` one value, for each of its examples: the first
        dimension of the model's inputs. Each example's loss may depend on its own inputs alone.
        The gradients are multiplied by `scale`, a number for all or one for each row.

        Inside, either call `backward()` on a loss of the batch, once, which leaves `.grad` as
        training wants it; or hand the examples' losses [rows] to `recording.backward`, which makes
        no `.grad`. For a table of tokens, hand it their losses [rows, positions].

        Without a writer the vectors are kept as `recording.vectors`, for queries.

        On leaving it raises UnsupportedUse, IncompleteGradient, NonFiniteGradient (of earlier
        batches), and what the writer's thread ran into; then nothing of this batch is written.
        """
        if self._recording:
            raise BadInput("a batch is being recorded already: one record() ends before the next begins")
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        columns = {name: values.tolist() if hasattr(values, "tolist") else list(values)
                   for name, values in (fields or {}).items()}
        for name, values in columns.items():
            if len(values) != len(ids):
                raise BadInput(f"field {name} has {len(values)} values for {len(ids)} ids")
        if not ids:
            raise BadInput("there are no ids: a batch has one example or more")
        if self.tokens and any("/" in str(one) for one in ids):
            raise BadInput("ids of examples whose tokens are recorded have no \"/\" in them")
        return Recording(self, self.background(writer), ids, columns, scale)

    def background(self, writer: Any) -> BackgroundWriter | None:
        """The thread that appends to a writer; made at its first use, ended when it closes."""
        if writer is None:
            return None
        found = self._writers.get(writer)
        if found is None:
            if self.table is not None and writer.table.name != self.table.name:
                raise BadInput(f"the writer is table {writer.table.name}'s, the recorder's is "
                               f"{self.table.name}")
            found = BackgroundWriter(writer, self._queue, self._skips)
            writer.before_close(found.drain, found.drop)
            self._writers[writer] = found
            self.statistics.writers.append(found)
        return found

    def flush(self) -> None:
        """Waits until all that was recorded has been handed to the writers."""
        for background in list(self._writers.values()):
            background.drain()

    def report(self) -> Report:
        """What has been recorded so far, and what it cost; print it."""
        return self.statistics

    def empty_vectors(self, rows: int) -> dict[str, Tensor]:
        device = next(parameter.device for parameter in self.model.parameters() if parameter.requires_grad)
        return empty_vectors(self.layers, rows, device)

    def begin(self) -> float:
        self._recording = True
        return time.perf_counter()

    def end(self) -> None:
        self._recording = False
