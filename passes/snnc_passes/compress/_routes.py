"""The ways from weighted layers to the populations that fire on their currents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.interp import Interpreter, for_sample
from snnc.ir import Add, AnyNeuron, Graph, Readout, Rearrange, Scale, SumPool, Weighted


@dataclass(frozen=True)
class Events:
    """What a population, or what is behind a layer, did at every step, (T, N, *shape) each.

    Attributes:
        excited: the spikes; a synapse of positive weight takes part in them.
        inhibited: the steps without a spike, of two-sided neurons the spikes of the other sign; a
            synapse of negative weight takes part in them.
    """

    excited: Tensor
    inhibited: Tensor


@dataclass(frozen=True)
class Route:
    """A way from a layer to a population.

    Attributes:
        layer: the weighted layer.
        path: the nodes between, from the population back to the layer, each with the input (port)
            that leads to the layer.
    """

    layer: str
    path: tuple[tuple[str, int], ...]


def routes(graph: Graph) -> dict[str, tuple[Route, ...]]:
    """Per population and readout, the ways of the layers whose currents it sums."""
    return {
        node.name: tuple(_back(graph, node.inputs[0], ()))
        for node in graph.nodes
        if isinstance(node.op, AnyNeuron | Readout)
    }


def _back(graph: Graph, name: str, path: tuple[tuple[str, int], ...]) -> Iterator[Route]:
    node = graph.node(name)
    if isinstance(node.op, Weighted):
        yield Route(name, path)
    elif isinstance(node.op, Add | Scale | Rearrange | SumPool):
        for port, source in enumerate(node.inputs):
            yield from _back(graph, source, (*path, (name, port)))


def along(route: Route, events: Events, interpreter: Interpreter) -> Events:
    """The events of a population at the output of a layer, element by element."""
    graph = interpreter.graph
    for name, port in route.path:
        op = graph.node(name).op
        if isinstance(op, Scale):
            factor = for_sample(interpreter.constant(op.factor), graph.type_of(name).shape)
            events = _signed(events, factor)
        elif not isinstance(op, Add):
            both = (events.excited, events.inhibited)
            events = Events(*(_pulled(interpreter, name, port, each) for each in both))
    return events


def _signed(events: Events, factor: Tensor) -> Events:
    """Behind a negative factor, a positive weight inhibits."""
    a, b, none = events.excited, events.inhibited, torch.zeros_like(events.excited)
    excited = torch.where(factor > 0, a, torch.where(factor < 0, b, none))
    return Events(excited, torch.where(factor > 0, b, torch.where(factor < 0, a, none)))


def _pulled(interpreter: Interpreter, name: str, port: int, events: Tensor) -> Tensor:
    """Events of a result at the elements of one input: the transpose of a linear op."""
    types, node = interpreter.types, interpreter.graph.node(name)
    lead = events.shape[:2]
    zeros = [events.new_zeros((*lead, *types[source].shape)) for source in node.inputs]
    zeros[port].requires_grad_()
    with torch.enable_grad():
        value = interpreter.apply(node, zeros)
    return torch.autograd.grad(value, zeros[port], events)[0]
