"""`late-readout`: the step from which the readout sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Readout
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._prefixes import Prefixes, check_prefixes, prefix_ends
from snnc_passes._reference import Reference, network_outputs
from snnc_passes.calibrate._weight_correction import add_bias, summed_into


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

    With `prefixes=all` the choice, below T/4, is judged by the answers after T/4, T/2, 3T/4 and T
    steps together, for a network that is to answer at any of them.

    Attributes:
        start: first step of the sum, below T; none chooses it.
        samples: maximum number of samples.
        prefixes: "last" judges the answer after T steps, "all" also earlier ones.

    Metrics: `start`; `samples`; `agreement`, the measured fraction by start, or `error`, the root
    mean squared error by start, of outputs that are no classes.
    """

    name: ClassVar[str] = "late-readout"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "validation|calibration"})
    start: int | None = None
    samples: int = 1024
    prefixes: Prefixes = "last"

    def __post_init__(self) -> None:
        check_prefixes(self.prefixes)
        if self.start is not None and self.start < 0:
            raise ValueError(f"start={self.start} is negative")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Set the start. Raises `PassError` for one that is not in the window."""
        shortest = prefix_ends(ctx.timesteps, self.prefixes)[0]
        if self.start is not None and self.start >= shortest:
            raise PassError(
                f"start={self.start} is not below the window of {shortest} steps",
                hint="a readout needs at least one step",
            )
        set_start(graph, 0)
        reference = ann_reference(ctx, self.samples)
        means = late_means(graph, ctx, reference, self.prefixes)
        corrects = _has_bias(graph, means.source)
        judged = means.corrected() if corrects else means
        start = judged.best() if self.start is None else self.start
        if corrects and start:
            add_bias(graph, means.source, means.shift(start))
        set_start(graph, start)
        samples, measure = len(reference), reference.measure
        metrics = {"start": start, "samples": samples, measure: judged.by_start()}
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
        reference: outputs of the ANN.
        outputs: (starts, N, *shape), by start.
    """

    source: str
    reference: Reference
    outputs: NDArray[np.float64]

    def shift(self, start: int) -> NDArray[np.float64]:
        """(C,) mean of what the ANN's output has more than that of a start."""
        assert self.reference.outputs is not None
        error = self.reference.outputs - self.outputs[start]
        channels = error.shape[1] if error.ndim > 1 else 1
        return error.reshape(len(error), channels, -1).mean(axis=(0, 2))

    def corrected(self) -> LateMeans:
        """The outputs with the mean of the ANN's."""
        shape = (-1, *(1,) * (self.outputs.ndim - 3))
        shifted = [o + self.shift(start).reshape(shape) for start, o in enumerate(self.outputs)]
        return replace(self, outputs=np.stack(shifted))

    def best(self) -> int:
        """The start that comes closest to the ANN; 0 unless the gain exceeds its standard error."""
        if self.reference.measure == "error":
            return int(np.argmin([self.reference.error(each) for each in self.outputs]))
        right = self.reference.right(self.outputs)
        start = int(right.sum(axis=1).argmax())
        won, lost = int((right[start] & ~right[0]).sum()), int((right[0] & ~right[start]).sum())
        return start if won - lost > sqrt(won + lost) else 0

    def by_start(self) -> dict[str, float]:
        """Agreement by start; the error of outputs that are no classes."""
        if self.reference.measure == "error":
            values = [self.reference.error(each) for each in self.outputs]
        else:
            values = self.reference.right(self.outputs).mean(axis=1)
        return {str(start): float(value) for start, value in enumerate(values)}


def ann_reference(ctx: PassContext, samples: int) -> Reference:
    """Outputs of the ANN for at most `samples` of the validation data, else the calibration data.

    Raises:
        PassError: no data, or no ANN.
    """
    data = ctx.calibration if ctx.validation is None else ctx.validation
    if data is None or ctx.ann is None:
        raise PassError("needs the network before activations-to-neurons, and calibration data")
    return Reference(data, None, network_outputs(ctx.ann, data, samples, ctx).astype(np.float64))


def late_means(
    graph: Graph, ctx: PassContext, reference: Reference, prefixes: Prefixes = "last"
) -> LateMeans:
    """Run the samples of the reference; all windows of `prefixes` are samples of their own.

    Raises:
        PassError: the output has another shape than the ANN's.
    """
    name, steps = graph.outputs[0], ctx.timesteps
    assert reference.outputs is not None
    if graph.type_of(name).shape != reference.outputs.shape[1:]:
        raise PassError(f"the output {name} has another shape than the ANN's")
    windows = range(1, steps + 1)
    sums = [
        np.stack([t * by_window[t].astype(np.float64) for t in windows])
        for _, by_window in reference.runs(graph, ctx, windows)
    ]
    totals = np.concatenate(sums, axis=1)
    before = np.concatenate([np.zeros_like(totals[:1]), totals[:-1]])
    ends = prefix_ends(steps, prefixes)
    parts: list[NDArray[np.float64]] = []
    for end in ends:
        read = np.arange(end, end - ends[0], -1).reshape(-1, *(1,) * (totals.ndim - 1))
        parts.append((totals[end - 1] - before[: ends[0]]) / read)
    outputs = np.concatenate(parts, axis=1)
    wanted = np.concatenate([reference.outputs] * len(ends))
    judged = replace(reference, outputs=wanted)
    return LateMeans(graph.inputs_of(name)[0], judged, outputs)
