"""From the nodes of a NIR file to a graph of stage `snn`, through the importer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from typing import Any

import networkx as nx
import nir
import numpy as np

from snnc.errors import Diagnostic, Loc, ModelError, UsageError
from snnc.frontends import importing
from snnc.frontends.importing import Importer, ImportSite, RefusedError, Value
from snnc.frontends.importing.names import clean, shown
from snnc.frontends.nir.convention import Convention, require_told
from snnc.frontends.nir.feedback import SoftReset, loops, without_feedback
from snnc.frontends.nir.neurons import (
    integrating_neuron,
    integrator_gain,
    leaky_neuron,
    parameter,
    subtracting_neuron,
    threshold,
)
from snnc.frontends.nir.operators import OPERATORS, Converter
from snnc.frontends.nir.reading import NirModel
from snnc.ir import EncodeDirect, Graph, Readout, Scale, Signal, Stage

LOG = logging.getLogger("snnc.frontends")
LARGEST = 1 << 28
"""Most elements of a sample of the input."""

NEURONS: Mapping[str, Converter] = {
    "IF": integrating_neuron,
    "LIF": leaky_neuron,
    "Threshold": threshold,
}
REFUSED: Mapping[str, tuple[str, str]] = {
    "CubaLI": ("its synapse is a filter in front of the membrane, which no population has", "a LI"),
    "CubaLIF": ("its synapse is a filter in front of the membrane, which no population has", "LIF"),
    "Delay": ("a delay, which no graph has", "leave it out"),
    "LI": (
        "a leaky readout weighs steps unequally; a readout is a plain sum",
        "end with the linear layer before it, or with I",
    ),
    "NIRGraph": ("it is a graph in a graph", "write the file with one graph of all nodes"),
}
"""Reason and remedy of types that are not taken."""
LOOP = "of loops, only an I and a Threshold with a Scale of -threshold back are a neuron"
"""Remedy for other loops."""


def import_graph(model: NirModel, how: Convention, shape: tuple[int, ...] | None) -> Graph:
    """The graph of a model, at stage `snn`.

    Args:
        shape: of one sample, if told by the user.

    Raises:
        UsageError: the file does not say what an option has to.
        UnsupportedError: listing every node that cannot be compiled.
        ModelError: the arrays or shapes of the model do not form a valid graph.
    """
    model, resets = without_feedback(model)
    source, target = model.only(nir.Input), model.only(nir.Output)
    require_told(model.name, how, _needed(model, how))
    return _Walk(model, how, resets).run(source, target, _sample(model, source, how, shape))


def _needed(model: NirModel, how: Convention) -> set[str]:
    """The facts of the convention that the nodes of a model need."""
    kinds = {type(node).__name__ for node in model.nodes.values()}
    timed = {"LIF"} | ({"IF", "I"} if how.resistance else set())
    found = {"reset"} if kinds & {"LIF", "IF"} else set()
    return found | ({"dt"} if kinds & timed else set())


def _sample(
    model: NirModel, source: str, how: Convention, told: tuple[int, ...] | None
) -> tuple[int, ...]:
    """The shape of one sample: as the file has it, or without the batch that some writers keep."""
    found = model.nodes[source].input_type["input"]
    stored = tuple(int(n) for n in np.ravel(np.asarray(found)))
    if told is None and how.batch_axis and len(stored) in (2, 4) and stored[0] == 1:
        LOG.warning("%s: its input of shape %s is read as a batch of one", model.name, stored)
        stored = stored[1:]
    shape = stored if told is None else told
    if told is not None and told not in (stored, stored[1:]):
        raise UsageError(
            f"{model.name} takes an input of shape {stored}, not {told}",
            hint="give the shape of one sample, without the batch",
        )
    if not shape or min(shape) < 1 or np.prod(shape, dtype=object) > LARGEST:
        raise ModelError(f"{model.name}: its input has the shape {shape}")
    return shape


class _Walk:
    """Adds one node after the other to the graph of a model."""

    def __init__(self, model: NirModel, how: Convention, resets: Mapping[str, SoftReset]) -> None:
        self._model, self._how, self._resets = model, how, resets
        self._importer = Importer(model.name, Stage.SNN)
        self._values: dict[str, Value | None] = {}

    def run(self, source: str, target: str, shape: tuple[int, ...]) -> Graph:
        """The graph. `source` and `target` are the names of the input and the output."""
        order: nx.DiGraph[str] = nx.DiGraph()
        order.add_nodes_from(self._model.nodes)
        order.add_edges_from(self._model.edges)
        if order.in_degree(source) or order.out_degree(target):
            raise ModelError(f"{self._model.name}: something enters its input or leaves its output")
        x = self._importer.input(shape)
        self._values[source] = self._importer.site("encode", "Input").emit(EncodeDirect(), [x])
        for loop in loops(self._model):
            self._refuse(loop)
            order.remove_nodes_from(loop)
        for name in nx.lexicographical_topological_sort(order):
            if name != source:
                self._add(name, self._output if name == target else self._convert)
        output = self._values[target]
        return self._importer.finish([] if output is None else [output]).graph

    def _refuse(self, loop: Set[str]) -> None:
        """Report a loop; what depends on it is lost."""
        site = self._site(min(loop))
        listed = shown(", ".join(sorted(loop)), 200)
        self._importer.report(
            Diagnostic("loop", site.name, site.loc, f"{listed} form a loop", LOOP)
        )
        self._values.update(dict.fromkeys(loop))

    def _add(self, name: str, convert: Callable[[ImportSite, str], Value]) -> None:
        """Add a node, unless one before it was refused and this one would be taken."""
        kind = type(self._model.nodes[name]).__name__
        complete = all(self._values[each] for each in self._sources(name))
        value = None
        if complete or kind in REFUSED:
            value = self._importer.attempt(self._site(name), convert, name)
        self._values[name] = value

    def _convert(self, site: ImportSite, name: str) -> Value:
        node = self._model.nodes[name]
        kind = type(node).__name__
        if kind in REFUSED:
            raise RefusedError(*REFUSED[kind])
        if kind == "I":
            return self._final_potential(site, node, name)
        x = self._total(site, name)
        if kind in OPERATORS:
            return OPERATORS[kind](site, node, x, self._how)
        x = as_current(site, x)
        if name in self._resets:
            return self._soft(site, self._resets[name], x)
        return NEURONS[kind](site, node, x, self._how)

    def _final_potential(self, site: ImportSite, node: Any, name: str) -> Value:
        """An integrator at the end: the readout sums what it would."""
        users = [b for a, b in self._model.edges if a == name]
        if not all(isinstance(self._model.nodes[user], nir.Output) for user in users):
            raise RefusedError(
                "an integrator that nothing resets is read only at the end of a network",
                "use IF, or take its spikes back by a Scale of -threshold",
            )
        x = as_current(site, self._total(site, name))
        gain = integrator_gain(parameter(site, node.r, "r", x), self._how).astype(np.float32)
        return importing.scale(site, x, importing.Constant(gain))

    def _soft(self, site: ImportSite, triple: SoftReset, x: Value) -> Value:
        level = parameter(site, triple.threshold.threshold, "threshold", x)
        back = parameter(site, triple.feedback.scale, "scale", x)
        if np.any(back >= 0) or np.any(level <= 0):
            raise RefusedError(
                "the Scale back to its integrator adds to the potential", "a Scale of -threshold"
            )
        gain = -level / back
        told = self._how.dt
        r = parameter(site, triple.integrator.r, "r", x)
        by_step = r if told is None else r * told
        if not any(np.allclose(gain, each, rtol=1e-5) for each in (r, by_step)):
            raise RefusedError(
                "a spike does not take exactly the threshold away from its integrator",
                "a Scale of -threshold / r",
            )
        return subtracting_neuron(site, level, gain, x, self._how)

    def _output(self, site: ImportSite, name: str) -> Value:
        return site.emit(Readout(), [self._total(site, name)])

    def _total(self, site: ImportSite, name: str) -> Value:
        """The sum of everything that enters a node."""
        values = [value for each in self._sources(name) if (value := self._values[each])]
        if not values:
            raise RefusedError("nothing leads to it", "connect it to the input, or leave it out")
        if len(values) == 1:
            return values[0]
        total = as_current(site, values[0])
        for value in values[1:]:
            total = importing.add(site, total, as_current(site, value))
        return total

    def _sources(self, name: str) -> list[str]:
        return sorted(a for a, b in self._model.edges if b == name)

    def _site(self, name: str) -> ImportSite:
        loc = Loc(self._model.name, None, shown(name))
        op = type(self._model.nodes[name]).__name__
        return self._importer.site(clean(name), op, loc=loc)


def as_current(site: ImportSite, x: Value) -> Value:
    """A current as it is; events as a current of one unit each (S2)."""
    if x.type.signal is Signal.CURRENT:
        return x
    return site.emit(Scale(factor=1.0), [x], "current")
