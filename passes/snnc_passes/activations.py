"""Statistics of the ANN's activations, and thresholds from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.interp import Interpreter
from snnc.ir import Graph, Node
from snnc.transform import PassContext
from snnc_passes.calibration import Granularity, Histogram, Range, Rows, Statistic, chunks, in_rows

Found = Mapping[str, NDArray[np.float64]]


def ann_statistic(
    graph: Graph,
    ctx: PassContext,
    neurons: Sequence[str],
    statistic: Statistic,
    granularity: Granularity,
) -> Found:
    """Per neuron node, a statistic of the ANN's activation at the node of the same name.

    Two sweeps over the calibration data: the exact range, then a histogram over it. Negative values
    count as zero. Returns (C,) or () arrays, all positive.
    """
    if ctx.ann is None or ctx.calibration is None:
        raise PassError("needs the ann-stage graph and calibration data")
    missing = [name for name in neurons if name not in ctx.ann]
    if missing:
        raise PassError(f"the ann-stage graph has no node called {missing[0]!r}")
    ranges = {name: Range() for name in neurons}

    def widen(name: str, rows: Rows) -> None:
        ranges[name].add(rows)

    _sweep(ctx, ctx.ann, neurons, granularity, "activation ranges", widen)
    highs = {name: _known(ranges[name].high) for name in neurons}
    if statistic.percentile < 100:
        histograms = {n: Histogram(np.zeros_like(high), high) for n, high in highs.items()}

        def count(name: str, rows: Rows) -> None:
            histograms[name].add(rows)

        _sweep(ctx, ctx.ann, neurons, granularity, "activation percentiles", count)
        highs = {
            n: histogram.percentile(statistic.percentile) for n, histogram in histograms.items()
        }
    return {name: usable(ctx, name, high, granularity) for name, high in highs.items()}


def usable(
    ctx: PassContext, name: str, found: NDArray[np.float64], granularity: Granularity
) -> NDArray[np.float64]:
    """Thresholds with silent channels filled: the layer's median, or 1 where all are silent."""
    alive = found > 0
    if not alive.any():
        ctx.log.warning("%s never fires on the calibration data; its threshold is 1", name)
        found = np.ones_like(found)
    elif not alive.all():
        found = np.where(alive, found, np.median(found[alive]))
    return found if granularity == "channel" else found.reshape(())


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
    """Hand the non-negative activations of every named node to `use`, chunk by chunk."""
    wanted = frozenset(names)
    interpreter = Interpreter(ann, torch.float32, ctx.device)

    def observe(node: Node, inputs: Sequence[torch.Tensor], value: torch.Tensor) -> None:
        if node.name in wanted:
            use(node.name, in_rows(value.clamp(min=0).cpu().numpy(), granularity))

    with ctx.progress(title, None) as advance, torch.no_grad():
        for x in chunks(ctx.calibration or ()):
            interpreter.ann(x, observe=observe)
            advance(len(x))
