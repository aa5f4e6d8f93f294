"""Builds the graph of a model operation by operation, and lists all that are unsupported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from snnc.errors import Diagnostic, GraphError, Loc, ModelError, UnsupportedError
from snnc.frontends.importing.permutes import sink_permutes
from snnc.frontends.importing.site import ConstantStore, ImportSite, RefusedError, Value
from snnc.frontends.importing.softmax import DroppedSoftmax
from snnc.ir import Graph, Input, MaxPool, Relu, Stage, verify
from snnc.output_function import OutputFunction, to_meta

LOG = logging.getLogger("snnc.frontends")
INPUT = "input"
T = TypeVar("T")


@dataclass(frozen=True)
class Imported:
    """A graph.

    Attributes:
        name: what messages call the model.
        softmaxes: final softmaxes that were dropped, by index of the output.
    """

    graph: Graph
    name: str
    softmaxes: Mapping[int, DroppedSoftmax]


class Importer:
    """The graph of one model under construction.

    Call `input` first; then for every operation, in the order of the model, `site` and `attempt`
    to add its nodes; then `finish`.

    Args:
        name: what messages call the model.
        stage: `SNN` for a model that spikes already.
    """

    def __init__(self, name: str, stage: Stage = Stage.ANN) -> None:
        self.name = name
        self.graph = Graph(stage)
        self.constants = ConstantStore(self.graph)
        self._problems: list[Diagnostic] = []
        self._invalid: list[GraphError] = []

    def input(self, shape: tuple[int, ...]) -> Value:
        """The input of the network; `shape` is that of one sample, channels first."""
        return self._add_input(INPUT, shape)

    def site(self, name: str, op: str, *, loc: Loc | None = None, path: str = "") -> ImportSite:
        """The `ImportSite` of an operation. A suffix `_N` is added to a name that is taken."""
        return ImportSite(self.constants, self.graph.fresh(name), op, loc or Loc(), path)

    def attempt(self, site: ImportSite, convert: Callable[..., T], *args: Any) -> T | None:
        """The result of `convert(site, *args)`; None if it refuses, which `finish` reports."""
        try:
            return convert(site, *args)
        except RefusedError as refused:
            self._refuse(refused, site)
        except GraphError as error:
            self._invalid.append(error)
        return None

    def _refuse(self, refused: RefusedError, site: ImportSite) -> None:
        at = refused.site or site
        self.report(Diagnostic(at.op, at.name, at.loc, refused.reason, refused.remedy))

    def report(self, problem: Diagnostic) -> None:
        """Record a problem, to be listed by `finish`."""
        self._problems.append(problem)

    def stand_in(self, site: ImportSite, shape: tuple[int, ...]) -> Value:
        """A placeholder of `shape` for a refused operation, so that later ones are checked too."""
        return self._add_input(self.graph.fresh(site.name), shape)

    def drop_softmax(self, site: ImportSite, x: Value, axis: int, log: bool = False) -> Value:
        """`x` in place of its softmax; `x` must be an output. `axis` counts the batch as axis 0.

        Raises `RefusedError` unless the softmax is over the classes, axis 1.
        """
        if axis % (len(x.shape) + 1) != 1:
            raise RefusedError("its softmax is not over the classes", "use axis 1")
        LOG.warning("%s: dropped the final %s at %s", self.name, site.op, site.loc)
        return replace(x, softmax=DroppedSoftmax(axis, log))

    def keep_function(self, x: Value, function: OutputFunction) -> Value:
        """`x` in place of its sigmoid or tanh, which is applied to the output; must be an output.

        Raises `RefusedError` behind a softmax.
        """
        if x.softmax is not None or x.function is not None:
            raise RefusedError(
                f"it takes the {function.kind} of what is squashed already", "leave one of them out"
            )
        return replace(x, function=function)

    def finish(self, outputs: Sequence[Value]) -> Imported:
        """The verified graph, without nodes that no output depends on.

        Raises:
            UnsupportedError: listing every operation that cannot be compiled.
            ModelError: the arrays or shapes of the model do not form a valid graph.
        """
        for value in outputs:
            if value.rounding is not None:
                self._refuse(value.rounding.refused(), value.rounding.site)
        if self._problems:
            count = len(self._problems)
            operations = f"{count} operation{'s' if count > 1 else ''}"
            title = f"{self.name}: {operations} cannot be compiled"
            raise UnsupportedError.listing(title, self._problems)
        graph = self.graph
        graph.outputs = tuple(value.name for value in outputs)
        graph.meta.update(to_meta([value.function for value in outputs]))
        try:
            if self._invalid:
                raise self._invalid[0]
            sink_permutes(graph)
            _remove_unused(graph)
            _hoist_relu(graph)
            graph.prune_params()
            verify(graph)
        except GraphError as error:
            raise ModelError(f"{self.name}: {error.message}", hint=error.hint) from None
        softmaxes = {i: v.softmax for i, v in enumerate(outputs) if v.softmax is not None}
        return Imported(graph, self.name, softmaxes)

    def _add_input(self, name: str, shape: tuple[int, ...]) -> Value:
        op = Input(shape=shape)
        self.graph.add(name, op)
        return Value(name, op.infer([], {}))


def _remove_unused(graph: Graph) -> None:
    for node in reversed(graph.nodes):
        if not graph.users_of(node.name) and node.name not in graph.outputs:
            graph.remove(node.name)


def _hoist_relu(graph: Graph) -> None:
    """Move a ReLU in front of a max pool of which it is the only user.

    relu(max(x)) = max(relu(x)); the input of the pool is then non-negative, as spikes are.
    """
    for node in reversed(graph.nodes):
        if not isinstance(node.op, MaxPool):
            continue
        users = graph.users_of(node.name)
        if len(users) != 1 or node.name in graph.outputs:
            continue
        ((relu, _),) = users
        if not isinstance(graph.node(relu).op, Relu):
            continue
        moved = graph.node(relu)
        (source,) = graph.inputs_of(node.name)
        graph.bypass(relu)
        graph.add(relu, moved.op, [source], loc=moved.loc, origins=moved.origins)
        graph.set_input(node.name, 0, relu)
