"""The weighted input of every layer of a spiking network, one layer after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.interp import Population, Run
from snnc.ir import Encode, Graph, Input, Neuron, Node, broadcast_to_sample
from snnc.training import FastInterpreter
from snnc.transform import Advance, PassContext
from snnc_passes._samples import CHUNK, chunks
from snnc_passes._statistics import Granularity, in_rows, kth_smallest

Choose = Callable[[Node, Iterator[NDArray[np.float32]]], NDArray[np.float64]]
"""Given a neuron node and its input (N, *shape) at every step, chooses its threshold."""
LARGEST_IN_MEMORY = 1 << 29
"""Bytes of a layer's input that are held; what is larger is computed again to fire on."""


@dataclass(frozen=True)
class _Train:
    """Values of one node over its window, for all samples.

    Attributes:
        packed: (T, N, bytes of 8 spikes), or (T or 1, N, *shape) where not packed.
        shape: shape of a sample.
        bits: whether `packed` holds bits.
        gain: what one spike counts, broadcast against a sample.
    """

    packed: NDArray[Any]
    shape: tuple[int, ...]
    bits: bool
    gain: NDArray[np.float32] | None = None

    def at(self, step: int, rows: slice) -> NDArray[np.float32]:
        """(n, *shape) of one step."""
        values = self.packed[step if len(self.packed) > 1 else 0, rows]
        if self.bits:
            size = int(np.prod(self.shape))
            values = np.unpackbits(values, axis=-1, count=size).reshape(-1, *self.shape)
        values = np.asarray(values, np.float32)
        return values if self.gain is None else values * self.gain


class LayerSweep:
    """Runs a spiking network layer by layer over all samples and steps.

    Only trains of encoders and neurons are kept, packed to bits; what lies between is computed for
    one step and one chunk at a time, when the next neuron asks for it. So no layer is run again
    for the layers behind it, and memory holds the trains that are still needed.

    Args:
        graph: an `snn` graph.
        x: all samples, (N, *shape).
        timesteps: T.
        device: where to compute.
    """

    def __init__(
        self, graph: Graph, x: NDArray[np.float32], timesteps: int, device: str = "cpu"
    ) -> None:
        self.graph, self.x, self.timesteps = graph, x, timesteps
        self.interpreter = FastInterpreter(graph, device=device)
        self.types = graph.types()
        self.trains: dict[str, _Train] = {}
        self.rows = [slice(i, i + CHUNK) for i in range(0, len(x), CHUNK)]

    def visit(self, choose: Choose, advance: Advance) -> None:
        """Visit neurons in order; each spikes with the threshold `choose` gave it.

        A spike then counts as much more as the threshold has grown.
        """
        order = [n for n in self.graph.nodes if isinstance(n.op, Encode | Neuron)]
        needed = {n.name: self._sources(n) for n in order}
        for position, node in enumerate(order):
            if isinstance(node.op, Encode):
                self.trains[node.name] = self._encoded(node)
            else:
                currents = _Currents(self, node)
                self.trains[node.name] = self._fired(node, currents, choose(node, currents.steps()))
                advance(1)
            later = {name for each in order[position + 1 :] for name in needed[each.name]}
            for name in list(self.trains):
                if name not in later:
                    del self.trains[name]

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self.interpreter.device)

    def _sources(self, node: Node) -> set[str]:
        """Encoders and neurons that `node` depends on without another between."""
        found, waiting = set[str](), list(self.graph.inputs_of(node.name))
        while waiting:
            name = waiting.pop()
            if isinstance(self.graph.node(name).op, Encode | Neuron):
                found.add(name)
            else:
                waiting += self.graph.inputs_of(name)
        return found

    def _encoded(self, node: Node) -> _Train:
        """A direct encoder's values are real and the same at every step; others are spikes."""
        parts: list[NDArray[Any]] = []
        for rows in self.rows:
            ids = np.arange(len(self.x))[rows]
            analog = self._analog(self.graph.inputs_of(node.name)[0], rows)
            run = Run(self.timesteps, sample_ids=ids)
            value = self.interpreter.apply(node, [analog[None]], run).cpu().numpy()
            direct = isinstance(node.op, Encode) and node.op.code_class.constant
            parts.append(value if direct else value.astype(np.int8))
        return _Train(np.concatenate(parts, axis=1), self.types[node.name].shape, bits=False)

    def _analog(self, name: str, rows: slice) -> torch.Tensor:
        node = self.graph.node(name)
        if isinstance(node.op, Input):
            return self._tensor(self.x[rows])
        sources = [self._analog(source, rows) for source in self.graph.inputs_of(name)]
        return self.interpreter.apply(node, sources)

    def _value(self, name: str, step: int, rows: slice) -> torch.Tensor:
        if name in self.trains:
            return self._tensor(self.trains[name].at(step, rows))
        sources = [self._value(source, step, rows) for source in self.graph.inputs_of(name)]
        return self.interpreter.apply(self.graph.node(name), sources)

    def _fired(self, node: Node, currents: _Currents, threshold: NDArray[np.float64]) -> _Train:
        op, shape = node.op, self.types[node.name].shape
        assert isinstance(op, Neuron)
        wide = broadcast_to_sample(np.asarray(threshold, np.float32), shape)
        before = np.asarray(self.graph.array(op.threshold), np.float32)
        gain = np.asarray(wide, np.float32) / np.asarray(
            broadcast_to_sample(before, shape), np.float32
        )
        population = self.interpreter.state(node)
        assert isinstance(population, Population)
        population = replace(
            population,
            threshold=self._tensor(wide),
            v_init=population.v_init * self._tensor(gain),
        )
        parts: list[NDArray[Any]] = []
        for rows in self.rows:
            current = self._tensor(currents.window(rows))
            spikes = population.run(current, self.timesteps).cpu().numpy().astype(np.int8)
            flat = spikes.reshape(*spikes.shape[:2], -1)
            parts.append(spikes if op.signed else np.packbits(flat, axis=-1))
        packed = np.concatenate(parts, axis=1)
        return _Train(packed, shape, not op.signed, gain)


class _Currents:
    """The input of a neuron node: at one step of all samples, or of some samples at all steps."""

    def __init__(self, sweep: LayerSweep, node: Node) -> None:
        (self.source,) = sweep.graph.inputs_of(node.name)
        kind = sweep.types[self.source]
        self.sweep, self.shape = sweep, kind.shape
        self.count = 1 if kind.constant_in_time else sweep.timesteps
        size = 4 * self.count * len(sweep.x) * kind.size
        self.held: list[NDArray[np.float32]] | None = [] if size <= LARGEST_IN_MEMORY else None

    def steps(self) -> Iterator[NDArray[np.float32]]:
        """(N, *shape) of every step; one where all are the same."""
        for step in range(self.count):
            values = np.empty((len(self.sweep.x), *self.shape), np.float32)
            for rows in self.sweep.rows:
                values[rows] = self._at(step, rows)
            if self.held is not None:
                self.held.append(values)
            yield values

    def window(self, rows: slice) -> NDArray[np.float32]:
        """(T or 1, n, *shape) of some samples, after `steps`."""
        if self.held is not None:
            return np.stack([values[rows] for values in self.held])
        return np.stack([self._at(step, rows) for step in range(self.count)])

    def _at(self, step: int, rows: slice) -> NDArray[np.float32]:
        return self.sweep._value(self.source, step, rows).cpu().numpy()


def current_statistic(
    graph: Graph,
    ctx: PassContext,
    neurons: Sequence[str],
    percent: float,
    granularity: Granularity,
    timesteps: int,
) -> Mapping[str, NDArray[np.float64]]:
    """Per neuron node, the largest over `timesteps` steps of a percentile of its weighted input.

    At each step over all samples: the k-th smallest, k = 1 + round(percent/100 * (n-1)). Where that
    is positive nowhere, the maximum. Returns (G,) arrays, one value a channel or one for the layer;
    they may be zero or negative.
    """
    if ctx.calibration is None:
        raise PassError("there is no calibration data", hint="add --calibration DATA")
    found: dict[str, NDArray[np.float64]] = {}

    def choose(node: Node, currents: Iterator[NDArray[np.float32]]) -> NDArray[np.float64]:
        steps: list[NDArray[np.floating]] = []
        tops: list[NDArray[np.floating]] = []
        for values in currents:
            rows = in_rows(values, granularity)
            steps.append(kth_smallest(rows, percent))
            tops.append(rows.max(axis=1))
        usual, top = (np.max(np.stack(each), axis=0).astype(np.float64) for each in (steps, tops))
        found[node.name] = usual if np.any(usual > 0) else top
        filled = fill_silent(found[node.name])
        if filled is None:
            assert isinstance(node.op, Neuron)
            return graph.array(node.op.threshold).astype(np.float64)
        return filled if granularity == "channel" else filled.reshape(())

    x = np.concatenate(list(chunks(ctx.calibration)))
    with ctx.progress("currents", len(neurons)) as advance:
        LayerSweep(graph, x, timesteps, ctx.device).visit(choose, advance)
    return found


def fill_silent(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """`values` with those that are not positive replaced by the median of the others.

    None where none is positive.
    """
    active = values[values > 0]
    return np.where(values > 0, values, np.median(active)) if active.size else None
