"""Statistics of a program on a few samples: rates, errors against the ANN, a spike raster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.raster import evenly, raster
from snnc.data import first_samples
from snnc.ir import AnyNeuron, Graph, broadcast_to_sample
from snnc.ir.populations import spike_values
from snnc.memory import OBSERVED_VALUES, rows_that_fit
from snnc.tallies import ErrorTally, FiringTally, squares_of
from snnc.target import Program, RunResult
from snnc.transform import Batches, Progress, silent

SAMPLES = 64
"""Maximum number of samples, the first ones of the data."""
WORK = 1 << 27
"""Limit on neurons times steps times samples; at least `FEW` samples are run."""
FEW = 8
POINTS = 150
"""Maximum number of pairs of activation and decoded rate per layer."""
WINDOWS = 16
"""Approximate maximum number of prefixes of the window that are compared with the ANN."""


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

    A rate of r spikes per step represents the activation r * v, with v the value of a spike (S20).
    With `ann`, the error of a layer is sqrt(sum (r*v - a)^2 / sum a^2) over all its neurons and
    samples, a being the activation of the same name in the ANN.

    Args:
        graph: the stored `snn` graph of the program.
        ann: of stage `ann`, with activations of the names of the populations; None for no
            comparison.
        samples: maximum number; fewer for a large network, see `WORK`.
    """
    tallies = _tallies(graph)
    neurons = sum(graph.type_of(name).size for name in tallies)
    few = min(samples, max(FEW, WORK // max(1, neurons * timesteps)))
    x = np.concatenate([batch for batch, _ in first_samples(data, few)])
    reference = None if ann is None else _Reference(ann, tuple(tallies), prefixes(timesteps))
    with progress("observe", len(x)) as advance:
        for part, run in _runs(program, x, tallies, neurons, timesteps, seed):
            activations = {} if reference is None else reference.compare(part, run)
            for name, tally in tallies.items():
                tally.add(name, run, activations.get(name), POINTS * len(part) // len(x))
            advance(len(part))
    report: dict[str, Any] = {"samples": len(x), "timesteps": timesteps}
    report["layers"] = {n: tally.report() for n, tally in tallies.items() if tally.firing.elements}
    if reference is not None and graph.type_of(graph.outputs[0]).size > 1:
        report["agreement"] = reference.agreement(len(x))
    report["raster"] = raster(program, list(tallies), x[:1], timesteps, seed)
    return report


def _tallies(graph: Graph) -> dict[str, _Layer]:
    values = spike_values(graph)
    return {
        node.name: _Layer(node.op.signed, values.get(node.name))
        for node in graph
        if isinstance(node.op, AnyNeuron)
    }


def _runs(
    program: Program,
    x: NDArray[np.float32],
    tallies: Mapping[str, _Layer],
    neurons: int,
    timesteps: int,
    seed: int,
) -> Iterator[tuple[NDArray[np.float32], RunResult]]:
    """Parts of `x` that fit the memory budget, with their runs."""
    signed = any(tally.signed for tally in tallies.values())
    rows = rows_that_fit(OBSERVED_VALUES, neurons * (timesteps if signed else 1))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        yield (
            part,
            program.run(
                part,
                timesteps=timesteps,
                record="spikes" if signed else "counts",
                sample_ids=np.arange(start, start + len(part)),
                seed=seed,
                prefixes=prefixes(timesteps)[:-1],
            ),
        )


def prefixes(timesteps: int) -> tuple[int, ...]:
    """Windows 1..T, all of them or about `WINDOWS` in geometric progression; the last is T."""
    if timesteps <= WINDOWS:
        return tuple(range(1, timesteps + 1))
    spaced = np.geomspace(1, timesteps, WINDOWS)
    return tuple(sorted({*np.rint(spaced).astype(int).tolist(), timesteps}))


class _Reference:
    """The ANN: activations of the populations, and agreement of its output, by window length."""

    def __init__(self, ann: Graph, names: Sequence[str], windows: Sequence[int]) -> None:
        from snnc.training import FastInterpreter

        self._interpreter = FastInterpreter(ann)
        self._keep = [name for name in names if name in ann]
        self._output = ann.outputs[0]
        self._agreeing = dict.fromkeys(windows, 0)

    def compare(self, x: NDArray[np.float32], run: RunResult) -> dict[str, NDArray[np.float32]]:
        """Values by node, (N, *shape), for x (N, *shape); counts agreeing outputs of its `run`."""
        import torch

        with torch.no_grad():
            tensors = self._interpreter.ann(x, self._keep)
        values = {name: tensor.numpy() for name, tensor in tensors.items()}
        expected = values[self._output]
        classes = expected.reshape(len(expected), -1).argmax(axis=1)
        outputs = {**run.stats.get("prefixes", {}), max(self._agreeing): run.output}
        for t in self._agreeing:
            same = np.asarray(outputs[t]).reshape(len(classes), -1).argmax(axis=1) == classes
            self._agreeing[t] += int(same.sum())
        return values

    def agreement(self, samples: int) -> list[dict[str, Any]]:
        """The fraction of agreeing `samples` by window length, JSON-able."""
        return [{"timesteps": t, "agreement": n / samples} for t, n in self._agreeing.items()]


@dataclass
class _Layer:
    """Sums of one population over the samples.

    Attributes:
        value: value of a spike, (), (C,) or of the sample's shape; None if unknown.
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
        """Add a run; nodes that the target does not record are skipped."""
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
        report: dict[str, Any] = {
            "rate": self.firing.events / (self.firing.elements * self.steps),
            "spikes_per_inference": self.firing.per_sample,
            "silent": self.firing.silent,
            "saturated": self.firing.saturation,
        }
        if not self.compared:
            return report
        if self.error.relative is not None:
            report["activation_error"] = self.error.relative
        pairs = {"activation": self.activations, "decoded": self.values}
        return {**report, "scatter": {key: _short(values) for key, values in pairs.items()}}


def _short(values: Sequence[float]) -> list[float]:
    """Rounded to five significant digits, enough for a plot."""
    return [float(f"{value:.5g}") for value in values]
