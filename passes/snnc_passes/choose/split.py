"""`split`: sensitive populations become groups of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.interp import for_sample
from snnc.ir import AnyNeuron, Graph, Maximum, Neuron, Node
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._max_pools import feeds
from snnc_passes._neuron_groups import join, separate
from snnc_passes._real_values import refuse_integers
from snnc_passes._samples import first
from snnc_passes._sweep.paired_sweep import counterparts_missing
from snnc_passes.calibrate._output_error import output_gradients


@dataclass(frozen=True, kw_only=True)
class Split(Pass):
    """Make groups of K neurons of sensitive populations, so that few steps carry more levels.

    The K neurons of a group take one current, which is computed once. They have the threshold of
    the neuron they replace, and starting potentials a K-th of it apart, so that they fire at
    different steps: the sum of their spikes has K*T + 1 levels in T steps where one neuron has
    T + 1. The next layer takes that sum, 0 to K at a step. (Groups of neurons in place of one: Lv
    et al., "Optimal ANN-SNN Conversion with Group Neurons", 2024; theirs inhibit each other.)

    Neurons are added where they help most: the rounding error of T + 1 levels on the ANN's
    activation, times the gradient of a random combination of the outputs, gives the squared effect
    of a population on the outputs to first order. That of a group is taken to be a K-th of it:
    rounding alone would fall faster, but the errors of uneven spikes do not. The population whose
    effect falls most per added neuron gets the next neuron, as long as the budget allows.

    Put it behind threshold-balance and initialize-potential, and before calibrate, which fits a
    group as one population. Populations that are max-pooled, signed, two-sided, `fixed`, that leak
    or reset to zero are left alone. Groups of an earlier `split` are made anew.

    Attributes:
        budget: added neurons per neuron, mean over all populations.
        most: the largest K.
        samples: maximum number of samples.

    Metrics: `copies`, K by population; `added`, neurons per neuron; `samples`.
    """

    name: ClassVar[str] = "split"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration", "ann"})
    budget: float = 1.5
    most: int = 4
    samples: int = 256

    def __post_init__(self) -> None:
        if not (self.budget > 0 and isfinite(self.budget)):
            raise ValueError(f"budget={self.budget} is not positive")
        if self.most < 2:
            raise ValueError(f"most={self.most} is below 2: a group has two neurons or more")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Split. Raises `PassError` for integers, and where no population can be split."""
        ann, calibration = ann_and_calibration(ctx)
        refuse_integers(graph, self.name)
        join(graph)
        if missing := counterparts_missing(graph, ann):
            raise PassError(f"the ANN has no activation {missing[0]} to compare with")
        names = [node.name for node in graph.nodes if _splittable(graph, node)]
        if not names:
            raise PassError(
                "no population can be split: all are signed, two-sided, fixed, max-pooled, leak "
                "or reset to zero",
                hint=f"leave out {self.name}",
            )
        x = np.concatenate(list(first(calibration, self.samples)))
        effects = self._effects(
            graph, FastInterpreter(ann, device=ctx.device), names, x, ctx.timesteps
        )
        sizes = {n.name: graph.type_of(n.name).size for n in graph if isinstance(n.op, AnyNeuron)}
        copies = allotted(effects, sizes, self.budget, self.most)
        separate(graph, {name: count for name, count in copies.items() if count > 1})
        graph.prune_params()
        added = sum((count - 1) * sizes[name] for name, count in copies.items())
        metrics = {
            "copies": {name: copies.get(name, 1) for name in sizes},
            "added": added / sum(sizes.values()),
            "samples": len(x),
        }
        return PassResult(graph, metrics=metrics)

    def _effects(
        self,
        graph: Graph,
        ann: FastInterpreter,
        names: Sequence[str],
        x: NDArray[np.float32],
        timesteps: int,
    ) -> dict[str, float]:
        """By population, the squared effect on the outputs of rounding to T + 1 levels."""
        effects = dict.fromkeys(names, 0.0)
        for values, slopes in output_gradients(ann, names, x):
            for name, value, slope in zip(names, values, slopes, strict=True):
                op = graph.node(name).op
                assert isinstance(op, Neuron)
                threshold = torch.from_numpy(np.array(graph.array(op.threshold), np.float32))
                highest = for_sample(threshold.to(value), tuple(value.shape[1:]))
                held = torch.minimum(value.clamp(min=0), highest)
                step = highest / timesteps
                error = held - torch.round(held / step) * step
                effects[name] += float((error * slope).square().sum())
        return effects


def _splittable(graph: Graph, node: Node) -> bool:
    op = node.op
    if not isinstance(op, Neuron) or op.fixed or op.signed or feeds(graph, node.name, (Maximum,)):
        return False
    keeps = op.reset == "subtract" and op.order == "integrate-fire"
    return keeps and bool(np.all(graph.array(op.leak) == 1))


def allotted(
    effects: Mapping[str, float], sizes: Mapping[str, int], budget: float, most: int
) -> dict[str, int]:
    """K by population: greedily, by the fall of effect/K per added neuron, within the budget.

    Args:
        effects: squared effect of populations that can be split, for K = 1.
        sizes: neurons of all populations.
        budget: added neurons per neuron.
        most: the largest K.
    """
    copies = dict.fromkeys(effects, 1)
    left = budget * sum(sizes.values())

    def gain(name: str) -> float:
        count = copies[name]
        if count == most or sizes[name] > left:
            return 0.0
        return effects[name] / (count * (count + 1)) / sizes[name]

    while copies:
        best = max(copies, key=gain)
        if gain(best) <= 0:
            break
        copies[best] += 1
        left -= sizes[best]
    return copies
