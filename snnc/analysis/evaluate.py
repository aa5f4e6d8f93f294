"""Evaluation of a program on data: accuracy, spikes, and agreement with its ANN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.classified import Classified
from snnc.analysis.deviation import Deviation, Outputs
from snnc.analysis.energy import Energy, energy
from snnc.analysis.exits import Exits
from snnc.early_exit import ExitRule
from snnc.errors import DataError
from snnc.ir import AnyNeuron, CountMaxPool, Encode, Graph
from snnc.output_function import output_function
from snnc.tallies import FiringTally
from snnc.target import Program, RunResult
from snnc.transform import Batches, Progress, silent


@dataclass(frozen=True)
class Ann:
    """The network before conversion, in two forms.

    Attributes:
        eager: (N, *shape) -> (N, …), the user's module.
        graph: (N, *shape) -> (N, …), the `ann` graph after its folding passes, or None.
    """

    eager: Callable[[NDArray[np.float32]], Outputs]
    graph: Callable[[NDArray[np.float32]], Outputs] | None = None


@dataclass(frozen=True)
class Window:
    """Figures for one window length; None if the labels or the ANN are missing.

    Attributes:
        timesteps: the window T.
        accuracy, accuracy_std: fraction of samples whose largest output is the label; over chips.
        agreement: fraction of samples with the same largest output as the ANN.
        errors: errors against real y and against the ANN's output, by key of the report.
    """

    timesteps: int
    accuracy: float | None = None
    agreement: float | None = None
    errors: Mapping[str, float] = field(default_factory=dict[str, float])
    accuracy_std: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Figures of a run over a dataset, or means over `chips`; the last window is the whole run."""

    samples: int
    windows: tuple[Window, ...]
    neurons: int
    spikes_per_inference: float
    ann_accuracy: float | None = None
    ann_errors: Mapping[str, float] = field(default_factory=dict[str, float])
    ann_max_abs_diff: float | None = None
    ann_max_rel_diff: float | None = None
    activity: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Any])
    """Per node, the activity counters of the target, summed over all samples; may be empty."""
    events: Mapping[str, float] = field(default_factory=dict[str, float])
    """Per spiking or counting node, in an inference."""
    energy: Energy | None = None
    early_exit: Mapping[str, Any] | None = None
    """Figures of the graph's early-exit rule, as in the report; None without one."""
    chips: int | None = None

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as in docs/report.md; figures that are None are left out."""
        figures: dict[str, Any] = {
            "samples": self.samples,
            "chips": self.chips,
            **self.of_window(self.windows[-1]),
            "neurons": self.neurons,
            "spikes_per_neuron": self.spikes_per_inference / max(1, self.neurons),
            "spikes_per_inference": self.spikes_per_inference,
            "ann_accuracy": self.ann_accuracy,
            **self.ann_errors,
            "ann_max_abs_diff": self.ann_max_abs_diff,
            "ann_max_rel_diff": self.ann_max_rel_diff,
        }
        if len(self.windows) > 1:
            figures["sweep"] = [self.of_window(window) for window in self.windows]
        figures["early_exit"] = self.early_exit
        figures["energy"] = None if self.energy is None else self.energy.report()
        if self.activity:
            figures["activity"] = self._activity()
        return {key: value for key, value in figures.items() if value is not None}

    def _activity(self) -> dict[str, Any]:
        """The activity counters per inference, in total and by layer."""
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

    def of_window(self, window: Window) -> dict[str, Any]:
        """The figures of a window, JSON-able, as in `report`."""
        figures = {
            "timesteps": window.timesteps,
            "accuracy": window.accuracy,
            "accuracy_std": window.accuracy_std,
            "accuracy_standard_error": self._error(window.accuracy),
            **window.errors,
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
    firing: dict[str, FiringTally] = field(default_factory=dict[str, FiringTally])
    right: dict[int, int] = field(default_factory=dict[int, int])
    error: dict[int, Deviation] = field(default_factory=dict[int, Deviation])
    agree: dict[int, int] = field(default_factory=dict[int, int])
    from_ann: dict[int, Deviation] = field(default_factory=dict[int, Deviation])
    diff: float = 0.0
    largest: float = 0.0
    activity: dict[str, dict[str, int]] = field(default_factory=dict[str, Any])

    def count(self, counts: Mapping[str, NDArray[np.uint32]]) -> None:
        """Add the spikes of a batch, by node."""
        for node, spikes in counts.items():
            tally = self.firing.setdefault(node, FiringTally())
            tally.add(int(spikes.sum()), spikes.size, len(spikes))

    def act(self, counted: Mapping[str, Mapping[str, int]]) -> None:
        """Add the activity counters of a batch."""
        for node, numbers in counted.items():
            sums = self.activity.setdefault(node, {})
            for key, number in numbers.items():
                sums[key] = sums.get(key, 0) + number

    def judge(self, key: int, result: Classified, y: NDArray[np.generic] | None) -> None:
        """Compare a batch of outputs with its labels."""
        if y is not None and _real(y):
            self.error.setdefault(key, Deviation()).add(result.values, y)
        elif y is not None:
            self.right[key] = self.right.get(key, 0) + int((result.classes == y).sum())

    def compare(self, key: int, result: Classified, expected: Classified, classified: bool) -> None:
        """Compare a batch of outputs with those of the ANN."""
        self.from_ann.setdefault(key, Deviation()).add(result.values, expected.values)
        if classified:
            same = int((result.classes == expected.classes).sum())
            self.agree[key] = self.agree.get(key, 0) + same

    def differ(self, folded: Outputs, expected: Outputs) -> None:
        """Compare a batch of the folded graph with the module."""
        self.diff = max(self.diff, float(np.abs(folded - expected).max()))
        self.largest = max(self.largest, float(np.abs(expected).max()))

    def errors(self, key: int) -> dict[str, float]:
        """Errors by key of the report."""
        own = self.error.get(key, Deviation()).report("ann_" if key == 0 else "")
        return {**own, **self.from_ann.get(key, Deviation()).report("ann_output_")}


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

    A sigmoid or tanh on the output of the model is applied to the outputs. They are class scores if
    they are one axis of two or more numbers and y is not real; only then are the agreement with the
    ANN and the early exit evaluated.

    Args:
        graph: the stored `snn` graph of the program; its early-exit rule, if any, is evaluated.
        data: batches of (x, y or None); integer y are classes, real y are regression targets.
        timesteps: the window of the run; `sweep` are shorter windows, prefixes of the same run.

    Raises:
        DataError: no samples, or labels that do not fit the outputs.
    """
    run = _Run(program, graph, tuple(sorted({*sweep, timesteps})), timesteps, ann, seed)
    with progress("evaluate", total) as advance:
        for x, y in data:
            run.add(x, y)
            advance(len(x))
    if not run.tally.samples:
        raise DataError("the data has no samples")
    return run.evaluation()


class _Run:
    """A run over a dataset, batch by batch."""

    def __init__(
        self,
        program: Program,
        graph: Graph,
        windows: tuple[int, ...],
        timesteps: int,
        ann: Ann | None,
        seed: int,
    ) -> None:
        self._program, self._graph, self._ann, self._seed = program, graph, ann, seed
        self._windows, self._timesteps = windows, timesteps
        self._exits = _exits(graph)
        self._prefixes = windows if self._exits is None else tuple(range(1, timesteps + 1))
        self.tally = _Tally()

    def add(self, x: NDArray[np.float32], y: NDArray[np.generic] | None) -> None:
        """Run a batch and count it."""
        tally = self.tally
        _check_labels(y, self._graph)
        result = self._program.run(
            x,
            timesteps=self._timesteps,
            record="counts",
            sample_ids=np.arange(tally.samples, tally.samples + len(x)),
            seed=self._seed,
            prefixes=self._prefixes[:-1],
        )
        outputs = _outputs(result, self._prefixes)
        function = output_function(self._graph.meta)
        read = {t: Classified.read(outputs[t], function) for t in self._windows}
        expected = None if self._ann is None else Classified.given(self._ann.eager(x), function)
        _count(tally, y, read, expected)
        if self._ann is not None and self._ann.graph is not None and expected is not None:
            tally.differ(self._ann.graph(x), expected.values)
        if self._exits is not None and not _real(y):
            self._exits.add(outputs, y, None if expected is None else expected.classes)
        tally.count(result.counts)
        tally.act(result.stats.get("activity", {}))
        tally.samples += len(x)

    def evaluation(self) -> Evaluation:
        """The figures of all batches."""
        evaluation = _evaluation(self.tally, self._windows, self._graph, self._ann)
        if self._exits is None or not self._exits.samples:
            return evaluation
        return replace(evaluation, early_exit=self._exits.report())


def _exits(graph: Graph) -> Exits | None:
    rule = ExitRule.of(graph.meta)
    return Exits(rule) if rule is not None and _has_classes(graph) else None


def _has_classes(graph: Graph) -> bool:
    shape = graph.type_of(graph.outputs[0]).shape
    return len(shape) == 1 and shape[0] > 1


def _real(y: NDArray[np.generic] | None) -> bool:
    return y is not None and y.dtype.kind == "f"


def _outputs(result: RunResult, windows: Sequence[int]) -> dict[int, Outputs]:
    prefixes: Mapping[int, Outputs] = result.stats.get("prefixes", {})
    return {t: result.output if t == windows[-1] else prefixes[t] for t in windows}


def _count(
    tally: _Tally,
    y: NDArray[np.generic] | None,
    outputs: Mapping[int, Classified],
    expected: Classified | None,
) -> None:
    """Add a batch: outputs by window length, and those of the ANN."""
    for t, result in outputs.items():
        tally.judge(t, result, y)
    if expected is None:
        return
    tally.judge(0, expected, y)
    shape = expected.values.shape
    classified = len(shape) == 2 and shape[1] > 1 and not _real(y)
    for t, result in outputs.items():
        tally.compare(t, result, expected, classified)


def _evaluation(tally: _Tally, windows: Sequence[int], graph: Graph, ann: Ann | None) -> Evaluation:
    def fraction(sums: Mapping[int, float], key: int) -> float | None:
        return sums[key] / tally.samples if key in sums else None

    checked = ann is not None and ann.graph is not None
    populations = [node.name for node in graph if isinstance(node.op, AnyNeuron)]
    rates = {
        node.name: tally.firing.get(node.name, FiringTally()).rate
        for node in graph
        if isinstance(node.op, AnyNeuron | Encode | CountMaxPool)
    }
    return Evaluation(
        samples=tally.samples,
        windows=tuple(
            Window(t, fraction(tally.right, t), fraction(tally.agree, t), tally.errors(t))
            for t in windows
        ),
        neurons=sum(graph.type_of(name).size for name in populations),
        spikes_per_inference=sum(tally.firing[name].events for name in populations) / tally.samples,
        ann_accuracy=fraction(tally.right, 0),
        ann_errors=tally.errors(0),
        ann_max_abs_diff=tally.diff if checked else None,
        ann_max_rel_diff=tally.diff / tally.largest if checked and tally.largest else None,
        activity=tally.activity,
        events={name: firing.per_sample for name, firing in tally.firing.items()},
        energy=energy(graph, rates, windows[-1]),
    )


def _check_labels(y: NDArray[np.generic] | None, graph: Graph) -> None:
    shape = graph.type_of(graph.outputs[0]).shape
    size = int(np.prod(shape))
    if y is None:
        return
    if _real(y):
        if y[0].size != size:
            raise DataError(
                f"y has {y[0].size} real values a sample, the network gives {shape}",
                hint="store class numbers as integers: y.astype(int)" if y[0].size == 1 else None,
            )
    elif y.ndim != 1:
        raise DataError(f"y has shape {y.shape[1:]} a sample; one class number is expected")
    elif int(y.max()) >= max(2, size) or int(y.min()) < 0:
        raise DataError(f"labels {y.min()} to {y.max()}, but the network has {size} outputs")
