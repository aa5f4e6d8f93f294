"""`threshold-balance`: thresholds from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.activation_range import activation_ranges
from snnc.errors import PassError
from snnc.ir import AnyNeuron, Graph, Neuron, TwoSidedNeuron
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._real_values import refuse_integers
from snnc_passes._scales.equal_amounts import with_equal_amounts
from snnc_passes._scales.thresholds import bounded, fitted, param, set_thresholds
from snnc_passes._statistics import Granularity, Histogram
from snnc_passes.threshold._activation_statistics import Pick, ann_statistic
from snnc_passes.threshold._currents import current_statistic, fill_silent


@dataclass(frozen=True, kw_only=True)
class ThresholdBalance(Pass):
    """Set thresholds from data, so that rates neither saturate nor vanish; values stay the same.

    source=ann: a percentile (or the maximum) of the ANN's activation at the same node, zeros
        included, negatives as zero (Diehl et al., "Fast-Classifying, High-Accuracy Spiking Deep
        Networks Through Weight and Threshold Balancing", 2015; percentile: Rueckauer et al. 2017,
        section 2.2.2; per channel: Kim et al., "Spiking-YOLO", 2020). It comes from a histogram of
        8,192 to 16,384 bins below the maximum. statistic=mse is the threshold with the least mean
        squared error: in T steps a population can represent T + 1 values, so that a high threshold
        rounds coarsely and a low one clips (Li et al., "A Free Lunch From ANN: Towards Efficient,
        Accurate Spiking Neural Networks Calibration", 2021, section 4.1). A channel whose
        percentile is zero gets its maximum, one that is never active the median of its layer; a
        layer that is never active keeps its thresholds.
    source=current: layer by layer, the network is run for T steps with the thresholds found so far.
        The threshold is the maximum over all steps of the k-th smallest value of the layer's
        weighted input, k = 1 + round(percentile/100 * (n-1)), negatives included (Sengupta et al.,
        "Going Deeper in Spiking Neural Networks: VGG and Residual Architectures", 2019; Rathi et
        al., "Enabling Deep Spiking Neural Networks with Hybrid Conversion and Spike Timing
        Dependent Backpropagation", 2020). If the percentile is positive for no channel of a layer,
        the maximum is used.
    source=quantized: the largest value of the range that the activation has in the quantised model
        (QDQ) that the network was read from: one threshold per layer, from the data that the model
        was quantised with. Needs no calibration data.

    A Scale of threshold / previous threshold is inserted behind every population (behind max pools
    of spikes), and v_init is multiplied by it, so that the value of a spike is proportional to the
    threshold.

    The statistics of a linear activation (two-sided neurons) are those of its magnitude.

    Channels and populations that one window of a max pool compares get one threshold, the largest
    of theirs, so that their spikes can be counted against each other (S25). So do, where a later
    pass makes integers, channels that rearrangements put into one channel of a convolution, or one
    window of a pool: their factor then folds into integer weights.

    No threshold is raised above the upper bound of a bounded activation (ReLU6), and populations
    with a threshold of their own (quantised activations) are left as they are.

    `scale` multiplies the thresholds and v_init afterwards, without a Scale: with less than 1, more
    spikes reach the next layers in a short window, and all values grow by 1/scale, which training
    compensates for (the scaling factor of Rathi et al. 2020, and of Rathi & Roy, "DIET-SNN", 2020).

    Attributes:
        source: "ann", activations of the ANN, "current", weighted inputs of the spiking network, or
            "quantized", ranges of a quantised model.
        statistic: the statistic that becomes the threshold.
        percentile: used by statistic=percentile.
        levels: number of steps of the quantiser of statistic=mse; none for T.
        granularity: one threshold per channel or per layer.
        scale: final factor of the thresholds.
        timesteps: number of steps the network is run for source=current; none for T.

    Metrics: `thresholds`, per node the smallest, median and largest; `silent`, nodes that were
    never active.
    """

    name = "threshold-balance"
    needs = frozenset({"calibration", "ann"})
    source: Literal["ann", "current", "quantized"] = "ann"
    statistic: Literal["percentile", "max", "mse"] = "percentile"
    percentile: float = 99.9
    levels: int | None = None
    granularity: Granularity = "channel"
    scale: float = 1.0
    timesteps: int | None = None

    def __post_init__(self) -> None:
        for option, choices in (
            ("source", ("ann", "current", "quantized")),
            ("statistic", ("percentile", "max", "mse")),
            ("granularity", ("channel", "layer")),
        ):
            if getattr(self, option) not in choices:
                wrong = getattr(self, option)
                raise ValueError(f"{option}={wrong} is not one of: {', '.join(choices)}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile={self.percentile} is not above 0 and at most 100")
        if self.statistic == "mse" and self.source != "ann":
            raise ValueError("statistic=mse is one of activations; it needs source=ann")
        if self.levels is not None and self.levels < 1:
            raise ValueError(f"levels={self.levels} is not positive")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale={self.scale} is not positive")
        if self.timesteps is not None and self.timesteps < 1:
            raise ValueError(f"timesteps={self.timesteps} is not positive")
        if self.timesteps is not None and self.source != "current":
            raise ValueError("timesteps is for source=current; an ANN has no steps")

    def requirements(self) -> frozenset[str]:
        """source=current needs no ANN, source=quantized neither that nor data."""
        if self.source == "quantized":
            return frozenset()
        return self.needs if self.source == "ann" else self.needs - {"ann"}

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Set thresholds. Raises `PassError` for a graph of integers, or data that do not fit."""
        refuse_integers(graph, self.name)
        names = fitted(graph)
        measured = self._measure(graph, ctx, names) if names else {}
        filled = {name: fill_silent(values) for name, values in measured.items()}
        silent = [name for name, values in filled.items() if values is None]
        for name in silent:
            ctx.log.warning("%s is never active; its thresholds stay as they are", name)
        active = {name: values for name, values in filled.items() if values is not None}
        equal = with_equal_amounts(graph, active, integers=ctx.integers)
        thresholds = {name: bounded(graph, name, values) for name, values in equal.items()}
        set_thresholds(graph, _present(graph) | thresholds)
        if self.scale != 1:
            scaled = {name: values * self.scale for name, values in thresholds.items()}
            thresholds = {name: bounded(graph, name, v) for name, v in scaled.items()}
            _scale(graph, thresholds, self.scale)
        graph.prune_params()
        metrics = {"thresholds": {n: _summary(t) for n, t in thresholds.items()}, "silent": silent}
        return PassResult(graph, metrics=metrics)

    def _measure(
        self, graph: Graph, ctx: PassContext, names: list[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        if self.source == "quantized":
            return _quantized(graph, names)
        if self.source == "current":
            percent = 100.0 if self.statistic == "max" else self.percentile
            steps = self.timesteps or ctx.timesteps
            return current_statistic(graph, ctx, names, percent, self.granularity, steps)
        return ann_statistic(graph, ctx, names, self._pick(graph, ctx.timesteps), self.granularity)

    def _pick(self, graph: Graph, timesteps: int) -> Pick | None:
        if self.statistic == "max" or (self.statistic == "percentile" and self.percentile == 100):
            return None
        levels = self.levels or timesteps

        def pick(name: str, histogram: Histogram) -> NDArray[np.float64]:
            if self.statistic == "mse":
                op = graph.node(name).op
                cuts_off = isinstance(op, TwoSidedNeuron) and not op.rounds
                return histogram.least_squares(levels, start=0.0 if cuts_off else 0.5)
            return histogram.percentile(self.percentile)

        return pick


def _quantized(graph: Graph, names: list[str]) -> Mapping[str, NDArray[np.float64]]:
    """Per population, the largest value of its range in a quantised model. Raises `PassError`."""
    ranges = activation_ranges(graph.meta)
    without = [name for name in names if name not in ranges]
    if without:
        more = f" and {len(without) - 3} more" if without[3:] else ""
        raise PassError(
            f"no quantised model gives a range for {', '.join(without[:3])}{more}",
            hint="import a QDQ model, or use threshold-balance{source=ann} with --calibration DATA",
        )
    return {name: np.asarray([ranges[name].high]) for name in names}


def _summary(threshold: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(np.min(threshold)),
        "median": float(np.median(threshold)),
        "max": float(np.max(threshold)),
    }


def _present(graph: Graph) -> dict[str, NDArray[np.float64]]:
    """The thresholds of populations as they are, one value or (C,)."""
    return {
        node.name: np.asarray(graph.array(node.op.threshold), np.float64)
        for node in graph.nodes
        if isinstance(node.op, AnyNeuron) and graph.array(node.op.threshold).ndim < 2
    }


def _scale(graph: Graph, names: Iterable[str], scale: float) -> None:
    """Multiply thresholds and starting potentials without inserting a `Scale`."""
    for name in names:
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        for field in ("threshold", "v_init"):
            scaled = np.asarray(graph.array(getattr(op, field)), np.float64) * scale
            if field == "threshold":
                scaled = bounded(graph, name, scaled)
            if np.any(scaled):
                op = replace(op, **{field: param(graph, name, field, scaled)})
        graph.replace_op(name, op)
