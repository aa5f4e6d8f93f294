"""A spiking network and its ANN on the same samples, one population after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import Run, for_sample
from snnc.ir import Encode, Graph, Input, MaxPool, Neuron, Node, Readout, Relu
from snnc.training import FastInterpreter

VALUES_AT_ONCE = 1 << 21
"""Largest tensor computed at a time, in values."""
KEPT = 1 << 24
"""Values of a layer's input that are kept for choosing."""


@dataclass(frozen=True)
class Layer:
    """A population in front of which the spiking network has just been stopped.

    Attributes:
        node: a `Neuron` or `Readout`.
        source: the node that gives its input.
        shape: shape of a sample.
        counterpart: the node of the ANN whose value its input should have on average.
    """

    node: Node
    source: str
    shape: tuple[int, ...]
    counterpart: str


@dataclass(frozen=True)
class _Train:
    """Events of one population for all samples, (T or 1, N, *shape), and what one counts."""

    events: NDArray[np.integer]
    gain: NDArray[np.float32]

    def at(self, rows: slice, mean: bool) -> NDArray[np.float32]:
        events = self.events[:, rows]
        if mean:
            return (events.sum(axis=0, keepdims=True) * (self.gain / len(events))).astype(
                np.float32
            )
        return events * self.gain


class PairedSweep:
    """Visits the populations of a spiking network in order, each with the ANN's value beside it.

    What lies between two populations is computed when it is asked for, from spikes that are kept
    until the last layer that needs them; so no layer is run again for the layers behind it. Where
    every population waits for its whole input, steps do not matter and one of them, with the mean
    of all, stands for T.

    Args:
        graph: an `snn` graph; its weights may be edited for populations not yet fired.
        ann: the same network at stage `ann`, with an activation of the name of every neuron.
        x: all samples, (N, *shape).
        timesteps: T.
        device: where to compute.
    """

    def __init__(
        self, graph: Graph, ann: Graph, x: NDArray[np.float32], timesteps: int, device: str = "cpu"
    ) -> None:
        self.graph, self.ann, self.x, self.timesteps = graph, ann, x, timesteps
        self.snn_interpreter = FastInterpreter(graph, device=device)
        self.ann_interpreter = FastInterpreter(ann, device=device)
        self.types = graph.types()
        self.at_once = waits_for_all(graph, timesteps)
        self._trains: dict[str, _Train] = {}
        self._activations: dict[str, NDArray[np.float32]] = {}

    def layers(self) -> Iterator[Layer]:
        """Populations in order; call `fire` for every neuron before going on."""
        order = [n for n in self.graph.nodes if isinstance(n.op, Neuron | Readout)]
        sources = {node.name: self._sources(node.name) for node in order}
        for position, node in enumerate(order):
            yield self._layer(node)
            later = {name for each in order[position + 1 :] for name in sources[each.name]}
            for kept in (self._trains, self._activations):
                for name in set(kept) - later:
                    del kept[name]

    def _layer(self, node: Node) -> Layer:
        (source,) = self.graph.inputs_of(node.name)
        if isinstance(node.op, Readout):
            counterpart = self.ann.outputs[self.graph.outputs.index(node.name)]
        else:
            (counterpart,) = self.ann.inputs_of(node.name)
        return Layer(node, source, self.types[source].shape, counterpart)

    def _sources(self, name: str) -> set[str]:
        """Neurons that `name` depends on without another between."""
        found, waiting = set[str](), list(self.graph.inputs_of(name))
        while waiting:
            each = waiting.pop()
            if isinstance(self.graph.node(each).op, Neuron):
                found.add(each)
            else:
                waiting += self.graph.inputs_of(each)
        return found

    def chunks(self, layer: Layer, samples: int) -> Iterator[slice]:
        """Slices of the first `samples` samples, small enough to be computed at once."""
        shapes = [self.types[n].shape for n in self.graph.inputs_of(layer.source) or [layer.source]]
        largest = max(int(np.prod(shape)) for shape in (layer.shape, *shapes))
        size = min(64, max(1, VALUES_AT_ONCE // (largest * self.steps(layer))))
        return (slice(i, min(i + size, samples)) for i in range(0, samples, size))

    def steps(self, layer: Layer) -> int:
        """Steps of the layer's input: 1 where all are the same."""
        return 1 if self.at_once or self.types[layer.source].constant_in_time else self.timesteps

    def edited(self) -> None:
        """Tell that parameters of the graph have changed."""
        self.snn_interpreter.params.clear()

    def target(self, name: str, rows: slice) -> Tensor:
        """(n, *shape) value of a node of the ANN."""
        return self._analog(name, rows)

    def current(self, name: str, rows: slice) -> Tensor:
        """(T or 1, n, *shape) value of a node of the spiking network."""
        return self._event(name, rows, mean=False)

    def mean(self, name: str, rows: slice) -> Tensor:
        """(n, *shape) mean over the window of a node of the spiking network."""
        linear = not self._pools_spikes(name)
        return self._event(name, rows, mean=linear).mean(0)

    def kept(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """Input (T or 1, n, *shape) and activation (n, *shape) of as many samples as fit."""
        size = int(np.prod(layer.shape)) * self.steps(layer)
        samples = max(1, min(len(self.x), KEPT // size))
        device = self.snn_interpreter.device
        current = torch.empty((self.steps(layer), samples, *layer.shape), device=device)
        target = torch.empty((samples, *layer.shape), device=device)
        for rows in self.chunks(layer, samples):
            current[:, rows] = self.current(layer.source, rows)
            target[rows] = self.target(layer.counterpart, rows).clamp(min=0)
        return current, target

    def fire(
        self, layer: Layer, threshold: Tensor, start: Tensor, known: tuple[Tensor, Tensor]
    ) -> float:
        """Let a population fire with these, (C,), in place of the graph's.

        `known`, input (T or 1, n, *shape) and activation of the first samples, is not computed
        again.

        A spike then counts as much more as the threshold has grown. Returns the mean squared error
        of the rates as a fraction of the variance of the ANN's activation.
        """
        op = layer.node.op
        assert isinstance(op, Neuron)
        before = torch.from_numpy(np.array(self.graph.array(op.threshold), np.float32))
        theta = for_sample(threshold, layer.shape)
        per_event = theta / for_sample(before.to(theta), layer.shape)
        parts, activations = [], []
        moments = np.zeros(3)
        for rows in self.chunks(layer, len(self.x)):
            if rows.stop <= len(known[1]):
                current, wanted = known[0][:, rows], known[1][rows]
            else:
                current = self.current(layer.source, rows)
                wanted = self.target(layer.counterpart, rows).clamp(min=0)
            events = self._events(op, current, theta, for_sample(start, layer.shape))
            error = events.sum(0, dtype=theta.dtype) * theta / self.timesteps - wanted
            moments += [float(m) for m in ((error**2).sum(), wanted.sum(), (wanted**2).sum())]
            small = torch.int8 if self.timesteps < 128 else torch.int32
            parts.append(events.to(small).cpu().numpy())
            activations.append(wanted.cpu().numpy())
        gain = per_event / self.timesteps if self.at_once else per_event
        self._trains[layer.node.name] = _Train(np.concatenate(parts, axis=1), gain.cpu().numpy())
        self._activations[layer.node.name] = np.concatenate(activations)
        squares, total, energy = moments
        variance = energy - total**2 / (len(self.x) * np.prod(layer.shape))
        return float(squares / variance) if variance > 0 else 0.0

    def _events(self, op: Neuron, current: Tensor, threshold: Tensor, start: Tensor) -> Tensor:
        """(T, n, *shape) spikes, or (1, n, *shape) their number where steps do not matter."""
        if self.at_once:
            return counts_at_once(current, threshold, start, self.timesteps)[None]
        return spikes_of(current, threshold, start, op, self.timesteps)

    def _analog(self, name: str, rows: slice) -> Tensor:
        if name in self._activations:
            return _put(self._activations[name][rows], self.ann_interpreter)
        node = self.ann.node(name)
        if isinstance(node.op, Input):
            return _put(self.x[rows], self.ann_interpreter)
        sources = [self._analog(source, rows) for source in self.ann.inputs_of(name)]
        return self.ann_interpreter.apply(node, sources)

    def _event(self, name: str, rows: slice, mean: bool) -> Tensor:
        if name in self._trains:
            return _put(self._trains[name].at(rows, mean), self.snn_interpreter)
        node = self.graph.node(name)
        if isinstance(node.op, Input):
            return _put(self.x[rows][None], self.snn_interpreter)
        sources = [self._event(source, rows, mean) for source in self.graph.inputs_of(name)]
        if not isinstance(node.op, Encode):
            return self.snn_interpreter.apply(node, sources)
        ids = np.arange(len(self.x))[rows]
        value = self.snn_interpreter.apply(node, sources, Run(self.timesteps, sample_ids=ids))
        return value.mean(0, keepdim=True) if mean or self.at_once else value

    def _pools_spikes(self, name: str) -> bool:
        node = self.graph.node(name)
        if isinstance(node.op, Neuron | Input):
            return False
        return isinstance(node.op, MaxPool) or any(
            self._pools_spikes(source) for source in self.graph.inputs_of(name)
        )


def counterparts_missing(graph: Graph, ann: Graph) -> list[str]:
    """Neurons without an activation of the same name and shape in the ANN."""
    return [
        node.name
        for node in graph.nodes
        if isinstance(node.op, Neuron)
        and not (
            node.name in ann
            and isinstance(ann.node(node.name).op, Relu)
            and ann.type_of(node.name).shape == graph.type_of(node.name).shape
        )
    ]


def waits_for_all(graph: Graph, timesteps: int) -> bool:
    """Whether only the totals of all inputs matter: every population waits for its whole window."""
    neurons = [node.op for node in graph.nodes if isinstance(node.op, Neuron)]
    pooled = any(isinstance(node.op, MaxPool) for node in graph.nodes)
    return not pooled and all(op.wait >= timesteps and not op.signed for op in neurons)


def firing(
    current: Tensor,
    threshold: Tensor,
    start: Tensor,
    op: Neuron,
    steps: int,
    bias: Tensor | None = None,
) -> Iterator[Tensor]:
    """Spikes (n, *shape) step by step, of neurons without leak that reset by subtraction.

    The tensor is the same one each time.

    Args:
        current: (T or 1, n, *shape).
        threshold, start: broadcast against a sample.
        op: `wait` and `signed` are read.
        steps: T.
        bias: added to the current of every step; broadcasts likewise.
    """
    u = torch.zeros_like(current[0]).add_(start)
    fired, total = torch.empty_like(u), torch.zeros_like(u)
    for t in range(steps + op.wait):
        if t < steps:
            u.add_(current[t if len(current) > 1 else 0])
            if bias is not None:
                u.add_(bias)
        if t < op.wait:
            continue
        torch.gt(u, threshold, out=fired)
        if op.signed:
            fired.sub_(((total > 0) & (u < 0)).to(fired.dtype))
            total.add_(fired)
        u.addcmul_(fired, threshold, value=-1)
        yield fired


def spikes_of(current: Tensor, threshold: Tensor, start: Tensor, op: Neuron, steps: int) -> Tensor:
    """All spikes of `firing`, (T, n, *shape) int8."""
    spikes = firing(current, threshold, start, op, steps)
    return torch.stack([fired.to(torch.int8) for fired in spikes])


def counts_at_once(current: Tensor, threshold: Tensor, start: Tensor, steps: int) -> Tensor:
    """(n, *shape) spikes of a population that has its whole input before it may fire.

    Args:
        current: (T or 1, n, *shape), of which only the mean counts.
        threshold, start: broadcast against a sample.
        steps: T.
    """
    total = start + current.mean(0) * steps
    return (torch.ceil(total / threshold) - 1).clamp(0, steps)


def _put(values: NDArray[np.float32], interpreter: FastInterpreter) -> Tensor:
    """As a tensor; images with the channel innermost, which convolutions on CPUs prefer."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(interpreter.device)
    if tensor.ndim < 4:
        return tensor
    lead, sample = tensor.shape[:-3], tensor.shape[-3:]
    images = tensor.reshape(-1, *sample).contiguous(memory_format=torch.channels_last)
    return images.reshape(*lead, *sample)
