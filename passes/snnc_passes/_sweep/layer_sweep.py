"""A spiking network run population by population, over all samples and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import PassError
from snnc.interp import Population, Run, for_sample
from snnc.ir import (
    AnyNeuron,
    Conv,
    CountMaxPool,
    Encode,
    Graph,
    Input,
    Linear,
    MaxPool,
    Node,
    Readout,
    Stateful,
)
from snnc.memory import SWEPT_SAMPLES, SWEPT_VALUES, rows_that_fit
from snnc.training import FastInterpreter
from snnc.training.packed_spikes import count, pack
from snnc.training.scan import scan
from snnc.training.soft_reset import counts_at_once
from snnc_passes._neuron_groups import staggered
from snnc_passes._samples import CHUNK
from snnc_passes._sweep.event_layer import EventLayer, event_layer
from snnc_passes._sweep.spike_train import ALL, SpikeTrain
from snnc_passes._sweep.spike_unit import spike_unit


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
            convolutions of many steps on CPUs, and layers of few spikes are computed by events;
            sums in float32 depend on it.
        copies: by population, of how many neurons on one current an element of it stands for the
            mean (snnc_passes/_neuron_groups.py); 1 for those that are not listed.

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
        copies: Mapping[str, int] | None = None,
    ) -> None:
        for node in graph.nodes:
            if isinstance(node.op, Stateful) and not isinstance(node.op, AnyNeuron | CountMaxPool):
                raise PassError(
                    f"{node.name} ({node.op.mnemonic}) at {node.loc} has a state, and only neurons "
                    "and maxima of counts can be run layer by layer"
                )
        self.graph, self.x, self.timesteps, self.at_once = graph, x, timesteps, at_once
        self.channels_last, self.copies = channels_last, copies or {}
        self.interpreter = FastInterpreter(graph, device=device)
        self.types = graph.types()
        self.rows = [slice(i, i + CHUNK) for i in range(0, len(x), CHUNK)]
        self._trains: dict[str, SpikeTrain] = {}
        self._counts: dict[tuple[str, int], tuple[int, Any]] = {}
        self._event_layers: dict[str, EventLayer | None] = {}

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
        """Delete spike trains except those of the `needed` nodes, and copies of parameters."""
        self._counts.clear()
        self.edited()
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

    def chunks(self, layer: Layer, samples: int) -> Iterator[slice]:
        """Slices of the first `samples` samples that fit the memory budget."""
        shapes = [self.types[n].shape for n in self.graph.inputs_of(layer.source) or [layer.source]]
        largest = max(int(np.prod(shape)) for shape in (layer.shape, *shapes))
        fitting = rows_that_fit(SWEPT_VALUES, largest * self.steps(layer))
        size = min(SWEPT_SAMPLES, fitting)
        return (slice(i, min(i + size, samples)) for i in range(0, samples, size))

    def edited(self) -> None:
        """To be called after parameters of the graph have changed."""
        self.interpreter.params.clear()
        self._event_layers.clear()

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
            averaged = mean or (self.at_once and train.gain is None)
            device = self.interpreter.device
            return self._laid((train.mean if averaged else train.at)(rows, steps, device))
        node = self.graph.node(name)
        if isinstance(node.op, CountMaxPool):
            return self._pooled(node, rows, steps, mean)
        if self.channels_last and not mean and isinstance(node.op, Conv | Linear):
            layer = self._event_layer(name)
            if layer is not None:
                return layer(rows, steps)
        sources = [self.between(n, rows, steps, mean) for n in self.graph.inputs_of(name)]
        return self.interpreter.apply(node, sources)

    def unit(self, name: str, most: int) -> Tensor | None:
        """(C,) what `mean` of a node is a multiple of, 0 to `most` times: see `spike_unit`."""
        return spike_unit(self.graph, name, self.interpreter.constant, self._trains, most)

    def _event_layer(self, name: str) -> EventLayer | None:
        if name not in self._event_layers:
            constant = self.interpreter.constant
            self._event_layers[name] = event_layer(self.graph, name, constant, self._trains)
        return self._event_layers[name]

    def mean(self, name: str, rows: slice, steps: slice = ALL) -> Tensor:
        """(n, *shape) mean over the window, or some steps, of a node of the spiking network."""
        linear = not self._pools_spikes(name)
        return self.between(name, rows, steps, linear).mean(0)

    def _pools_spikes(self, name: str) -> bool:
        node = self.graph.node(name)
        if isinstance(node.op, AnyNeuron | Encode | Input):
            return False
        return isinstance(node.op, MaxPool) or any(
            self._pools_spikes(source) for source in self.graph.inputs_of(name)
        )

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

    def _encoded(self, node: Node) -> SpikeTrain:
        """The spike train of an encoder; of a direct one, real values that are constant in time."""
        direct = isinstance(node.op, Encode) and node.op.code_class.constant

        def parts() -> Iterator[tuple[slice, Tensor]]:
            for rows in self.rows:
                run = Run(self.timesteps, sample_ids=np.arange(len(self.x))[rows])
                analog = self._analog(self.graph.inputs_of(node.name)[0], rows)
                value = self.interpreter.apply(node, [analog[None]], run)
                yield rows, value if direct else value.to(torch.int8)

        events = gathered(parts(), len(self.x), torch.device("cpu"))
        return SpikeTrain(events, len(events))

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
            observe: called with rows and, per neuron, the sum of its spikes (n, *shape); the mean
                of those sums of a group.
        """
        op = layer.node.op
        assert isinstance(op, AnyNeuron)
        theta, u = for_sample(threshold, layer.shape), for_sample(start, layer.shape)
        before = torch.from_numpy(np.array(self.graph.array(op.threshold), np.float32)).to(theta)
        copies = self.copies.get(layer.node.name, 1)
        gain = theta / for_sample(before, layer.shape) / copies
        bits = not (self.at_once or op.signed or copies > 1)

        def parts() -> Iterator[tuple[slice, Tensor]]:
            for rows, current in currents:
                events = self._events(layer.node, current, theta, u)
                if observe is not None:
                    total = count(events, self.timesteps) if bits else events.sum(0)
                    observe(rows, total if copies == 1 else total / copies)
                yield rows, events

        events = gathered(parts(), len(self.x), torch.device("cpu"))
        gain = (gain / self.timesteps if self.at_once else gain).to(self.interpreter.device)
        steps = 1 if self.at_once else self.timesteps
        self._trains[layer.node.name] = SpikeTrain(events, steps, bits, gain)

    def _events(self, node: Node, current: Tensor, threshold: Tensor, start: Tensor) -> Tensor:
        """Of one population: counts (1, n, *shape), bits, or events (T, n, *shape).

        Events are signed spikes, or the sums of the spikes of a group.
        """
        starts = staggered(start, threshold, self.copies.get(node.name, 1))
        if self.at_once:
            most = self.timesteps * len(starts)
            small = torch.int8 if most < 128 else torch.int32
            counts = (counts_at_once(current, threshold, u, self.timesteps) for u in starts)
            return reduce(torch.add, counts)[None].to(small)
        population = self.interpreter.state(node)
        assert isinstance(population, Population)
        alone = [replace(population, threshold=threshold, v_init=u) for u in starts]
        if population.op.signed or len(alone) > 1:
            trains = (scan(each, current, self.timesteps, None) for each in alone)
            return reduce(torch.add, (train.to(torch.int8) for train in trains))
        return pack(alone[0], current, self.timesteps)

    def tensor(self, values: NDArray[np.float32]) -> Tensor:
        """A tensor on the device, images in channels_last if that was requested."""
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        return self._laid(tensor.to(self.interpreter.device))

    def _laid(self, tensor: Tensor) -> Tensor:
        """Images in channels_last if that was requested."""
        if tensor.ndim < 4 or not self.channels_last:
            return tensor
        lead, sample = tensor.shape[:-3], tensor.shape[-3:]
        images = tensor.reshape(-1, *sample).contiguous(memory_format=torch.channels_last)
        return images.reshape(*lead, *sample)


def placed(
    whole: Tensor | None, rows: slice, part: Tensor, samples: int, device: torch.device
) -> Tensor:
    """`whole` (T, samples, *shape) with the values (T, n, *shape) of some rows.

    None for `whole` allocates it, in the memory format of `part`.
    """
    if whole is None:
        sample = torch.empty_like(part[0], device=device)
        shape = (len(part), samples, *part.shape[2:])
        whole = sample.new_empty_strided(shape, (samples * part[0, 0].numel(), *sample.stride()))
    whole[:, rows] = part
    return whole


def gathered(parts: Iterable[tuple[slice, Tensor]], samples: int, device: torch.device) -> Tensor:
    """(T, samples, *shape) of the values (T, n, *shape) of all rows; see `placed`."""
    whole: Tensor | None = None
    for rows, part in parts:
        whole = placed(whole, rows, part, samples, device)
    assert whole is not None
    return whole
