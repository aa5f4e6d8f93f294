"""`threshold-balance`: how much input makes a neuron fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Neuron, Scale
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.activations import ann_statistic
from snnc_passes.calibration import Granularity, Statistic
from snnc_passes.currents import current_statistic

Thresholds = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class ThresholdBalance(Pass):
    """Set every threshold from data, and scale every spike by the threshold of its neuron.

    source "ann": a percentile of the ANN's activation at the same node, zeros included (Rueckauer
    et al. 2017, section 2.2.2, "robust normalisation"; per channel: Kim et al. 2020). source
    "current": layer after layer, the largest over the steps of a percentile of the weighted input
    W x[t] + b, with the thresholds found so far (Sengupta et al. 2019, "spike norm"; Rathi et
    al. 2020). A spike then stands for `threshold` units of activation: a `Scale` behind each neuron
    says so. A channel without activity takes the median threshold of its layer, a silent layer 1.

    Attributes:
        statistic: "max" is the 100th percentile.
        percentile: in percent, in (0, 100].
        granularity: one threshold a channel or one a layer.
    """

    name: ClassVar[str] = "threshold-balance"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration", "ann"})
    source: Literal["ann", "current"] = "ann"
    statistic: Literal["percentile", "max"] = "percentile"
    percentile: float = 99.9
    granularity: Granularity = "channel"

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile must be in (0, 100], not {self.percentile}")

    def requirements(self) -> frozenset[str]:
        return self.needs if self.source == "ann" else frozenset({"calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        neurons = [node.name for node in graph.nodes if isinstance(node.op, Neuron)]
        if any(_is_balanced(graph, name) for name in neurons):
            raise PassError(
                "the thresholds are balanced already", hint="run threshold-balance only once"
            )
        for name in neurons:
            _tie(graph, name, np.ones(()))
        statistic = Statistic(100 if self.statistic == "max" else self.percentile)
        measure = ann_statistic if self.source == "ann" else current_statistic
        found = measure(graph, ctx, neurons, statistic, self.granularity)
        for name in neurons:
            graph.set_param(f"{name}.threshold", found[name].astype(np.float32))
            graph.stats.pop(name, None)
        return PassResult(graph, changed=bool(neurons), metrics=_figures(found))


def _is_balanced(graph: Graph, name: str) -> bool:
    op = graph.node(name).op
    return isinstance(op, Neuron) and not isinstance(op.threshold, float | int)


def _tie(graph: Graph, name: str, threshold: NDArray[np.float64]) -> None:
    """Let a neuron and a new `Scale` behind it share one array of thresholds."""
    op = graph.node(name).op
    if not isinstance(op, Neuron):
        raise TypeError(name)
    ref = graph.set_param(f"{name}.threshold", threshold.astype(np.float32))
    graph.replace_op(name, replace(op, threshold=ref))
    graph.insert_after(name, graph.fresh(f"{name}.scale"), Scale(factor=ref))


def _figures(found: Thresholds) -> dict[str, object]:
    thresholds = {
        name: {"min": float(t.min()), "median": float(np.median(t)), "max": float(t.max())}
        for name, t in found.items()
    }
    return {"neurons": len(found), "thresholds": thresholds}
