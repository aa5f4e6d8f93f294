"""A spiking network run population by population, over all samples and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import PassError
from snnc.interp import Population, Run, for_sample
from snnc.ir import AnyNeuron, CountMaxPool, Encode, Graph, Input, Node, Readout, Stateful
from snnc.training import FastInterpreter
from snnc.training.scan import scan
from snnc.training.soft_reset import counts_at_once
from snnc_passes._samples import CHUNK

ALL = slice(None)


@dataclass(frozen=True)
class Layer:
    """A population that is to be computed next.

    Attributes:
        node: a `Neuron` or `Readout`.
        source: the node that computes its input.
        shape: shape of a sample.
    """

    node: Node
    source: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Train:
    """The spike train of an encoder or a population, for all samples.

    Attributes:
        packed: (T, N, bytes of 8 spikes), or (T or 1, N, *shape) where not packed.
        shape: shape of a sample.
        bits: whether `packed` holds bits.
        gain: the value of a spike, broadcast against a sample; None for 1.
    """

    packed: NDArray[Any]
    shape: tuple[int, ...]
    bits: bool
    gain: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, parts: list[NDArray[Any]], shape: tuple[int, ...], gain: NDArray[np.float32]
    ) -> _Train:
        """Spikes of all samples, packed unless some are negative or more than one."""
        bits = parts[0].dtype == np.uint8
        return cls(np.concatenate(parts, axis=1), shape, bits, gain)

    def events(self, rows: slice, steps: slice = ALL) -> NDArray[Any]:
        """(T or 1, n, *shape) events of some samples and steps; one step if constant in time."""
        values = self.packed[steps if len(self.packed) > 1 else ALL, rows]
        if not self.bits:
            return values
        size = int(np.prod(self.shape))
        spikes = np.unpackbits(values, axis=-1, count=size)
        return spikes.reshape(*values.shape[:2], *self.shape)

    def at(self, rows: slice, steps: slice, mean: bool) -> NDArray[np.float32]:
        """(T or 1, n, *shape) values of some samples and steps, or their mean (1, n, *shape)."""
        events = self.events(rows, steps)
        if self.gain is None:
            return np.asarray(events, np.float32)
        if mean:
            total = events.sum(axis=0, keepdims=True)
            return (total * (self.gain / len(events))).astype(np.float32)
        return events * self.gain


class LayerSweep:
    """Visits the populations of a spiking network in order.

    Only the spike trains of encoders and populations are stored, until the last layer that needs
    them; nodes between two populations are computed on request. So every population is run once.

    Args:
        graph: an `snn` graph; weights of populations that have not fired yet may be edited.
        x: all samples, (N, *shape).
        timesteps: T.
        device: the torch device.
        at_once: compute one step, the mean over T; for populations that wait for their whole input,
            so that only its total matters.
        channels_last: whether images are in the memory format channels_last, faster for
            convolutions of many steps on CPUs; sums in float32 depend on it.

    Raises:
        PassError: the network has a stateful op that is neither a neuron nor a CountMaxPool.
    """

    def __init__(
        self,
        graph: Graph,
        x: NDArray[np.float32],
        timesteps: int,
        device: str = "cpu",
        *,
        at_once: bool = False,
        channels_last: bool = False,
    ) -> None:
        for node in graph.nodes:
            if isinstance(node.op, Stateful) and not isinstance(node.op, AnyNeuron | CountMaxPool):
                raise PassError(
                    f"{node.name} ({node.op.mnemonic}) at {node.loc} has a state, and only neurons "
                    "and maxima of counts can be run layer by layer"
                )
        self.graph, self.x, self.timesteps, self.at_once = graph, x, timesteps, at_once
        self.channels_last = channels_last
        self.interpreter = FastInterpreter(graph, device=device)
        self.types = graph.types()
        self.rows = [slice(i, i + CHUNK) for i in range(0, len(x), CHUNK)]
        self._trains: dict[str, _Train] = {}
        self._counts: dict[tuple[str, int], tuple[int, Any]] = {}

    def layers(self) -> Iterator[Layer]:
        """Populations in order; `fire` must be called for every neuron before the next one."""
        order = [n for n in self.graph.nodes if isinstance(n.op, Encode | AnyNeuron | Readout)]
        sources = {node.name: self._sources(node.name) for node in order}
        for position, node in enumerate(order):
            if isinstance(node.op, Encode):
                self._trains[node.name] = self._encoded(node)
            else:
                (source,) = self.graph.inputs_of(node.name)
                yield Layer(node, source, self.types[source].shape)
            self.forget({name for n in order[position + 1 :] for name in sources[n.name]})

    def forget(self, needed: set[str]) -> None:
        """Delete spike trains except those of the `needed` nodes."""
        self._counts.clear()
        for name in set(self._trains) - needed:
            del self._trains[name]

    def _sources(self, name: str) -> set[str]:
        """The nearest encoders and populations before `name`."""
        sources, pending = set[str](), list(self.graph.inputs_of(name))
        while pending:
            source = pending.pop()
            if isinstance(self.graph.node(source).op, Encode | AnyNeuron):
                sources.add(source)
            else:
                pending += self.graph.inputs_of(source)
        return sources

    def steps(self, layer: Layer) -> int:
        """Number of steps of the layer's input: 1 if it is constant in time, else T."""
        return 1 if self.at_once or self.types[layer.source].constant_in_time else self.timesteps

    def edited(self) -> None:
        """To be called after parameters of the graph have changed."""
        self.interpreter.params.clear()

    def value(self, name: str, rows: slice, steps: slice = ALL) -> Tensor:
        """Value (T or 1, n, *shape) of a node between two populations.

        Args:
            name: the node.
            rows: samples.
            steps: of the window; ignored if the node is constant in time.
        """
        return self.between(name, rows, steps, mean=False)

    def between(self, name: str, rows: slice, steps: slice, mean: bool) -> Tensor:
        """`value`; with `mean`, (1, n, *shape) for the mean over steps of the spikes before it."""
        if name in self._trains:
            train = self._trains[name]
            value = self.tensor(train.at(rows, steps, mean))
            averaged = train.gain is None and (mean or self.at_once)
            return value.mean(0, keepdim=True) if averaged else value
        node = self.graph.node(name)
        if isinstance(node.op, CountMaxPool):
            return self._pooled(node, rows, steps, mean)
        sources = [self.between(n, rows, steps, mean) for n in self.graph.inputs_of(name)]
        return self.interpreter.apply(node, sources)

    def _pooled(self, node: Node, rows: slice, steps: slice, mean: bool) -> Tensor:
        """`between` of a CountMaxPool: the mean of its events is the largest mean of its inputs.

        Steps that follow those of the last call go on from its counts.
        """
        (source,) = node.inputs
        if mean or self.at_once or self.types[source].constant_in_time:
            x = self.between(source, rows, steps, mean)
            return self.interpreter.stateless(node.op, [x], len(self.types[source].shape))
        first, last, _ = steps.indices(self.timesteps)
        done, state = self._counts.pop((node.name, rows.start), (0, None))
        if done > first:
            done, state = 0, None
        x, pool = self.between(source, rows, slice(done, last), mean), self.interpreter.state(node)
        state = pool.init(x[0]) if state is None else state
        results: list[Tensor] = []
        for t, now in enumerate(x, done):
            state, value = pool.step(state, now, t)
            if t >= first and value is not None:
                results.append(value)
        if last < self.timesteps:
            self._counts[node.name, rows.start] = last, state
        return torch.stack(results)

    def _encoded(self, node: Node) -> _Train:
        """The spike train of an encoder; of a direct one, real values that are constant in time."""
        parts: list[NDArray[Any]] = []
        for rows in self.rows:
            run = Run(self.timesteps, sample_ids=np.arange(len(self.x))[rows])
            analog = self._analog(self.graph.inputs_of(node.name)[0], rows)
            value = self.interpreter.apply(node, [analog[None]], run).cpu().numpy()
            direct = isinstance(node.op, Encode) and node.op.code_class.constant
            parts.append(value if direct else value.astype(np.int8))
        return _Train(np.concatenate(parts, axis=1), self.types[node.name].shape, bits=False)

    def _analog(self, name: str, rows: slice) -> Tensor:
        node = self.graph.node(name)
        if isinstance(node.op, Input):
            return self.tensor(self.x[rows])
        sources = [self._analog(source, rows) for source in self.graph.inputs_of(name)]
        return self.interpreter.apply(node, sources)

    def fire(
        self,
        layer: Layer,
        threshold: Tensor,
        start: Tensor,
        currents: Iterable[tuple[slice, Tensor]],
        observe: Callable[[slice, Tensor], object] | None = None,
    ) -> None:
        """Run a population with a threshold and starting potential in place of the graph's.

        The value of a spike is multiplied by threshold / previous threshold.

        Args:
            layer: a layer whose node is a `Neuron`.
            threshold, start: a number, (C,) or of the sample's shape.
            currents: all samples in order: rows, and the input (T or 1, n, *shape).
            observe: called with rows and spikes (T, n, *shape), or with `at_once` spike counts
                (1, n, *shape).
        """
        op = layer.node.op
        assert isinstance(op, AnyNeuron)
        theta, u = for_sample(threshold, layer.shape), for_sample(start, layer.shape)
        before = torch.from_numpy(np.array(self.graph.array(op.threshold), np.float32)).to(theta)
        gain = theta / for_sample(before, layer.shape)
        parts: list[NDArray[Any]] = []
        for rows, current in currents:
            if self.at_once:
                events = counts_at_once(current, theta, u, self.timesteps)[None]
            else:
                events = self._spikes(layer.node, current, theta, u)
            parts.append(self._packed(op, events))
            if observe is not None:
                observe(rows, events)
        gain = gain / self.timesteps if self.at_once else gain
        self._trains[layer.node.name] = _Train.of(parts, layer.shape, gain.cpu().numpy())

    def _spikes(self, node: Node, current: Tensor, threshold: Tensor, start: Tensor) -> Tensor:
        population = self.interpreter.state(node)
        assert isinstance(population, Population)
        population = replace(population, threshold=threshold, v_init=start)
        return scan(population, current, self.timesteps, None)

    def _packed(self, op: AnyNeuron, events: Tensor) -> NDArray[Any]:
        if self.at_once:
            small = torch.int8 if self.timesteps < 128 else torch.int32
            return events.to(small).cpu().numpy()
        spikes = events.to(torch.int8).cpu().numpy()
        return spikes if op.signed else np.packbits(spikes.reshape(*spikes.shape[:2], -1), axis=-1)

    def tensor(self, values: NDArray[np.float32]) -> Tensor:
        """A tensor on the device, images in channels_last if that was requested."""
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        tensor = tensor.to(self.interpreter.device)
        if tensor.ndim < 4 or not self.channels_last:
            return tensor
        lead, sample = tensor.shape[:-3], tensor.shape[-3:]
        images = tensor.reshape(-1, *sample).contiguous(memory_format=torch.channels_last)
        return images.reshape(*lead, *sample)
