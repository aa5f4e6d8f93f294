"""Thresholds from statistics of the ANN's activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Identity, Node
from snnc.training import FastInterpreter
from snnc.transform import PassContext, size_of
from snnc_passes._samples import chunks
from snnc_passes._statistics import Granularity, Histogram, in_groups

Statistics = Mapping[str, NDArray[np.float64]]
Pick = Callable[[str, Histogram], NDArray[np.float64]]
"""Maps a population and the histogram of its activations to one value per group."""


def ann_statistic(
    graph: Graph,
    ctx: PassContext,
    neurons: Sequence[str],
    pick: Pick | None,
    granularity: Granularity,
) -> Statistics:
    """Per neuron node, a statistic of the ANN's activation at the node of the same name.

    The ANN is run once over the calibration data, and `pick` is applied to the histogram of every
    activation; None for the maximum. Negative values count as zero, those of a linear activation as
    their magnitude. If the statistic of a group is zero, its maximum is used. Returns (G,) arrays,
    one value per channel or one for the layer; zero for groups that are never active.

    Raises:
        PassError: there is no ANN, no calibration data, or no activation for a neuron node.
    """
    ann = _checked_ann(graph, ctx, neurons)
    pick = pick or _largest
    histograms: dict[str, Histogram] = {}
    wanted = frozenset(neurons)
    interpreter = FastInterpreter(ann, device=ctx.device)

    def observe(node: Node, inputs: Sequence[torch.Tensor], value: torch.Tensor) -> None:
        if node.name in wanted:
            positive = value.abs() if isinstance(node.op, Identity) else value
            groups = in_groups(positive, granularity).cpu()
            histograms.setdefault(node.name, Histogram(groups.shape[1])).add(groups)

    with ctx.progress("activations", size_of(ctx.calibration or ())) as advance, torch.no_grad():
        for x in chunks(ctx.calibration or ()):
            interpreter.ann(x, observe=observe)
            advance(len(x))
    return {name: _picked(name, histograms.pop(name), pick) for name in neurons}


def _picked(name: str, histogram: Histogram, pick: Pick) -> NDArray[np.float64]:
    values = pick(name, histogram)
    return np.where(values > 0, values, histogram.top)


def _largest(name: str, histogram: Histogram) -> NDArray[np.float64]:
    return histogram.percentile(100)


def _checked_ann(graph: Graph, ctx: PassContext, neurons: Sequence[str]) -> Graph:
    """The ANN, which has an activation of the name and shape of every neuron node."""
    if ctx.ann is None or ctx.calibration is None:
        raise PassError(
            "source=ann needs the network before activations-to-neurons, and calibration data",
            hint="start from a model with --calibration, or use threshold-balance{source=current}",
        )
    for name in neurons:
        if name not in ctx.ann or ctx.ann.type_of(name).shape != graph.type_of(name).shape:
            raise PassError(
                f"the ANN has no activation {name} of shape {graph.type_of(name).shape}",
                hint="use threshold-balance{source=current}",
            )
    return ctx.ann
