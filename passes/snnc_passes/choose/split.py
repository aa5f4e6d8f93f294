"""`split`: sensitive populations become groups of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
import torch

from snnc.errors import PassError
from snnc.interp import for_sample
from snnc.ir import AnyNeuron, Graph, Maximum, Neuron, Node
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._max_pools import feeds
from snnc_passes._neuron_groups import join, separate
from snnc_passes._paired_sweep import counterparts_missing
from snnc_passes._real_values import refuse_integers
from snnc_passes._samples import first
from snnc_passes.calibrate._output_error import output_gradients


@dataclass(frozen=True, kw_only=True)
class Split(Pass):
    """Make groups of K neurons of sensitive populations, so that few steps carry more levels.

    The K neurons of a group take one current, which is computed once. They have the threshold of
    the neuron they replace, and starting potentials a K-th of it apart, so that they fire at
    different steps: the sum of their spikes has K*T + 1 levels in T steps where one neuron has
    T + 1. The next layer takes that sum, 0 to K at a step. (Population coding; more levels a step
    by several thresholds: Wang et al., "MT-SNN: Enhance Spiking Neural Network with Multiple
    Thresholds", 2023; here every neuron is an ordinary one.)

    Neurons are added where they help most: for every population and K, the rounding error of
    quantisers of K*T + 1 levels on the ANN's activation, times the gradient of a random combination
    of the outputs, gives its effect on the outputs to first order; the population whose effect
    falls most per added neuron gets the next K, as long as the budget allows.

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
        effects = self._effects(graph, FastInterpreter(ann, device=ctx.device), names, x, ctx)
        sizes = {n.name: graph.type_of(n.name).size for n in graph if isinstance(n.op, AnyNeuron)}
        copies = allotted(effects, sizes, self.budget)
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
        x: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
        ctx: PassContext,
    ) -> dict[str, list[float]]:
        """By population, the squared effect on the outputs of its rounding for K = 1, 2, …."""
        effects = {name: [0.0] * self.most for name in names}
        for values, slopes in output_gradients(ann, names, x):
            for name, value, slope in zip(names, values, slopes, strict=True):
                op = graph.node(name).op
                assert isinstance(op, Neuron)
                threshold = torch.from_numpy(np.array(graph.array(op.threshold), np.float32))
                highest = for_sample(threshold.to(value), tuple(value.shape[1:]))
                held = torch.minimum(value.clamp(min=0), highest)
                for copies in range(1, self.most + 1):
                    step = highest / (copies * ctx.timesteps)
                    error = held - torch.round(held / step) * step
                    effects[name][copies - 1] += float((error * slope).square().sum())
        return effects


def _splittable(graph: Graph, node: Node) -> bool:
    op = node.op
    if not isinstance(op, Neuron) or op.fixed or op.signed or feeds(graph, node.name, (Maximum,)):
        return False
    keeps = op.reset == "subtract" and op.order == "integrate-fire"
    return keeps and bool(np.all(graph.array(op.leak) == 1))


def allotted(
    effects: Mapping[str, Sequence[float]], sizes: Mapping[str, int], budget: float
) -> dict[str, int]:
    """K by population: greedily, by the fall of the effect per added neuron, within the budget.

    Args:
        effects: by population, for K = 1, 2, ….
        sizes: neurons of all populations, also of those without effects.
        budget: added neurons per neuron.
    """
    copies = dict.fromkeys(effects, 1)
    left = budget * sum(sizes.values())

    def gain(name: str) -> float:
        known, count = effects[name], copies[name]
        if count == len(known) or sizes[name] > left:
            return 0.0
        return (known[count - 1] - known[count]) / sizes[name]

    while copies:
        best = max(copies, key=gain)
        if gain(best) <= 0:
            break
        copies[best] += 1
        left -= sizes[best]
    return copies
