"""Results of a run, collected sample by sample; each thread writes its own rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.readout_steps import steps_read
from snnc.target import Record, RunResult
from snnc_backends.cpu.plan import TALLY, Plan
from snnc_backends.cpu.workspace import Workspace

Array = NDArray[Any]
SPIKES = {"spike": np.bool_, "signed": np.int8, "count": np.int32}
BYTE_STEPS = 255
"""Most steps whose spikes fit one byte."""


class Collector:
    """Sums of the first readout (for several windows), spikes and counts of a batch.

    Args:
        scale: float64 scales of the first output: one, one per channel, or one per element.
        samples, steps, record, prefixes: the arguments of the run.
    """

    def __init__(
        self,
        plan: Plan,
        scale: Array,
        samples: int,
        steps: int,
        record: Record,
        prefixes: tuple[int, ...],
    ) -> None:
        self._plan, self._scale, self._steps = plan, scale, steps
        self._source, self._start = plan.outputs[0].source, plan.outputs[0].start
        tensor = plan.tensors[self._source]
        kind = np.int64 if tensor.dtype.startswith("i") else np.float64
        windows = dict.fromkeys((steps, *prefixes))
        self._sums = {t: np.zeros((samples, *tensor.layout), kind) for t in windows}
        self._prefixes = prefixes
        recorded = [i for i, t in enumerate(plan.tensors) if t.record in SPIKES]
        recorded = [] if record == "none" else recorded
        self._counts = {i: self._empty(i, (samples,), np.uint32) for i in recorded}
        tallies = [i for i, t in enumerate(plan.tensors) if t.record == TALLY]
        self._tallies = {i: self._empty(i, (samples,), np.float64) for i in tallies}
        kept = recorded if record == "spikes" else []
        self._spikes = {
            i: self._empty(i, (steps, samples), SPIKES[plan.tensors[i].record]) for i in kept
        }

    def _empty(self, number: int, lead: tuple[int, ...], dtype: Any) -> Array:
        return np.empty((*lead, *self._plan.tensors[number].layout), dtype)

    def take(self, row: int, space: Workspace) -> None:
        """Store the results of sample `row`, which was the last one run in `space`."""
        x = space.view(self._source)
        constant = self._plan.tensors[self._source].constant
        for t, sums in self._sums.items():
            read = steps_read(self._start, t)
            if constant:
                np.multiply(x[0], len(read), out=sums[row], dtype=sums.dtype)
            else:
                np.sum(x[read.start : read.stop], axis=0, dtype=sums.dtype, out=sums[row, ...])
        for number, counts in self._counts.items():
            tensor = self._plan.tensors[number]
            times = self._steps if tensor.constant else 1
            counts[row] = _totals(space.view(number), tensor.record) * times
        for number, tallies in self._tallies.items():
            np.sum(space.view(number), axis=0, out=tallies[row])
        for number, spikes in self._spikes.items():
            spikes[:, row] = space.view(number)

    def result(self, stats: Mapping[str, Any]) -> RunResult:
        """All results, channels first."""
        facts = dict(stats)
        if self._tallies:
            facts["tallies"] = self._tally()
        if self._prefixes:
            facts["prefixes"] = {t: self._output(t) for t in self._prefixes}
        names = self._plan.tensors
        sums = self._sums[self._steps]
        return RunResult(
            output=self._output(self._steps),
            readout=_channels_first(sums, 1) if self._plan.outputs[0].quantized else None,
            counts={names[i].name: _channels_first(c, 1) for i, c in self._counts.items()},
            spikes={names[i].name: _channels_first(s, 2) for i, s in self._spikes.items()},
            stats=facts,
            timesteps=self._steps,
        )

    def _tally(self) -> dict[str, NDArray[np.float64]]:
        """The sum of every tallied tensor over samples and steps, by name."""
        return {self._plan.tensors[i].name: t.sum(0) for i, t in self._tallies.items()}

    def _output(self, steps: int) -> NDArray[np.float32]:
        """float32(float64(sum) * scale / number of steps read)"""
        sums = self._sums[steps].astype(np.float64)
        scale = self._scale
        if scale.size == sums[0].size:
            scale = scale.reshape(sums.shape[1:])
        output = sums * scale / len(steps_read(self._start, steps))
        return _channels_first(output, 1).astype(np.float32)


def _totals(events: Array, record: str) -> NDArray[np.uint32]:
    """Sum of |events| over the steps. Spikes are summed as bytes, 255 steps at a time."""
    if record == "count":
        return np.abs(events).sum(0, dtype=np.uint32)
    fired = (events != 0).view(np.uint8)
    total = np.zeros(events.shape[1:], np.uint32)
    for first in range(0, len(fired), BYTE_STEPS):
        total += fired[first : first + BYTE_STEPS].sum(0, dtype=np.uint8)
    return total


def _channels_first(array: Array, lead: int) -> Array:
    if array.ndim == lead:
        return array
    return np.ascontiguousarray(np.moveaxis(array, -1, lead))
