"""Reading the tiles of one layer: exact column sums, converters, shift and add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import Run
from snnc.ir import Conv, Graph, Linear, TensorType
from snnc.memory import TILE_VALUES, rows_that_fit
from snnc_backends.crossbar.cells import MatrixCode
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart
from snnc_backends.crossbar.reading.activity import Activity
from snnc_backends.crossbar.reading.bits import phases
from snnc_backends.crossbar.reading.column_noise import GOLDEN, noisy, stream
from snnc_backends.crossbar.reading.conversions import Conversion, layer_conversions
from snnc_backends.crossbar.reading.programmed import Programmed, layer_key, line_order, programmed

EXACT_FLOAT32 = 1 << 24
Observe = Callable[[str, int, Tensor], None]
"""Called with the layer, the number of a conversion and column sums (…, columns, positions)."""


@dataclass(frozen=True)
class Samples:
    """Which samples events are of: (N,) identities and steps."""

    identities: NDArray[np.int64]
    steps: NDArray[np.int64]

    @classmethod
    def of(cls, lead: Sequence[int], run: Run | None) -> Samples:
        """Those of events (steps, samples, …) of a run, flattened."""
        steps, count = lead
        ids = np.arange(count) if run is None or run.sample_ids is None else run.sample_ids
        return cls(np.tile(ids, steps), np.repeat(np.arange(steps), count))

    def split(self, size: int) -> list[Samples]:
        """In parts of `size`."""
        places = [slice(i, i + size) for i in range(0, len(self.steps), size)]
        return [Samples(self.identities[place], self.steps[place]) for place in places]


@dataclass(frozen=True)
class LayerTiles:
    """All tiles of a layer.

    Column sum of conversion b and physical column p: s[b,p] = sum over rows of level * bit, an
    exact integer. y[o] = sum over phases f, conversions b and the columns p of output o of
    worth[f] * polarity[p] * significance[p] * ADC(s[b,p]), p the reference columns included. What
    the code subtracts digitally is taken off for every driven row.

    Attributes:
        dtype: float32 if all partial sums are integers below 2^24, so exact in any order; else
            float64. Partial sums are at most levels * sum of |w| of an output, and for every row
            `WeightCode.largest_partial`. What is not ideal is computed in float64, in multiples of
            a small fraction of a level.
        layer: its cells and converters.
        copies: the conversions of every copy: of its row blocks, or one of all of them.
        observe: called for every conversion; None for nothing.
    """

    op: Conv | Linear
    events: TensorType
    result: TensorType
    matrix: WeightMatrix
    chip: Chip
    dtype: torch.dtype
    layer: Programmed
    copies: tuple[tuple[Conversion, ...], ...]
    observe: Observe | None

    @property
    def code(self) -> MatrixCode:
        """Its physical columns."""
        return self.chip.matrix(self.matrix.outputs)

    @cached_property
    def terms(self) -> tuple[tuple[int, Tensor], ...]:
        """(factor, physical column of every output); see `MatrixCode.terms`."""
        return tuple((factor, torch.from_numpy(place)) for factor, place in self.code.terms)

    def currents(self, x: Tensor, samples: Samples, activity: Activity) -> Tensor:
        """Output currents (B, *result), without the bias, for events (B, *sample)."""
        inputs = self.matrix.groups * max(self.matrix.rows, self.code.physical + 1)
        at_once = rows_that_fit(TILE_VALUES, inputs * self._positions())
        parts = zip(x.split(at_once), samples.split(at_once), strict=True)
        return torch.cat([self._part(part, which, activity) for part, which in parts])

    def _positions(self) -> int:
        """Output positions per sample: how often the matrix is applied."""
        return self.result.size // (self.matrix.groups * self.matrix.all_outputs)

    def _part(self, x: Tensor, samples: Samples, activity: Activity) -> Tensor:
        total: Tensor | None = None
        count = self.events.levels.bit_length() * (2 if self.events.signed else 1)
        reads = self._first_reads(samples) * count * len(self.copies[0])
        for number, phase in enumerate(phases(x, self.events, self.dtype)):
            if phase.bits is None:
                tiles = sum(conversion.tiles for conversion in self.copies[0])
                activity.skipped_reads += len(x) * self._positions() * tiles
                continue
            inputs = self._unfold(phase.bits)
            if total is None:
                shape = (*inputs.shape[:2], self.matrix.outputs, inputs.shape[-1])
                total = inputs.new_zeros(shape)
            for copy, conversions in enumerate(self.copies):
                own = slice(copy, None, len(self.copies))
                driven = self._placed(inputs[..., own], copy)
                for conversion in conversions:
                    keys = None
                    if self.layer.variances is not None:
                        read = reads[..., own] + (number * len(conversions) + conversion.number)
                        keys = self._keys(samples, read)
                    self._read(conversion, driven, keys, phase.worth, total[..., own], activity)
        if total is None:
            return torch.zeros(len(x), *self.result.shape, dtype=self.dtype)
        if self.layer.step_bits:
            total = total.mul_(2.0**-self.layer.step_bits).round_()
        if self.matrix.left_out:
            placed, groups, positions = total, *total.shape[1::2]
            total = placed.new_zeros(len(placed), groups, self.matrix.all_outputs, positions)
            total[:, :, torch.from_numpy(self.matrix.places)] = placed
        y = total[0, 0].T if isinstance(self.op, Linear) else total
        return y.reshape(len(x), *self.result.shape)

    def _placed(self, rows: Tensor, copy: int) -> Tensor:
        """Placed rows (B, groups, placed rows, positions) of all (B, groups, rows, positions)."""
        order = self.layer.orders[copy].rows
        if order is None:
            return rows
        return torch.take_along_dim(rows, torch.from_numpy(order)[None, :, :, None], 2)

    def _first_reads(self, samples: Samples) -> NDArray[np.int64]:
        """(B, groups, positions): steps, positions and groups counted through."""
        positions, groups = self._positions(), self.matrix.groups
        place = np.arange(positions) * groups + np.arange(groups)[:, None]
        return samples.steps[:, None, None] * (positions * groups) + place

    def _keys(self, samples: Samples, read: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The keys of reads, broadcast to column sums; see `column_noise.noisy`."""
        own = stream(0, layer_key(self.matrix.layer))
        keys = [stream(self.chip.seed, int(sample)) ^ own for sample in samples.identities]
        first = np.array(keys, np.uint64)[:, None, None]
        found = first + np.uint64(GOLDEN) * (read + 1).astype(np.uint64)
        return found.transpose(1, 2, 0)[None] if isinstance(self.op, Linear) else found[:, :, None]

    def _unfold(self, bits: Tensor) -> Tensor:
        """(B, groups, rows, positions) of a convolution; (1, 1, rows, B) of a Linear."""
        op = self.op
        if isinstance(op, Linear):
            return bits.T[None, None]
        around = [amount for pair in reversed(op.padding) for amount in pair]
        padded = F.pad(bits, around).contiguous()
        outer, inner = padded.stride()[:2], padded.stride()[2:]
        size = (*padded.shape[:2], *self.matrix.kernel, *self.result.shape[1:])
        steps = [s * d for s, d in zip(inner, op.dilation, strict=True)]
        jumps = [s * j for s, j in zip(inner, op.stride, strict=True)]
        windows = padded.as_strided(size, (*outer, *steps, *jumps))
        return windows.reshape(len(bits), self.matrix.groups, self.matrix.rows, -1)

    def _read(
        self,
        conversion: Conversion,
        inputs: Tensor,
        keys: NDArray[np.uint64] | None,
        worth: int,
        total: Tensor,
        activity: Activity,
    ) -> None:
        """Read and convert at all positions of (B, groups, placed rows, positions); add to `total`.

        The sums of all row blocks of a conversion are added before.
        """
        sums, spread = conversion.sums(inputs, activity)
        driven = sums[:, :, -1]
        values = self._convert(conversion, sums[:, :, :-1], spread, keys, activity)
        for factor, columns in self.terms:
            total.add_(values[:, :, columns], alpha=worth * factor)
        if self.code.subtracted:
            shift = self.code.subtracted << self.layer.step_bits
            total.sub_(driven[:, :, None], alpha=worth * shift)

    def _convert(
        self,
        conversion: Conversion,
        sums: Tensor,
        spread: Tensor | None,
        keys: NDArray[np.uint64] | None,
        activity: Activity,
    ) -> Tensor:
        """What the codes of column sums stand for, in 2^-step_bits levels.

        Args:
            spread: variances of the sums.
        """
        if self.observe is not None:
            self.observe(self.matrix.layer, conversion.number, sums)
        if self.chip.exact:
            return sums
        layer, values = self.layer, sums.to(torch.float32)
        if spread is not None and keys is not None:
            order = line_order(self.code)[:, None]
            found = noisy(values.numpy(), spread.numpy(), layer.variance_bits, keys, order)
            values = torch.from_numpy(found)
        values = values * conversion.gains
        if layer.top:
            outside = (values < -0.5) | (values > layer.top + 0.5)
            activity.clipped += int(torch.count_nonzero(outside))
            values = values.clamp(0, layer.top)
        return values.round().to(self.dtype) * conversion.steps


def layer_tiles(
    graph: Graph,
    matrix: WeightMatrix,
    chip: Chip,
    ranges: NDArray[np.floating] | None = None,
    observe: Observe | None = None,
    parts: Sequence[PlacedPart] | None = None,
) -> LayerTiles:
    """The tiles of one layer of an integer graph, programmed as the chip's device does it."""
    node = graph.node(matrix.layer)
    op = node.op
    assert isinstance(op, Conv | Linear)
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    largest = int(np.abs(matrix.weights.astype(np.int64)).sum(1).max())
    besides = chip.code.largest_partial(chip.largest_level)
    reach = (largest + besides * matrix.rows) * events.levels
    narrow = chip.exact and max(reach, matrix.rows) < EXACT_FLOAT32
    dtype = torch.float32 if narrow else torch.float64
    layer = programmed(matrix, chip, ranges, parts)
    copies = tuple(
        tuple(layer_conversions(layer, copy, dtype, matrix, chip)) for copy in range(layer.copies)
    )
    result = graph.type_of(matrix.layer)
    return LayerTiles(op, events, result, matrix, chip, dtype, layer, copies, observe)
