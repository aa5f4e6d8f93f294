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
from snnc_passes._statistics import Granularity, Histogram, Range, Rows, in_rows

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

    Two sweeps over the calibration data: the exact range, then a histogram, to which `pick` is
    applied; None for the maximum, which needs one sweep. Negative values count as zero, those of a
    linear activation as their magnitude. If the statistic of a group is zero, its maximum is used.
    Returns (G,) arrays, one value per channel or one for the layer; zero for groups that are never
    active.

    Raises:
        PassError: there is no ANN, no calibration data, or no activation for a neuron node.
    """
    ann = _checked_ann(graph, ctx, neurons)
    ranges = {name: Range() for name in neurons}

    def widen(name: str, rows: Rows) -> None:
        ranges[name].add(rows)

    _sweep(ctx, ann, neurons, granularity, "activation ranges", widen)
    highs = {name: _known(ranges[name].high) for name in neurons}
    if pick is None:
        return highs
    histograms = {name: Histogram.over(high) for name, high in highs.items()}

    def count(name: str, rows: Rows) -> None:
        histograms[name].add(rows)

    _sweep(ctx, ann, neurons, granularity, "activation histograms", count)
    picked = {name: pick(name, histogram) for name, histogram in histograms.items()}
    return {name: np.where(values > 0, values, highs[name]) for name, values in picked.items()}


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


def _known(high: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if high is None:
        raise PassError("the calibration data hold no samples")
    return high


def _sweep(
    ctx: PassContext,
    ann: Graph,
    names: Sequence[str],
    granularity: Granularity,
    title: str,
    use: Callable[[str, Rows], None],
) -> None:
    """Call `use` with the activations of every named node, chunk by chunk.

    They are clipped at 0; of a linear activation it is called with their magnitudes.
    """
    wanted = frozenset(names)
    interpreter = FastInterpreter(ann, device=ctx.device)

    def observe(node: Node, inputs: Sequence[torch.Tensor], value: torch.Tensor) -> None:
        if node.name in wanted:
            positive = value.abs() if isinstance(node.op, Identity) else value.clamp(min=0)
            use(node.name, in_rows(positive.cpu().numpy(), granularity))

    with ctx.progress(title, size_of(ctx.calibration or ())) as advance, torch.no_grad():
        for x in chunks(ctx.calibration or ()):
            interpreter.ann(x, observe=observe)
            advance(len(x))
