"""`quantize-conductance`: few magnitudes of weights, those that cells can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch

from snnc.early_exit import EARLY_EXIT
from snnc.ir import Graph
from snnc.training.levels import Levels
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._option_checks import one_of
from snnc_passes._real_values import refuse_integers
from snnc_passes._statistics import Granularity
from snnc_passes.compress._level_sets import Spacing, cell_levels, level_set
from snnc_passes.compress._weight_bounds import weight_bounds

MOST_LEVELS = 127
"""Levels that integers of 8 bits have."""


@dataclass(frozen=True, kw_only=True)
class QuantizeConductance(Pass):
    """Give every weight that is not zero the nearest of a few magnitudes; its sign stays.

    A weight is the difference of two cells, of which one is off: the levels are those of either
    sign. They are relative to the largest weight of the output channel, as `quantize` scales it
    (with the same granularity), so that the integers of `quantize{bits=8}` are the levels, rounded
    to 1/127; those of the target's cells are integers where they have a common unit. Boundaries are
    midpoints between adjacent levels. Zeros stay zero; what is removed is the matter of
    `stdp-prune`. (Rathi, Panda & Roy, "STDP Based Pruning of Connections and Weight Quantization in
    Spiking Neural Networks for Energy-Efficient Recognition", 2018: the levels of that paper are
    not in public text.)

    Attributes:
        levels: their number; or levels in (0, 1], ascending; or "target": those of its cells.
        spacing: of a number of levels: "kmeans" fits them to the weights of the layer, "uniform"
            spaces them evenly up to the largest weight. One level is the mean.
        granularity: whether levels are relative to the largest weight of the channel or the layer.

    Metrics: per weight array `levels`, relative, and `error`, the root mean square change of the
    weights that are not zero, relative to theirs.
    """

    name: ClassVar[str] = "quantize-conductance"
    levels: int | tuple[float, ...] | Literal["target"] = 4
    spacing: Spacing = "kmeans"
    granularity: Granularity = "channel"

    def __post_init__(self) -> None:
        if isinstance(self.levels, int) and not 1 <= self.levels <= MOST_LEVELS:
            raise ValueError(f"levels={self.levels} is not in 1..{MOST_LEVELS}")
        if isinstance(self.levels, tuple):
            rising = all(a < b for a, b in zip((0.0, *self.levels), self.levels, strict=False))
            if not self.levels or not rising or self.levels[-1] > 1:
                raise ValueError("levels must ascend, above 0 and up to 1")
        elif not isinstance(self.levels, int) and self.levels != "target":
            raise ValueError(f"levels must be a number, a list or target, not {self.levels}")
        for option, kind in (("spacing", Spacing), ("granularity", Granularity)):
            one_of(self, option, get_args(kind))

    def requirements(self) -> frozenset[str]:
        """A target, where the levels are those of its cells."""
        return frozenset({"target"}) if self.levels == "target" else frozenset()

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Snap. Raises `PassError` for integers, or a target without cells."""
        refuse_integers(graph, self.name)
        metrics: dict[str, Any] = {}
        fitted = self.fitted(graph, ctx)
        if not fitted:
            ctx.log.warning(
                "%s: the network has no weights that are not zero; nothing is snapped", self.name
            )
        for name, levels in fitted.items():
            array = graph.params[name]
            weight = torch.from_numpy(np.array(array, np.float64))
            snapped = levels.snap(weight)
            error = float((snapped - weight).norm() / weight.norm())
            metrics[name] = {"levels": levels.relative.tolist(), "error": error}
            graph.set_param(name, snapped.numpy().astype(array.dtype))
        graph.meta.pop(EARLY_EXIT, None)  # it was calibrated for the network before
        return PassResult(graph, metrics=metrics)

    def fitted(self, graph: Graph, ctx: PassContext) -> dict[str, Levels]:
        """The levels of every weight array that is not all zero, in float64."""
        found: dict[str, Levels] = {}
        for name, bound in weight_bounds(graph, self.granularity, ctx.target).items():
            weight = np.abs(graph.params[name].astype(np.float64))
            relative = np.divide(weight, bound, out=np.zeros_like(weight), where=bound > 0)
            if relative.any():
                levels = torch.from_numpy(self._levels(relative[relative > 0], ctx))
                found[name] = Levels(levels, torch.from_numpy(np.array(bound)))
        return found

    def count(self, ctx: PassContext) -> int:
        """The number of levels. Raises `PassError` for a target without cells."""
        if isinstance(self.levels, int):
            return self.levels
        return len(self.levels if isinstance(self.levels, tuple) else cell_levels(ctx))

    def _levels(self, magnitudes: np.ndarray, ctx: PassContext) -> np.ndarray:
        if isinstance(self.levels, int):
            return level_set(magnitudes, self.levels, self.spacing)
        if isinstance(self.levels, tuple):
            return np.array(self.levels)
        return cell_levels(ctx)
