"""What a program does with a few samples: rates, errors against the ANN, one raster of spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.raster import evenly, raster
from snnc.data import first_samples
from snnc.ir import Graph, Neuron, broadcast_to_sample
from snnc.ir.populations import spike_values
from snnc.memory import OBSERVED_VALUES, rows_that_fit
from snnc.tallies import ErrorTally, FiringTally, squares_of
from snnc.target import Program, RunResult
from snnc.transform import Batches, Progress, silent

SAMPLES = 64
"""At most so many samples are observed: the first ones."""
WORK = 1 << 27
"""Neurons times steps times samples: with more neurons or steps, fewer samples, at least `FEW`."""
FEW = 8
POINTS = 150
"""At most so many pairs of activation and rate are kept for each layer."""
WINDOWS = 16
"""At most about so many prefixes of the window are compared with the ANN."""


def measure_layers(
    program: Program,
    graph: Graph,
    data: Batches,
    *,
    timesteps: int,
    ann: Graph | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run the first `samples` of `data`; JSON-able, keys as `observed` in docs/report.md.

    A rate of r spikes per step stands for the activation `r * value`, the value
    being what a spike stands for (S20). With `ann`, the error of
    a layer is relative: sqrt(sum (r*value - a)^2 / sum a^2) over all its neurons and samples, a
    being the activation of the same name in the ANN.

    Args:
        graph: the stored `snn` graph of the program.
        ann: of stage `ann`, its nodes called as the populations they became; None leaves the
            comparison out.
        samples: at most; fewer of a large network, see `WORK`.
    """
    windows = prefixes(timesteps)
    values = spike_values(graph)
    tallies = {
        node.name: _Layer(node.op.signed, values.get(node.name))
        for node in graph
        if isinstance(node.op, Neuron)
    }
    neurons = sum(graph.type_of(name).size for name in tallies)
    few = min(samples, max(FEW, WORK // max(1, neurons * timesteps)))
    x = np.concatenate([batch for batch, _ in first_samples(data, few)])
    expected = _Expected(ann, tuple(tallies)) if ann is not None else None
    agreeing = dict.fromkeys(windows, 0)
    chunk = _chunk(neurons, tallies, timesteps)
    record = "spikes" if any(each.signed for each in tallies.values()) else "counts"
    with progress("observe", len(x)) as advance:
        for start in range(0, len(x), chunk):
            part = x[start : start + chunk]
            run = program.run(
                part,
                timesteps=timesteps,
                record=record,
                sample_ids=np.arange(start, start + len(part)),
                seed=seed,
                prefixes=windows[:-1],
            )
            theirs = expected.run(part) if expected is not None else {}
            for name, tally in tallies.items():
                tally.add(name, run, theirs.get(name), POINTS * len(part) // len(x))
            if expected is not None:
                _agree(agreeing, run, theirs[expected.output])
            advance(len(part))
    found: dict[str, Any] = {"samples": len(x), "timesteps": timesteps}
    found["layers"] = {
        name: tally.report() for name, tally in tallies.items() if tally.firing.elements
    }
    if expected is not None and graph.type_of(graph.outputs[0]).size > 1:
        found["agreement"] = [
            {"timesteps": t, "agreement": same / len(x)} for t, same in agreeing.items()
        ]
    found["raster"] = raster(program, list(tallies), x[:1], timesteps, seed)
    return found


def prefixes(timesteps: int) -> tuple[int, ...]:
    """Windows 1..T, all of them or about `WINDOWS` at equal ratios; the last is T."""
    if timesteps <= WINDOWS:
        return tuple(range(1, timesteps + 1))
    spaced = np.geomspace(1, timesteps, WINDOWS)
    return tuple(sorted({*np.rint(spaced).astype(int).tolist(), timesteps}))


def _chunk(neurons: int, tallies: Mapping[str, _Layer], timesteps: int) -> int:
    steps = timesteps if any(tally.signed for tally in tallies.values()) else 1
    return rows_that_fit(OBSERVED_VALUES, neurons * steps)


class _Expected:
    """The ANN's activations of the populations, and its output."""

    def __init__(self, ann: Graph, names: Sequence[str]) -> None:
        from snnc.training import FastInterpreter

        self._interpreter = FastInterpreter(ann)
        self._keep = [name for name in names if name in ann]
        self.output = ann.outputs[0]

    def run(self, x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Per node (N, *shape)."""
        import torch

        with torch.no_grad():
            found = self._interpreter.ann(x, self._keep)
        return {name: value.numpy() for name, value in found.items()}


def _agree(agreeing: dict[int, int], run: RunResult, expected: NDArray[np.float32]) -> None:
    classes = expected.reshape(len(expected), -1).argmax(axis=1)
    outputs = {**run.stats.get("prefixes", {}), max(agreeing): run.output}
    for t in agreeing:
        same = np.asarray(outputs[t]).reshape(len(classes), -1).argmax(axis=1) == classes
        agreeing[t] += int(same.sum())


@dataclass
class _Layer:
    """Sums of one population over the samples.

    Attributes:
        value: what a spike stands for, (), (C,) or of the sample's shape; None if unknown.
    """

    signed: bool
    value: NDArray[np.float64] | None = None
    steps: int = 0
    firing: FiringTally = field(default_factory=FiringTally)
    error: ErrorTally = field(default_factory=ErrorTally)
    compared: bool = False
    activations: list[float] = field(default_factory=list[float])
    values: list[float] = field(default_factory=list[float])

    def add(
        self,
        name: str,
        run: RunResult,
        expected: NDArray[np.float32] | None,
        points: int,
    ) -> None:
        """Count a run; what the target does not record is left out."""
        if name not in run.counts:
            return
        counts = np.asarray(run.counts[name])
        self.steps = run.timesteps
        fired = np.asarray((counts > 0).any(axis=0))
        full = int((counts >= run.timesteps).sum())
        self.firing.add(int(counts.sum()), counts.size, len(counts), fired, full)
        if expected is None or self.value is None or expected.shape != counts.shape:
            return
        total = np.asarray(run.spikes[name]).sum(axis=0) if self.signed else counts
        unit = np.asarray(broadcast_to_sample(self.value, counts.shape[1:]))
        self._compare(total * (unit.astype(np.float64) / run.timesteps), expected, points)

    def _compare(self, value: NDArray[Any], expected: NDArray[np.float32], points: int) -> None:
        activation = expected.astype(np.float64)
        self.compared = True
        self.error.add(value - activation, squares_of(activation))
        chosen = evenly(value.size, max(1, points))
        self.activations += activation.reshape(-1)[chosen].tolist()
        self.values += value.reshape(-1)[chosen].tolist()

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        found: dict[str, Any] = {
            "rate": self.firing.events / (self.firing.elements * self.steps),
            "spikes_per_inference": self.firing.per_sample,
            "silent": self.firing.silent,
            "saturated": self.firing.saturation,
        }
        if not self.compared:
            return found
        if self.error.relative is not None:
            found["activation_error"] = self.error.relative
        pairs = {"activation": self.activations, "decoded": self.values}
        return {**found, "scatter": {key: _short(values) for key, values in pairs.items()}}


def _short(values: Sequence[float]) -> list[float]:
    """Five digits are more than a picture shows."""
    return [float(f"{value:.5g}") for value in values]
