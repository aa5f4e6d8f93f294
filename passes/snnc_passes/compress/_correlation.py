"""Correlations of presynaptic traces with what the neuron does, per weight, from a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import evaluate
from snnc.interp.ops import meaning_of
from snnc.ir import AnyNeuron, Graph, Node, Readout, TwoSidedNeuron, Weighted
from snnc.training import FastInterpreter
from snnc.training.fast_ops import FAST
from snnc_passes.compress._routes import Events, Route, along, routes
from snnc_passes.compress._traces import Trace, traced

Real = NDArray[np.float64]


@dataclass
class Sums:
    """Sums over samples, steps and positions, per weight, all of the weight's shape.

    Attributes:
        excited, inhibited: presynaptic trace times the event, for the two kinds of `Events`.
        excitations, inhibitions: the numbers of these events.
    """

    excited: Real
    inhibited: Real
    excitations: Real
    inhibitions: Real

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Sums:
        """Without any event."""
        return cls(*(np.zeros(shape) for _ in range(4)))


class Correlation:
    """Runs a network and adds up, per weight array, traces of the input at events of the neuron.

    What a weight of a convolution has at all positions is the gradient of the layer with respect to
    it, for the trace as input and the event as gradient of the output: torch computes it, of any
    weighted op. Time and memory are linear in synapses and samples. Values of the trace are
    relative to the largest of a COUNT. A readout fires for its largest output, at every step; one
    that gives no classes, with the sign of its output.

    Args:
        graph: an `snn` graph.
        timesteps: the window T.
        tau, trace: see `traced`.
        device: the torch device.
    """

    def __init__(
        self, graph: Graph, timesteps: int, tau: float, trace: Trace, device: str = "cpu"
    ) -> None:
        self.graph, self.timesteps, self.tau = graph, timesteps, tau
        self.trace: Trace = trace
        self.interpreter = FastInterpreter(graph, device=device)
        self.routes = routes(graph)
        self.sums: dict[str, Sums] = {}
        self._uses = Counter(r.layer for each in self.routes.values() for r in each)
        self._left: Counter[str] = Counter()
        self._inputs: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, x: NDArray[np.float32], sample_ids: NDArray[np.int64]) -> None:
        """Run samples (N, *shape), and add what their events give."""
        self._left = Counter(self._uses)
        self.interpreter.snn(x, self.timesteps, sample_ids=sample_ids, observe=self._observe)
        self._inputs.clear()

    def _observe(self, node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
        op = node.op
        if isinstance(op, Weighted):
            if self._uses[node.name]:
                self._inputs[node.name] = inputs[0]
        elif isinstance(op, AnyNeuron | Readout):
            events = self._events(node, value)
            wait = op.wait if isinstance(op, AnyNeuron) else 0
            for route in self.routes[node.name]:
                self._synapses(route, along(route, events, self.interpreter), wait)

    def _events(self, node: Node, value: Tensor) -> Events:
        if isinstance(node.op, Readout):
            steps = (self.timesteps, *value.shape)
            if value.ndim < 2 or value.shape[1] < 2:
                sign = torch.sign(value).expand(steps).to(self.interpreter.dtype)
                return Events(sign, -sign)
            winner = torch.zeros_like(value, dtype=self.interpreter.dtype)
            winner = winner.scatter_(1, value.argmax(1, keepdim=True), 1).expand(steps)
            return Events(winner, 1 - winner)
        spikes = value.expand(self.timesteps, *value.shape[1:])
        return Events(spikes, -spikes if isinstance(node.op, TwoSidedNeuron) else 1 - spikes)

    def _synapses(self, route: Route, events: Events, wait: int) -> None:
        node = self.graph.node(route.layer)
        op = node.op
        assert isinstance(op, Weighted)
        levels = self.graph.type_of(node.inputs[0]).levels
        shape = self.graph.array(op.weight).shape
        x = traced(self._inputs[route.layer] / max(levels, 1), self.tau, self.trace, wait)
        sums = self.sums.setdefault(op.weight.name, Sums.none(shape))
        excited = products(op, x, events.excited, shape)
        sums.excited += excited
        sums.inhibited += self._others(op, x, events, excited)
        once = torch.ones_like(x[:1, :1])
        for counts, fired in (
            (sums.excitations, events.excited),
            (sums.inhibitions, events.inhibited),
        ):
            counts += products(op, once, fired.abs().sum((0, 1))[None, None], shape)
        self._left[route.layer] -= 1
        if not self._left[route.layer]:
            del self._inputs[route.layer]

    def _others(self, op: Weighted, x: Tensor, events: Events, excited: Real) -> Real:
        """`products` of the inhibitions: of both kinds, less the excitations.

        Both kinds together are mostly one event a step, of two-sided neurons none: then the traces
        are added up before they are multiplied.
        """
        both = events.excited + events.inhibited
        always = both[:1, :1]
        if not torch.equal(both, always.expand_as(both)):
            return products(op, x, events.inhibited, excited.shape)
        total = x.sum((0, 1))[None, None] * (len(both) / len(x))
        return products(op, total, always, excited.shape) - excited


def products(op: Weighted, x: Tensor, events: Tensor, shape: tuple[int, ...]) -> Real:
    """Per weight, the sum of input times event over positions, samples and steps.

    Args:
        op: the layer; its bias takes no part.
        x: its input (T or 1, N, *shape).
        events: at its output, (T, N, *shape).
        shape: of its weight.
    """
    if len(x) == 1:
        events = events.sum(0, keepdim=True)
    weight = x.new_zeros(shape, requires_grad=True)
    flat = x.flatten(0, 1)
    with torch.enable_grad():
        bare = replace(op, bias=None)
        value = evaluate(bare, [flat], flat.ndim - 1, lambda _: weight, meaning_of(op, FAST))
    (total,) = torch.autograd.grad(value, weight, events.flatten(0, 1).to(value))
    return total.to("cpu", torch.float64).numpy()


def mean_correlations(
    sums: Mapping[str, Sums], weights: Mapping[str, Real], offset: float, signed: bool
) -> dict[str, Real]:
    """Per weight array, the mean of (trace - offset) * event over the events of the neuron.

    Args:
        sums: those of a `Correlation`.
        weights: the arrays.
        offset: of the rule.
        signed: whether a negative weight is judged by the other kind of event; else all by spikes.
    """
    found: dict[str, Real] = {}
    for name, each in sums.items():
        other = (weights[name] < 0) & signed
        total = np.where(other, each.inhibited, each.excited)
        events = np.where(other, each.inhibitions, each.excitations)
        found[name] = np.where(events > 0, total / np.maximum(events, 1) - offset, 0.0)
    return found


def correlate(correlation: Correlation, samples: Iterable[NDArray[np.float32]]) -> Iterable[int]:
    """Add all samples, chunk by chunk; yields the number of samples of each chunk."""
    done = 0
    for x in samples:
        correlation.add(x, np.arange(done, done + len(x)))
        done += len(x)
        yield len(x)
