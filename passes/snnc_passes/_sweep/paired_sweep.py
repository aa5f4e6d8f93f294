"""A spiking network and its ANN on the same samples, population by population."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import PassError
from snnc.ir import (
    AnyNeuron,
    Graph,
    Identity,
    Input,
    MaxPool,
    Node,
    Readout,
    Relu,
    waits_for_input,
)
from snnc.memory import KEPT_VALUES, rows_that_fit
from snnc.training import FastInterpreter
from snnc_passes._sweep.layer_sweep import Layer, LayerSweep, gathered, placed


class PairedSweep(LayerSweep):
    """Visits the populations of a spiking network in order, each with the value of the ANN there.

    If every population waits for its whole input, only the mean over T steps is computed.

    Args:
        graph: an `snn` graph; weights of populations that have not fired yet may be edited.
        ann: the same network at stage `ann`, with an activation of the name of every neuron.
        x: all samples, (N, *shape).
        timesteps: T.
        device: the torch device.
        copies: see `LayerSweep`.

    Raises:
        PassError: see `LayerSweep`.
    """

    def __init__(
        self,
        graph: Graph,
        ann: Graph,
        x: NDArray[np.float32],
        timesteps: int,
        device: str = "cpu",
        copies: Mapping[str, int] | None = None,
    ) -> None:
        once = waits_for_all(graph, timesteps)
        super().__init__(
            graph, x, timesteps, device, at_once=once, channels_last=True, copies=copies
        )
        self.ann = ann
        self.ann_interpreter = FastInterpreter(ann, device=device)
        self._activations: dict[str, Tensor] = {}
        self._targets: dict[tuple[int, int], Tensor] = {}

    def forget(self, needed: set[str]) -> None:
        """Delete values of all nodes except the `needed` ones, and copies of parameters."""
        super().forget(needed)
        self._targets.clear()
        self.ann_interpreter.params.clear()
        for name in set(self._activations) - needed:
            del self._activations[name]

    def counterpart(self, layer: Layer) -> str:
        """The node of the ANN whose value the mean input of the layer should equal."""
        if isinstance(layer.node.op, Readout):
            return self.ann.outputs[self.graph.outputs.index(layer.node.name)]
        return self.ann.inputs_of(layer.node.name)[0]

    def target(self, layer: Layer, rows: slice) -> Tensor:
        """(n, *shape) value of the layer's counterpart in the ANN, kept for `activation`."""
        value = self._activation(self.counterpart(layer), rows)
        self._targets[rows.start, rows.stop] = value
        return value

    def activation(self, layer: Layer, rows: slice) -> Tensor:
        """(n, *shape) value of the ANN's activation at a layer whose node is a `Neuron`."""
        target = self._targets.pop((rows.start, rows.stop), None)
        if target is None:
            target = self._activation(self.counterpart(layer), rows)
        return self.ann_interpreter.apply(self.ann.node(layer.node.name), [target])

    def kept(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """Input (T or 1, n, *shape) and activation (n, *shape) of as many samples as fit."""
        size = int(np.prod(layer.shape)) * self.steps(layer)
        samples = min(len(self.x), rows_that_fit(KEPT_VALUES, size))
        device = self.interpreter.device
        chunks = [*self.chunks(layer, samples)]
        current = ((rows, self.value(layer.source, rows)) for rows in chunks)
        target = ((rows, self.activation(layer, rows)[None]) for rows in chunks)
        return gathered(current, samples, device), gathered(target, samples, device)[0]

    def fire_on(
        self, layer: Layer, threshold: Tensor, start: Tensor, known: tuple[Tensor, Tensor]
    ) -> float:
        """Run a population with a threshold and starting potential, (C,), in place of the graph's.

        `known` is the result of `kept`, which is not computed again.

        Returns the mean squared error of the rates, as a fraction of the variance of the ANN's
        activation.
        """
        whole: Tensor | None = None
        moments = np.zeros(3)
        theta = threshold.reshape(-1, *(1,) * (len(layer.shape) - 1))

        def observe(rows: slice, total: Tensor) -> None:
            nonlocal whole
            wanted = known[1][rows]
            if rows.stop > len(known[1]):
                wanted = self.activation(layer, rows)
            error = (total * (theta / self.timesteps)).sub_(wanted)
            sums = (error.square_().sum(), wanted.sum(), wanted.square().sum())
            moments[:] += [float(value) for value in sums]
            whole = placed(whole, rows, wanted[None], len(self.x), torch.device("cpu"))

        self.fire(layer, threshold, start, self._currents(layer, known[0]), observe)
        assert whole is not None
        self._activations[layer.node.name] = whole[0]
        squares, total, energy = moments
        if not np.isfinite(moments).all():
            raise beyond_float32(layer.node)
        variance = energy - total**2 / (len(self.x) * np.prod(layer.shape))
        return float(squares / variance) if variance > 0 else 0.0

    def _currents(self, layer: Layer, known: Tensor) -> Iterator[tuple[slice, Tensor]]:
        for rows in self.chunks(layer, len(self.x)):
            fits = rows.stop <= known.shape[1]
            yield rows, known[:, rows] if fits else self.value(layer.source, rows)

    def _activation(self, name: str, rows: slice) -> Tensor:
        if name in self._activations:
            return self._laid(self._activations[name][rows].to(self.interpreter.device))
        node = self.ann.node(name)
        if isinstance(node.op, Input):
            return self.tensor(self.x[rows])
        sources = [self._activation(source, rows) for source in self.ann.inputs_of(name)]
        return self.ann_interpreter.apply(node, sources)


def beyond_float32(node: Node) -> PassError:
    """For values at a node that cannot be squared in float32."""
    return PassError(
        f"{node.name} at {node.loc}: values of the calibration data are so large here that float32 "
        "does not hold their squares",
        hint="divide the inputs, as they were when the model was trained",
    )


def counterparts_missing(graph: Graph, ann: Graph) -> list[str]:
    """Neurons without an activation of the same name and shape in the ANN."""
    return [
        node.name
        for node in graph.nodes
        if isinstance(node.op, AnyNeuron)
        and not (
            node.name in ann
            and isinstance(ann.node(node.name).op, Relu | Identity)
            and ann.type_of(node.name).shape == graph.type_of(node.name).shape
        )
    ]


def waits_for_all(graph: Graph, timesteps: int) -> bool:
    """Whether every population waits for its whole input, so that only its total matters."""
    neurons = [node.op for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    pooled = any(isinstance(node.op, MaxPool) for node in graph.nodes)
    return not pooled and all(waits_for_input(op, timesteps) and not op.signed for op in neurons)
