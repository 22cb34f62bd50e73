"""The kind `sketch`: where the elements of a tensor go, and adding them there.

Short tensors have each element placed by itself. Of others, a sheet is `dims` elements of the
tensor, and no two of a sheet meet. Two ways of adding give the same sums: on a CPU every element is
added to its place; elsewhere, where adding to places in any order would make sums differ from run
to run, every place gathers its element of each sheet, and the last, shorter sheet is added place by
place, which is safe since no two elements meet. (Those of a short tensor may: on such a device
their sums can differ in the last bit from run to run.)
"""

from __future__ import annotations

from collections import OrderedDict

import torch

from .words import GAMMA, below, shifted, signed, signs, stream, words

UNIT = 64
SHORT = 1024  # elements of a tensor that are placed one by one
PIECE_BYTES = 64 << 20  # of gradients that are gathered at once
TABLE_ELEMENTS = 1 << 22  # places and signs that are made at once, and kept together
TABLE_BYTES = 512 << 20  # of tables that are kept


class SketchTables:
    """Adds tensors to sketches; keeps the tables of the tensors that were used last."""

    def __init__(self, seed: int, dims: int):
        self.seed, self.dims = seed, dims
        self._tables: OrderedDict[tuple, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._bytes = 0

    def add(self, name: str, x: torch.Tensor, out: torch.Tensor, owned: bool = False,
            gather: bool | None = None) -> None:
        """Adds f32 [rows, elements] to f32 [rows, dims]; `owned`: x may be overwritten."""
        size = x.shape[1]
        gather = x.device.type != "cpu" if gather is None else gather
        if size <= SHORT:
            self._scatter(name, 0, x, out, owned, short=True)
            return
        step = max(1, TABLE_ELEMENTS // self.dims) * self.dims
        for first in range(0, size, step):
            some = x[:, first : first + step]
            full = some.shape[1] // self.dims if gather else 0
            if full:
                self._gather(name, first, some[:, : full * self.dims], out)
            if full * self.dims < some.shape[1]:
                self._scatter(name, first + full * self.dims, some[:, full * self.dims :], out, owned)

    def _scatter(self, name: str, first: int, x: torch.Tensor, out: torch.Tensor, owned: bool,
                 short: bool = False) -> None:
        places, sign = self._table(name, first, x.shape[1], False, x.device, short)
        x = x.mul_(sign) if owned else x * sign
        if x.device.type == "cpu":
            out.scatter_add_(1, places.expand_as(x), x)
        else:
            out.index_add_(1, places, x)

    def _gather(self, name: str, first: int, x: torch.Tensor, out: torch.Tensor) -> None:
        sources, sign = self._table(name, first, x.shape[1], True, x.device)
        step = max(1, PIECE_BYTES // (4 * len(x) * self.dims)) * self.dims
        for at in range(0, x.shape[1], step):
            some = x.index_select(1, sources[at : at + step]).mul_(sign[at : at + step])
            out += some.view(len(x), -1, self.dims).sum(1)

    def _table(self, name: str, first: int, size: int, gather: bool, device: torch.device,
               short: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Places (or sources, within the piece) and signs of elements first … first + size − 1."""
        key = (name, first, size, gather, device, short)
        found = self._tables.get(key)
        if found is not None:
            self._tables.move_to_end(key)
            return found
        found = (self._make_short(name, size, device) if short
                 else self._make(name, first, size, gather, device))
        self._bytes += 12 * size
        self._tables[key] = found
        while self._bytes > TABLE_BYTES and len(self._tables) > 1:
            _, (_, sign) = self._tables.popitem(last=False)
            self._bytes -= 12 * sign.numel()
        return found

    def _make_short(self, name: str, size: int,
                    device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        places = below(words(stream(self.seed, name, 1), 0, size, device), self.dims)
        bits = words(stream(self.seed, name, 0), 0, -(-size // UNIT), device)
        return places, signs(bits).view(-1)[:size].contiguous()

    def _make(self, name: str, first: int, size: int, gather: bool,
              device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """`first` is the first element of a sheet."""
        in_sheet = self.dims // UNIT
        units = -(-size // UNIT)
        unit = torch.arange(first // UNIT, first // UNIT + units, device=device)
        bits = words(stream(self.seed, name, 0), first // UNIT, units, device)
        flips = shifted(bits * signed(GAMMA), 58)
        sheets = -(-units // in_sheet)
        turns = below(words(stream(self.seed, name, 1), first // self.dims, sheets, device), in_sheet)
        sheet = (unit - first // UNIT) // in_sheet
        place = (unit % in_sheet + turns[sheet]) % in_sheet
        element = torch.arange(UNIT, device=device)
        places = (UNIT * place[:, None] + (element ^ flips[:, None])).view(-1)[:size]
        sign = signs(bits).view(-1)[:size]
        if not gather:
            return places, sign.contiguous()
        targets = places + (sheet * self.dims).repeat_interleave(UNIT)[:size]
        sources = torch.empty_like(targets)
        sources[targets] = torch.arange(size, device=device)
        return sources, sign[sources]
