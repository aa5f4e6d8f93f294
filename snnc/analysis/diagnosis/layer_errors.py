"""Sums over samples for the errors of one population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.diagnosis.result import LayerError
from snnc.ir import AnyNeuron, Graph, TwoSidedNeuron, broadcast_to_sample
from snnc.tallies import ErrorTally, FiringTally, squares_of

Real = NDArray[np.floating[Any]]
PARTS = ("error", "inherited", "clipping", "quantisation", "unevenness", "rounding")


@dataclass(frozen=True)
class Channels:
    """Statistics of every channel of a population, (C,) each, to assess thresholds.

    Attributes:
        threshold: smallest threshold of the channel.
        largest: largest activation of the ANN.
        active: fraction of neurons and samples at which the ANN is active.
        active_samples: number of samples at which the ANN is active somewhere.
        clipped: relative error of clipping the ANN's activation at the threshold.
        expected: spikes that ideal neurons emit for the ANN's activation, over all samples.
        spikes: spikes emitted, over all samples.
        shared_threshold: whether the layer has one threshold for all channels.
    """

    threshold: Real
    largest: Real
    active: Real
    active_samples: Real
    clipped: Real
    expected: Real
    spikes: Real
    shared_threshold: bool


def ideal_counts(z: Real, threshold: Real, v_init: Real, timesteps: int) -> Real:
    """Spikes of an integrate-and-fire neuron with mean current `z` that waits for all of it.

    n = the largest of 0..T with T*z + v_init > n*threshold: the (T+1)-level quantiser computed by
    reset by subtraction with `wait=T`.
    """
    counts = np.ceil((timesteps * z + v_init) / threshold) - 1
    return np.clip(counts, 0, timesteps)


def ideal_two_sided_counts(z: Real, threshold: Real, v_init: Real, timesteps: int) -> Real:
    """`ideal_counts` of a two-sided neuron: of the magnitude, with the sign of the potential."""
    total = timesteps * z + v_init
    return np.sign(total) * np.clip(np.ceil(np.abs(total) / threshold) - 1, 0, timesteps)


def ideal_rounded_counts(z: Real, threshold: Real, v_init: Real, timesteps: int) -> Real:
    """`ideal_two_sided_counts` of a neuron that rounds: it fires beyond half its threshold."""
    total = timesteps * z + v_init
    size = np.ceil(np.abs(total) / threshold - np.float32(0.5))
    return np.sign(total) * np.clip(size, 0, timesteps)


class LayerTally:
    """Sums of one population.

    Args:
        op: the population's op, in `graph`.
        shape: shape of one sample.
        timesteps: the window T.
        spike_value: value of a spike in units of the ANN, for a graph of integers; else None.
        copies: K, of a group of neurons (`snnc.ir.neuron_groups`), which has K T + 1 levels; `op`
            is that of its first population, whose start is (K - 1) / 2K thresholds below the mean.
    """

    def __init__(
        self,
        graph: Graph,
        op: AnyNeuron,
        shape: tuple[int, ...],
        timesteps: int,
        spike_value: NDArray[np.generic] | None = None,
        copies: int = 1,
    ) -> None:
        self._timesteps = timesteps * copies
        self._columns = (shape[0] if shape else 1, -1)
        own = self._wide(graph.array(op.threshold), shape)
        real = own if spike_value is None else self._wide(spike_value, shape)
        self._unit = real / own
        self._threshold = real
        bound = np.full((), np.inf) if op.upper is None else graph.array(op.upper)
        self._upper = self._wide(bound, shape) * self._unit
        start = self._wide(graph.array(op.v_init), shape) * self._unit
        start = start + real * ((copies - 1) / (2 * copies))
        self._v_init = copies * start - real * ((copies - 1) / 2)
        self._two_sided = isinstance(op, TwoSidedNeuron)
        self._counts = ideal_counts
        if isinstance(op, TwoSidedNeuron):
            self._counts = ideal_rounded_counts if op.rounds else ideal_two_sided_counts
        self._half = np.zeros_like(real) if self._two_sided else real / 2
        self._given = (start - self._half) / timesteps
        self._shared = np.ndim(graph.array(op.threshold)) == 0
        channels, places = own.shape
        self._places = 0
        self._errors = {name: ErrorTally() for name in PARTS}
        self._sums: dict[str, float] = dict.fromkeys(("x", "y", "xx", "yy", "xy"), 0.0)
        self._firing = FiringTally(fired=np.zeros((channels, places), bool))
        zeros = np.zeros(channels)
        self._largest = np.full(channels, -np.inf)
        names = ("active", "active_samples", "clip", "power", "expected", "spikes", "saturated")
        self._by_channel = {name: zeros.copy() for name in names}

    def _wide(self, array: NDArray[np.generic], shape: tuple[int, ...]) -> Real:
        values = np.asarray(broadcast_to_sample(array, shape), np.float32)
        return np.broadcast_to(values, shape).reshape(self._columns)

    def add(self, current: Real, rate: Real, activation: Real, rounded: Real | None = None) -> None:
        """Add a batch.

        Args:
            current: (N, *shape), mean over the window of the input, in units of the graph.
            rate: (N, *shape), signed spikes per step and neuron.
            activation: (N, *shape), activation of the ANN.
            rounded: (N, *shape), rate of the integer network, if there is one.
        """
        n = len(rate)
        z, r, a = (np.asarray(v).reshape(n, *self._columns) for v in (current, rate, activation))
        z = z * self._unit + self._given
        if not self._two_sided:
            a, own = np.maximum(a, 0), np.clip(z, 0, self._upper)
        else:
            own = z
        kept = np.clip(own, -self._threshold, self._threshold)
        step = self._threshold / self._timesteps
        ideal = self._counts(z, self._threshold, self._half, self._timesteps) * step
        decoded = r * self._threshold
        parts = (a - decoded, a - own, own - kept, kept - ideal, ideal - decoded)
        power = squares_of(a)
        for name, part in zip(PARTS, parts, strict=False):
            self._errors[name].add(part, power)
        if rounded is not None:
            integer = np.asarray(rounded).reshape(r.shape) * self._threshold
            self._errors["rounding"].add(integer - decoded, power)
        self._correlate(decoded, a)
        self._count(r, a)

    def _correlate(self, x: Real, y: Real) -> None:
        for name, value in (("x", x), ("y", y)):
            self._sums[name] += float(value.sum(dtype=np.float64))
        for name, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y)):
            self._sums[name] += float(np.multiply(a, b, dtype=np.float64).sum())

    def _count(self, r: Real, a: Real) -> None:
        self._places += r.shape[0] * r.shape[2]
        spikes = np.abs(r).sum(axis=(0, 2), dtype=np.float64) * self._timesteps
        self._firing.add(float(spikes.sum()), r.size, len(r), (r != 0).any(axis=0))
        size = np.abs(a)  # of a one-sided population it is the activation itself
        self._largest = np.maximum(self._largest, size.max(axis=(0, 2)))
        active = size > 0
        over = size - np.minimum(size, self._threshold)
        ideal = np.abs(self._counts(a, self._threshold, self._v_init, self._timesteps)) * active
        full = np.abs(r) >= 1 - 0.5 / self._timesteps
        batch = {
            "active": active.sum(axis=(0, 2)),
            "active_samples": active.any(axis=2).sum(axis=0),
            "clip": np.square(over, dtype=np.float64).sum(axis=(0, 2)),
            "power": np.square(a, dtype=np.float64).sum(axis=(0, 2)),
            "expected": ideal.sum(axis=(0, 2)),
            "spikes": spikes,
            "saturated": full.sum(axis=(0, 2)),
        }
        for name, values in batch.items():
            self._by_channel[name] += values

    def result(self, name: str) -> LayerError:
        """The errors over all samples."""
        error = {name: tally.relative for name, tally in self._errors.items()}
        fired = self._firing.fired
        assert fired is not None
        saturated = self._by_channel["saturated"] / self._places
        return LayerError(
            name=name,
            **error,
            correlation=self._correlation(),
            silent=self._firing.silent,
            saturated=float(saturated.mean()),
            threshold=(float(self._threshold.min()), float(self._threshold.max())),
            channels=len(fired),
            silent_channels=int((~fired.any(axis=1)).sum()),
            saturated_channels=int((saturated > 0.5).sum()),
            dead_channels=int((self._largest <= 0).sum()),
        )

    def _correlation(self) -> float | None:
        s, n = self._sums, self._firing.elements
        spread = (n * s["xx"] - s["x"] ** 2) * (n * s["yy"] - s["y"] ** 2)
        if spread <= 0:
            return None
        return float(np.clip((n * s["xy"] - s["x"] * s["y"]) / np.sqrt(spread), -1, 1))

    def channels(self) -> Channels:
        """The statistics by channel over all samples."""
        sums = self._by_channel
        power = np.where(sums["power"] > 0, sums["power"], 1)
        return Channels(
            threshold=self._threshold.min(axis=1),
            largest=self._largest,
            active=sums["active"] / self._places,
            active_samples=sums["active_samples"],
            clipped=np.sqrt(sums["clip"] / power),
            expected=sums["expected"],
            spikes=sums["spikes"],
            shared_threshold=self._shared,
        )
