"""Thresholds from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, MaxPool, Neuron, Ref, Scale
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.activations import Pick, ann_statistic
from snnc_passes.calibration import Granularity, Histogram
from snnc_passes.currents import current_statistic, fill_silent
from snnc_passes.folding import combine, leads_to, own_param
from snnc_passes.sinking import Sinker


@dataclass(frozen=True, kw_only=True)
class ThresholdBalance(Pass):
    """Set thresholds so that rates neither saturate nor vanish, and let spikes count as much.

    source=ann: a percentile (or the maximum) of the ANN's activation at the same node, zeros
        included, negatives as zero (Diehl et al., "Fast-Classifying, High-Accuracy Spiking Deep
        Networks Through Weight and Threshold Balancing", 2015; percentile: Rueckauer et al. 2017,
        section 2.2.2; per channel: Kim et al., "Spiking-YOLO", 2020). It comes from a histogram of
        16,384 bins over the exact range. statistic=mse takes the threshold of the least mean
        squared error: within T steps a population tells T + 1 values, so that a high threshold
        rounds coarsely and a low one clips (Li et al., "A Free Lunch From ANN: Towards Efficient,
        Accurate Spiking Neural Networks Calibration", 2021, section 4.1). A channel whose
        percentile is zero takes its maximum, one that is never active the median of its layer; a
        layer that is never active keeps its thresholds.
    source=current: layer by layer, the network run for T steps with the thresholds found so far; of
        a layer's weighted input at each step the maximum or the k-th smallest value, k = 1 +
        round(percentile/100 * (n-1)), negatives included; the largest of all steps (Sengupta et
        al., "Going Deeper in Spiking Neural Networks: VGG and Residual Architectures", 2019; Rathi
        et al., "Enabling Deep Spiking Neural Networks with Hybrid Conversion and Spike Timing
        Dependent Backpropagation", 2020). Where the percentile is positive nowhere in a layer, the
        maximum.

    A Scale of threshold / previous threshold follows every population, and v_init grows alike, so
    that a spike counts in proportion to the threshold. It stands behind a max pool of spikes.

    `scale` then multiplies the thresholds alone: a spike counts as before, so that with less than 1
    more of them reach the layers behind within a short window. The values a network tells grow by
    it, which training makes up for (the scaling factor of Rathi et al. 2020, and of Rathi & Roy,
    "DIET-SNN", 2020).

    Attributes:
        source: what is measured.
        statistic: what of it is the threshold.
        percentile: used by statistic=percentile.
        levels: steps of the quantiser of statistic=mse; none for T.
        granularity: one threshold per channel or per layer.
        scale: what thresholds are multiplied by in the end.
        timesteps: for source=current, how long the network is run; none for T.

    Metrics: `thresholds`, per node the smallest, median and largest; `silent`, nodes that were
    never active.
    """

    name = "threshold-balance"
    needs = frozenset({"calibration", "ann"})
    source: Literal["ann", "current"] = "ann"
    statistic: Literal["percentile", "max", "mse"] = "percentile"
    percentile: float = 99.9
    levels: int | None = None
    granularity: Granularity = "channel"
    scale: float = 1.0
    timesteps: int | None = None

    def __post_init__(self) -> None:
        for option, choices in (
            ("source", ("ann", "current")),
            ("statistic", ("percentile", "max", "mse")),
            ("granularity", ("channel", "layer")),
        ):
            if getattr(self, option) not in choices:
                wrong = getattr(self, option)
                raise ValueError(f"{option}={wrong} is not one of: {', '.join(choices)}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile={self.percentile} is not above 0 and at most 100")
        if self.statistic == "mse" and self.source == "current":
            raise ValueError("statistic=mse is one of activations; it needs source=ann")
        if self.levels is not None and self.levels < 1:
            raise ValueError(f"levels={self.levels} is not positive")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"scale={self.scale} is not positive")
        if self.timesteps is not None and self.timesteps < 1:
            raise ValueError(f"timesteps={self.timesteps} is not positive")
        if self.timesteps is not None and self.source == "ann":
            raise ValueError("timesteps is for source=current; the ANN has no steps")

    def requirements(self) -> frozenset[str]:
        """source=current needs no ANN."""
        return self.needs if self.source == "ann" else self.needs - {"ann"}

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Find thresholds and set them. Raises `PassError` for a graph of integers."""
        refuse_integers(graph, self.name)
        names = [node.name for node in graph.nodes if isinstance(node.op, Neuron)]
        measured = self._measure(graph, ctx, names) if names else {}
        found = {name: fill_silent(values) for name, values in measured.items()}
        silent = [name for name, values in found.items() if values is None]
        for name in silent:
            ctx.log.warning("%s is never active; its thresholds stay as they are", name)
        before = graph.fingerprint()
        thresholds = {name: values for name, values in found.items() if values is not None}
        set_thresholds(graph, thresholds)
        if self.scale != 1:
            thresholds = {name: values * self.scale for name, values in thresholds.items()}
            _scale(graph, thresholds, self.scale)
        graph.prune_params()
        changed = graph.fingerprint() != before
        metrics = {"thresholds": {n: _summary(t) for n, t in thresholds.items()}, "silent": silent}
        return PassResult(graph, changed=changed, metrics=metrics)

    def _measure(
        self, graph: Graph, ctx: PassContext, names: list[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        if self.source == "current":
            percent = 100.0 if self.statistic == "max" else self.percentile
            steps = self.timesteps or ctx.timesteps
            return current_statistic(graph, ctx, names, percent, self.granularity, steps)
        return ann_statistic(graph, ctx, names, self._pick(ctx.timesteps), self.granularity)

    def _pick(self, timesteps: int) -> Pick | None:
        if self.statistic == "max" or (self.statistic == "percentile" and self.percentile == 100):
            return None
        levels = self.levels or timesteps

        def pick(histogram: Histogram) -> NDArray[np.float64]:
            if self.statistic == "mse":
                return histogram.least_squares(levels)
            return histogram.percentile(self.percentile)

        return pick


def refuse_integers(graph: Graph, name: str) -> None:
    """Raise `PassError` for a graph of integers; `name` is the pass that cannot take it."""
    for node in graph.nodes:
        arrays = [graph.params[ref.name] for ref in node.op.refs().values()]
        if any(np.issubdtype(array.dtype, np.integer) for array in arrays):
            raise PassError(
                f"{node.name} at {node.loc} is quantised already",
                hint=f"put {name} before quantize",
            )


def _summary(threshold: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(np.min(threshold)),
        "median": float(np.median(threshold)),
        "max": float(np.max(threshold)),
    }


def set_thresholds(graph: Graph, found: Mapping[str, NDArray[np.float64]]) -> None:
    """Replace thresholds and insert what keeps the meaning of a spike in proportion.

    If any threshold changes, every population of `found` gets its factor, 1 where its own stays:
    spikes that are concatenated are scaled all or none.
    """
    shapes = {name: kind.shape for name, kind in graph.types().items()}
    pooled = [
        name
        for name in found
        if any(leads_to(graph, u, (MaxPool,)) for u, _ in graph.users_of(name))
    ]
    thresholds = {name: _threshold(value, shapes[name]) for name, value in found.items()}
    gains = {name: _gain(graph, name, each) for name, each in thresholds.items()}
    if all(np.all(gain == 1) for gain in gains.values()):
        return
    for name, gain in gains.items():
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        start = combine(np.multiply, gain, np.asarray(graph.array(op.v_init)), shapes[name])
        op = replace(op, threshold=_param(graph, name, "threshold", thresholds[name]))
        if np.any(start):
            op = replace(op, v_init=_param(graph, name, "v_init", start))
        graph.replace_op(name, op)
        new = graph.fresh(f"{name}.scale")
        graph.insert_after(name, new, Scale(factor=1.0))
        graph.replace_op(new, Scale(factor=_param(graph, new, "factor", gain)))
        shapes[new] = shapes[name]
    if pooled:
        _sink_past_max_pools(graph, Sinker(graph, shapes))


def _scale(graph: Graph, names: Iterable[str], scale: float) -> None:
    """Multiply thresholds and starting potentials, and nothing else."""
    for name in names:
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        for field in ("threshold", "v_init"):
            scaled = np.asarray(graph.array(getattr(op, field)), np.float64) * scale
            if np.any(scaled):
                op = replace(op, **{field: _param(graph, name, field, scaled)})
        graph.replace_op(name, op)


def _threshold(value: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """One value per channel, or a single one."""
    threshold = np.asarray(value, np.float32)
    single = threshold.shape != shape[:1] or threshold.shape == (1,)
    return threshold.reshape(()) if single else threshold


def _gain(graph: Graph, name: str, threshold: NDArray[np.float32]) -> NDArray[np.float64]:
    """The new threshold of a population relative to the one it has."""
    node = graph.node(name)
    assert isinstance(node.op, Neuron)
    before = np.asarray(graph.array(node.op.threshold), np.float64)
    return combine(np.divide, threshold.astype(np.float64), before, graph.type_of(name).shape)


def _sink_past_max_pools(graph: Graph, sinker: Sinker) -> None:
    """The maximum of spikes is one of spikes only in front of their factors (all positive)."""
    moving = True
    while moving:
        scales = [node.name for node in graph.nodes if isinstance(node.op, Scale)]
        moving = any(
            sinker.sink(name, lambda user: leads_to(graph, user, (MaxPool,))) for name in scales
        )


def _param(graph: Graph, node: str, field: str, array: NDArray[Any]) -> Ref | float:
    """A number where `array` is one, else an array of the node's own."""
    if array.ndim == 0:
        return float(array)
    return own_param(graph, node, field, np.asarray(array))
