"""One population of a network and of its rounded copy, on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.ir import AnyNeuron, Neuron
from snnc_passes._sweep.layer_sweep import Layer, LayerSweep
from snnc_passes._sweep.neuron_search import upper_of
from snnc_passes.calibrate._weight_correction import Part

POSITIONS = 1 << 16
"""Most output positions of a layer, over all samples, that its weights are rounded on."""


@dataclass(frozen=True)
class LayerPair:
    """A population that both networks are to compute next.

    Attributes:
        real: the network of real values.
        rounded: its copy; the layers before the population are rounded.
        layer: the population; nodes have the same names in both.
    """

    real: LayerSweep
    rounded: LayerSweep
    layer: Layer

    def parts(self, source: str, target: str) -> list[Part]:
        """Inputs and means over time of a layer of the copy, with those of the real network.

        Args:
            source: what the layer takes, of shape (n, *shape).
            target: the layer itself, or a sum that it is a term of.
        """
        positions = int(np.prod(self.rounded.types[target].shape[1:]))
        samples = min(len(self.rounded.x), max(1, POSITIONS // positions))
        return [
            Part(
                self.rounded.mean(source, rows),
                self.rounded.mean(target, rows),
                self.real.mean(target, rows),
            )
            for rows in self.rounded.chunks(self.layer, samples)
        ]

    def mean_error(self) -> NDArray[np.float64]:
        """(C,) mean of what the population receives in a step, real minus rounded."""
        total = np.zeros(self.layer.shape)
        for rows in self.rounded.chunks(self.layer, len(self.rounded.x)):
            error = self.real.mean(self.layer.source, rows)
            error = error - self.rounded.mean(self.layer.source, rows)
            total += error.double().sum(0).cpu().numpy()
        means = total.reshape(self.layer.shape[0], -1).mean(axis=1)
        return np.asarray(means / len(self.rounded.x))

    def upper(self) -> Tensor | None:
        """(C,) the bound of the activation; None if the population does not rectify."""
        op, sweep = self.layer.node.op, self.rounded
        if not isinstance(op, Neuron):
            return None
        return upper_of(sweep.graph, op, self.layer.shape[0], sweep.interpreter.device)

    def fire(self) -> None:
        """Run a population of neurons in both networks, each with its own parameters."""
        for sweep in (self.real, self.rounded):
            node = sweep.graph.node(self.layer.node.name)
            assert isinstance(node.op, AnyNeuron)
            threshold, start = (
                torch.from_numpy(np.array(sweep.graph.array(value), np.float32))
                for value in (node.op.threshold, node.op.v_init)
            )
            device, layer = sweep.interpreter.device, replace(self.layer, node=node)
            sweep.fire(layer, threshold.to(device), start.to(device), _currents(sweep, layer))


def _currents(sweep: LayerSweep, layer: Layer) -> Iterator[tuple[slice, Tensor]]:
    for rows in sweep.chunks(layer, len(sweep.x)):
        yield rows, sweep.value(layer.source, rows)
