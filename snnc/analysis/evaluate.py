"""How good a program is on data, how much it spikes, and how close it is to its ANN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError
from snnc.ir import Graph, Neuron
from snnc.target import Program, RunResult
from snnc.transform import Batches, Progress, silent

Outputs = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Ann:
    """The network before conversion, two ways.

    Attributes:
        eager: (N, *shape) -> (N, …), the user's own module.
        graph: the same of the `ann` graph after its folding passes, or None.
    """

    eager: Callable[[NDArray[np.float32]], Outputs]
    graph: Callable[[NDArray[np.float32]], Outputs] | None = None


@dataclass(frozen=True)
class Window:
    """Figures of one window length; None where the data or the ANN for it are missing.

    Attributes:
        timesteps: the window T.
        accuracy: fraction of samples whose largest output is the label.
        mean_absolute_error: for real-valued y.
        agreement: fraction of samples with the same largest output as the ANN.
    """

    timesteps: int
    accuracy: float | None = None
    mean_absolute_error: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Figures of a run over a dataset; the last window is the whole run."""

    samples: int
    windows: tuple[Window, ...]
    neurons: int
    spikes_per_inference: float
    ann_accuracy: float | None = None
    ann_mean_absolute_error: float | None = None
    ann_max_abs_diff: float | None = None
    ann_max_rel_diff: float | None = None
    activity: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Any])
    """Per node, what the target counted, summed over all samples; empty if it counts nothing."""

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as in docs/report.md; figures that do not exist are left out."""
        last = self.windows[-1]
        figures: dict[str, Any] = {
            "samples": self.samples,
            **self._window(last),
            "neurons": self.neurons,
            "spikes_per_neuron": self.spikes_per_inference / max(1, self.neurons),
            "spikes_per_inference": self.spikes_per_inference,
            "ann_accuracy": self.ann_accuracy,
            "ann_mean_absolute_error": self.ann_mean_absolute_error,
            "ann_max_abs_diff": self.ann_max_abs_diff,
            "ann_max_rel_diff": self.ann_max_rel_diff,
        }
        if len(self.windows) > 1:
            figures["sweep"] = [self._window(window) for window in self.windows]
        if self.activity:
            figures["activity"] = self._activity()
        return {key: value for key, value in figures.items() if value is not None}

    def _activity(self) -> dict[str, Any]:
        """Per inference: what the target counted in all, and by layer."""
        sums: dict[str, int] = {}
        for counted in self.activity.values():
            for key, number in counted.items():
                sums[key] = sums.get(key, 0) + number
        return {
            "per_inference": {key: number / self.samples for key, number in sums.items()},
            "layers": {
                node: {key: number / self.samples for key, number in counted.items()}
                for node, counted in self.activity.items()
            },
        }

    def _window(self, window: Window) -> dict[str, Any]:
        figures = {
            "timesteps": window.timesteps,
            "accuracy": window.accuracy,
            "accuracy_standard_error": self._error(window.accuracy),
            "mean_absolute_error": window.mean_absolute_error,
            "agreement": window.agreement,
            "agreement_standard_error": self._error(window.agreement),
        }
        return {key: value for key, value in figures.items() if value is not None}

    def _error(self, fraction: float | None) -> float | None:
        return None if fraction is None else sqrt(fraction * (1 - fraction) / self.samples)


@dataclass
class _Tally:
    """Sums over batches, by window length (0 for the ANN)."""

    samples: int = 0
    spikes: int = 0
    right: dict[int, int] = field(default_factory=dict[int, int])
    error: dict[int, float] = field(default_factory=dict[int, float])
    agree: dict[int, int] = field(default_factory=dict[int, int])
    diff: float = 0.0
    largest: float = 0.0
    activity: dict[str, dict[str, int]] = field(default_factory=dict[str, Any])

    def act(self, counted: Mapping[str, Mapping[str, int]]) -> None:
        """Add what the target counted in a batch."""
        for node, numbers in counted.items():
            sums = self.activity.setdefault(node, {})
            for key, number in numbers.items():
                sums[key] = sums.get(key, 0) + number

    def judge(self, key: int, output: Outputs, y: NDArray[np.generic] | None) -> None:
        """Add a batch of outputs held against its labels."""
        if y is None:
            return
        if y.dtype.kind == "f":
            wanted = y.astype(np.float64).reshape(len(y), -1)
            mean = np.abs(output.reshape(len(y), -1) - wanted).mean(axis=1)
            self.error[key] = self.error.get(key, 0.0) + float(mean.sum())
        else:
            self.right[key] = self.right.get(key, 0) + int((_classes(output) == y).sum())


def evaluate(
    program: Program,
    graph: Graph,
    data: Batches,
    *,
    timesteps: int,
    sweep: Sequence[int] = (),
    ann: Ann | None = None,
    seed: int = 0,
    progress: Progress = silent,
    total: int | None = None,
) -> Evaluation:
    """Run all of `data`, batch by batch.

    Args:
        graph: the stored `snn` graph of the program.
        data: batches of (x, y or None); integer y are classes, real y are regressed.
        timesteps: the window of the run; `sweep` are shorter windows read off the same run.
        total: number of samples, for the progress bar.

    Raises:
        DataError: no samples, or labels that do not fit the outputs.
    """
    windows = tuple(sorted({*sweep, timesteps}))
    populations = [node.name for node in graph if isinstance(node.op, Neuron)]
    tally = _Tally()
    with progress("evaluate", total) as advance:
        for x, y in data:
            _check_labels(y, graph)
            ids = np.arange(tally.samples, tally.samples + len(x))
            result = program.run(
                x,
                timesteps=timesteps,
                record="counts",
                sample_ids=ids,
                seed=seed,
                prefixes=windows[:-1],
            )
            _count(tally, x, y, _outputs(result, windows), ann)
            tally.spikes += sum(int(result.counts[name].sum()) for name in populations)
            tally.act(result.stats.get("activity", {}))
            tally.samples += len(x)
            advance(len(x))
    if not tally.samples:
        raise DataError("the data has no samples")
    neurons = sum(graph.type_of(name).size for name in populations)
    return _evaluation(tally, windows, neurons, ann)


def _outputs(result: RunResult, windows: Sequence[int]) -> dict[int, Outputs]:
    prefixes: Mapping[int, Outputs] = result.stats.get("prefixes", {})
    return {t: result.output if t == windows[-1] else prefixes[t] for t in windows}


def _count(
    tally: _Tally,
    x: NDArray[np.float32],
    y: NDArray[np.generic] | None,
    outputs: Mapping[int, Outputs],
    ann: Ann | None,
) -> None:
    for t, output in outputs.items():
        tally.judge(t, output, y)
    if ann is None:
        return
    expected = ann.eager(x)
    tally.judge(0, expected, y)
    for t, output in outputs.items():
        same = int((_classes(output) == _classes(expected)).sum())
        tally.agree[t] = tally.agree.get(t, 0) + same
    if ann.graph is not None:
        tally.diff = max(tally.diff, float(np.abs(ann.graph(x) - expected).max()))
        tally.largest = max(tally.largest, float(np.abs(expected).max()))


def _evaluation(tally: _Tally, windows: Iterable[int], neurons: int, ann: Ann | None) -> Evaluation:
    def fraction(sums: Mapping[int, float], key: int) -> float | None:
        return sums[key] / tally.samples if key in sums else None

    checked = ann is not None and ann.graph is not None
    return Evaluation(
        samples=tally.samples,
        windows=tuple(
            Window(t, fraction(tally.right, t), fraction(tally.error, t), fraction(tally.agree, t))
            for t in windows
        ),
        neurons=neurons,
        spikes_per_inference=tally.spikes / tally.samples,
        ann_accuracy=fraction(tally.right, 0),
        ann_mean_absolute_error=fraction(tally.error, 0),
        ann_max_abs_diff=tally.diff if checked else None,
        ann_max_rel_diff=tally.diff / tally.largest if checked and tally.largest else None,
        activity=tally.activity,
    )


def _check_labels(y: NDArray[np.generic] | None, graph: Graph) -> None:
    shape = graph.type_of(graph.outputs[0]).shape
    size = int(np.prod(shape))
    if y is None:
        return
    if y.dtype.kind == "f":
        if y[0].size != size:
            raise DataError(f"y has {y[0].size} values a sample, the network gives {shape}")
    elif y.ndim != 1:
        raise DataError(f"y has shape {y.shape[1:]} a sample; one class number is expected")
    elif int(y.max()) >= size or int(y.min()) < 0:
        raise DataError(f"labels {y.min()} to {y.max()}, but the network has {size} outputs")


def _classes(output: Outputs) -> NDArray[np.intp]:
    return output.reshape(len(output), -1).argmax(axis=1)
