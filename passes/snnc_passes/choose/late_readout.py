"""`late-readout`: the step from which the readout sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Readout
from snnc.memory import JUDGED_VALUES, rows_that_fit
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._samples import first
from snnc_passes.calibrate._weight_correction import add_bias, summed_into

Outputs = NDArray[np.float64]
"""(N, *shape)."""


@dataclass(frozen=True, kw_only=True)
class LateReadout(Pass):
    """Leave the first steps out of the sum of the readout (S15).

    Until spikes have come through all layers the output is not yet that of the input. The answer
    after the window is then the mean of the steps from `start` on; T and the latency stay. Without
    `start` it is chosen on validation data, else on calibration data: the step whose mean agrees
    with the ANN on most samples, the least of equal ones. For outputs that are no classes it is
    the one of least squared error. Step 0 stays unless the gain is more than its own standard
    error. (Sums that start late: the option `discard` of Rueckauer et al., "Conversion of
    Continuous-Valued Deep Networks to Efficient Event-Driven Networks for Image Classification",
    2017, section 2.3.)

    In a network of real numbers the mean of the output is corrected for the steps that are left
    out, in the bias of the layer before the readout. Put the pass behind calibrate.

    Attributes:
        start: first step of the sum, below T; none chooses it.
        samples: maximum number of samples.

    Metrics: `start`; `samples`; `agreement`, the measured fraction by start, or `error`, the root
    mean squared error by start, of outputs that are no classes.
    """

    name: ClassVar[str] = "late-readout"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "validation|calibration"})
    start: int | None = None
    samples: int = 1024

    def __post_init__(self) -> None:
        if self.start is not None and self.start < 0:
            raise ValueError(f"start={self.start} is negative")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Set the start. Raises `PassError` for one that is not in the window."""
        if self.start is not None and self.start >= ctx.timesteps:
            raise PassError(
                f"start={self.start} is not below the window of {ctx.timesteps} steps",
                hint="a readout needs at least one step",
            )
        set_start(graph, 0)
        means = late_means(graph, ctx, self.samples)
        corrects = _has_bias(graph, means.source)
        judged = means.corrected() if corrects else means
        start = judged.best() if self.start is None else self.start
        if corrects and start:
            add_bias(graph, means.source, means.shift(start))
        set_start(graph, start)
        measure = "agreement" if means.classes else "error"
        metrics = {"start": start, "samples": len(means.wanted), measure: judged.by_start()}
        return PassResult(graph, metrics=metrics)


def set_start(graph: Graph, start: int) -> None:
    """Let every readout sum from `start` on."""
    for name in graph.outputs:
        op = graph.node(name).op
        if isinstance(op, Readout) and op.start != start:
            graph.replace_op(name, replace(op, start=start))


def _has_bias(graph: Graph, source: str) -> bool:
    """Whether a bias can be added to the output of a network of real numbers, as it is read."""
    op, shape = graph.node(graph.outputs[0]).op, graph.type_of(source).shape
    unscaled = isinstance(op, Readout) and bool(np.all(graph.array(op.scale) == 1))
    return unscaled and bool(shape) and not graph.quantized and bool(summed_into(graph, source))


@dataclass(frozen=True)
class LateMeans:
    """Outputs for every start of the readout, beside those of the ANN.

    Attributes:
        source: the node that the readout sums.
        wanted: outputs of the ANN.
        outputs: (T, N, *shape), by start.
    """

    source: str
    wanted: Outputs
    outputs: NDArray[np.float64]

    @property
    def classes(self) -> bool:
        """Whether an output is one number for each of several classes."""
        return self.wanted.ndim == 2 and self.wanted.shape[1] > 1

    def shift(self, start: int) -> NDArray[np.float64]:
        """(C,) mean of what the ANN's output has more than that of a start."""
        error = self.wanted - self.outputs[start]
        channels = error.shape[1] if error.ndim > 1 else 1
        return error.reshape(len(error), channels, -1).mean(axis=(0, 2))

    def corrected(self) -> LateMeans:
        """The outputs with the mean of the ANN's."""
        shape = (-1, *(1,) * (self.wanted.ndim - 2))
        shifted = [o + self.shift(start).reshape(shape) for start, o in enumerate(self.outputs)]
        return replace(self, outputs=np.stack(shifted))

    def best(self) -> int:
        """The start that comes closest to the ANN; 0 unless the gain exceeds its standard error."""
        if not self.classes:
            return int(np.argmin([self.error(start) for start in range(len(self.outputs))]))
        right = self.right()
        start = int(right.sum(axis=1).argmax())
        won, lost = int((right[start] & ~right[0]).sum()), int((right[0] & ~right[start]).sum())
        return start if won - lost > sqrt(won + lost) else 0

    def right(self) -> NDArray[np.bool_]:
        """(T, N) whether the largest output is that of the ANN."""
        return self.outputs.argmax(axis=2) == self.wanted.argmax(axis=1)

    def error(self, start: int) -> float:
        """Root mean squared error of a start."""
        return float(np.sqrt(np.square(self.outputs[start] - self.wanted).mean()))

    def loss(self, start: int) -> float:
        """The fraction of samples that disagree; the error of outputs that are no classes."""
        return 1 - float(self.right()[start].mean()) if self.classes else self.error(start)

    def by_start(self) -> dict[str, float]:
        """Agreement by start; the error of outputs that are no classes."""
        starts = range(len(self.outputs))
        values = self.right().mean(axis=1) if self.classes else map(self.error, starts)
        return {str(start): float(value) for start, value in zip(starts, values, strict=True)}


def late_means(graph: Graph, ctx: PassContext, samples: int) -> LateMeans:
    """Run at most `samples` of the validation data, else of the calibration data.

    Raises:
        PassError: no data, no ANN, or an output of another shape than the ANN's.
    """
    data = ctx.calibration if ctx.validation is None else ctx.validation
    if data is None or ctx.ann is None:
        raise PassError("needs the network before activations-to-neurons, and calibration data")
    name, other = graph.outputs[0], ctx.ann.outputs[0]
    if graph.type_of(name).shape != ctx.ann.type_of(other).shape:
        raise PassError(f"the output {name} has another shape than the ANN's")
    ours, theirs = (FastInterpreter(g, device=ctx.device) for g in (graph, ctx.ann))
    steps, parts = ctx.timesteps, list[tuple[Any, Any]]()
    rows = rows_that_fit(JUDGED_VALUES, steps * max(k.size for k in graph.types().values()))
    done = 0
    with ctx.progress("late-readout", samples) as advance, torch.no_grad():
        for chunk in first(data, samples):
            for x in (chunk[i : i + rows] for i in range(0, len(chunk), rows)):
                ids = np.arange(done, done + len(x))
                run = ours.snn(x, steps, sample_ids=ids, prefixes=range(1, steps + 1))
                sums = [t * run.prefixes[t][name].double() for t in range(1, steps + 1)]
                parts.append((torch.stack(sums).cpu().numpy(), theirs.ann(x)[other].cpu().numpy()))
                done += len(x)
                advance(len(x))
    totals = np.concatenate([sums for sums, _ in parts], axis=1)
    before = np.concatenate([np.zeros_like(totals[:1]), totals[:-1]])
    read = np.arange(steps, 0, -1).reshape(-1, *(1,) * (totals.ndim - 1))
    wanted = np.concatenate([y for _, y in parts]).astype(np.float64)
    return LateMeans(graph.inputs_of(name)[0], wanted, (totals[-1] - before) / read)
