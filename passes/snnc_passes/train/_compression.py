"""Pruning and snapping while a network learns: at intervals, from its shadow weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from snnc.ir import Graph, Weighted
from snnc.training import SpikingNetwork, from_torch
from snnc.training.synapses import Synapses
from snnc.transform import PassContext, silent
from snnc_passes.compress.quantize_conductance import QuantizeConductance
from snnc_passes.compress.stdp_prune import DEFAULT_SPARSITY, StdpPrune


@dataclass(frozen=True)
class Compression:
    """What is done to a network at the start of every `every`-th epoch.

    Attributes:
        prune: chooses the synapses that go, by the weights without levels; None for no pruning.
        snap: the levels, fitted to the weights without levels; None for none.
        every: epochs from one time to the next.
        epochs: of the whole training.
        seed: of the choice.
    """

    prune: StdpPrune | None
    snap: QuantizeConductance | None
    every: int
    epochs: int
    seed: tuple[int, ...]

    @property
    def last(self) -> int:
        """The last epoch that starts with pruning or new levels."""
        return (self.epochs - 1) // self.every * self.every + 1

    def due(self, epoch: int) -> bool:
        """Whether an epoch, from 1, starts with it."""
        return (epoch - 1) % self.every == 0

    def prepare(self, network: SpikingNetwork, ctx: PassContext) -> None:
        """Restrict all weights, so far to what they are: the state of a checkpoint then fits."""
        levels = 0 if self.snap is None else self.snap.count(ctx)
        for name in weight_names(network.source):
            before, weight = network.restriction(name), network.parameter(name)
            mask = torch.ones_like(weight, dtype=torch.bool) if before is None else before.mask
            network.restrict(name, Synapses(mask, levels).to(weight.device))

    def apply(self, network: SpikingNetwork, epoch: int, ctx: PassContext) -> None:
        """Prune, and fit levels to what is left.

        The sparsity rises with the times it is done, from 0 to s: s (1 - (1 - i/n)^3) at the i-th
        of n (Zhu & Gupta, "To prune, or not to prune", 2017). Synapses that are gone do not return.
        """
        with _shadow(network):
            graph = from_torch(network)
        if self.prune is not None:
            own = replace(ctx, rng=np.random.default_rng([*self.seed, epoch]), progress=silent)
            graph = self._pruning(epoch).run(graph, own).graph
            for name in weight_names(graph):
                mask = torch.from_numpy(graph.params[name] != 0)
                synapses = _synapses(network, name)
                synapses.mask.logical_and_(mask.to(synapses.mask.device))
        if self.snap is not None:
            for name, levels in self.snap.fitted(graph, ctx).items():
                _synapses(network, name).set_levels(levels)

    def marked(self, graph: Graph) -> Graph:
        """The graph, its zeros kept by the passes that follow."""
        if self.prune is not None:
            for node in graph.nodes:
                if isinstance(node.op, Weighted):
                    graph.replace_op(node.name, replace(node.op, pruned=True))
        return graph

    def _pruning(self, epoch: int) -> StdpPrune:
        assert self.prune is not None
        if self.prune.threshold is not None or self.prune.budget is not None:
            return self.prune
        target = DEFAULT_SPARSITY if self.prune.sparsity is None else self.prune.sparsity
        times = (self.epochs - 1) // self.every + 1
        done = ((epoch - 1) // self.every + 1) / times
        return replace(self.prune, sparsity=target * (1 - (1 - done) ** 3))


def weight_names(graph: Graph) -> list[str]:
    """The arrays of weights."""
    names = (node.op.weight.name for node in graph if isinstance(node.op, Weighted))
    return list(dict.fromkeys(names))


def _synapses(network: SpikingNetwork, name: str) -> Synapses:
    found = network.restriction(name)
    assert found is not None
    return found


@contextmanager
def _shadow(network: SpikingNetwork) -> Iterator[None]:
    """Inside, weights are those of the optimiser, masked and not snapped."""
    found = [_synapses(network, name) for name in weight_names(network.source)]
    before = [each.snapped for each in found]
    for each in found:
        each.snapped = False
    try:
        yield
    finally:
        for each, snapped in zip(found, before, strict=True):
            each.snapped = snapped
