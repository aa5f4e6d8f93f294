"""Turns traced operations into nodes of the IR, and lists every one that cannot be."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from snnc.errors import GraphError, Loc, ModelError, UnsupportedError
from snnc.frontends.inplace import overwritten
from snnc.frontends.ops_functional import FUNCTIONS, METHODS
from snnc.frontends.ops_nn import converter_of
from snnc.frontends.shapes import Seen
from snnc.frontends.sites import ParamNames, RefusedError, Result, Site, Value
from snnc.frontends.softmax import Tail, tail_of
from snnc.frontends.unsupported import explain, op_name, stem
from snnc.ir import Graph, Input, MaxPool, Relu, verify
from snnc.target import Diagnostic

LOG = logging.getLogger("snnc.frontends")
INPUT = "input"


def canonicalize(
    module: nn.Module,
    traced: fx.Graph,
    seen: dict[fx.Node, Seen],
    shape: tuple[int, ...],
    name: str,
) -> tuple[Graph, dict[int, Tail]]:
    """The graph of the traced operations, and the softmax that was dropped at each output.

    Raises:
        UnsupportedError: listing every operation that cannot be compiled.
        ModelError: the parameters make no graph.
    """
    builder = _Builder(module, traced, seen, name)
    builder.build(shape)
    if builder.problems:
        raise UnsupportedError(_listed(name, builder.problems))
    graph = builder.graph
    _remove_unused(graph)
    hoist_relu(graph)
    graph.prune_params()
    try:
        verify(graph)
    except GraphError as error:
        raise ModelError(f"{name}: {error.message}", hint=error.hint) from None
    return graph, builder.tails


def _listed(name: str, problems: list[Diagnostic]) -> str:
    count = f"{len(problems)} operation{'s' if problems[1:] else ''}"
    return f"{name}: {count} cannot be compiled\n" + "\n".join(f"  {p}" for p in problems)


@dataclass
class _Builder:
    module: nn.Module
    traced: fx.Graph
    seen: dict[fx.Node, Seen]
    name: str
    graph: Graph = field(default_factory=Graph)
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])
    tails: dict[int, Tail] = field(default_factory=dict[int, Tail])
    results: dict[fx.Node, Result] = field(default_factory=dict[fx.Node, Result])
    lost: set[fx.Node] = field(default_factory=set[fx.Node])  # results without a shape, and users

    def build(self, shape: tuple[int, ...]) -> None:
        """Add every operation the output needs; collect what cannot be added."""
        self.params = ParamNames(_state_keys(self.module))
        for node, reason, remedy in overwritten(self.traced, self.seen, self.module):
            self._report(node, reason, remedy)
        live = _needed(self.traced)
        for node in self.traced.nodes:
            if node.op == "output":
                self._output(node)
            elif node.op == "placeholder" and self.seen[node].depends:
                self._input(node, shape)
            elif node in live and self.seen[node].depends:
                self._operation(node)

    def _input(self, node: fx.Node, shape: tuple[int, ...]) -> None:
        self.graph.add(INPUT, Input(shape=shape))
        self.results[node] = Value(INPUT, shape)

    def _operation(self, node: fx.Node) -> None:
        if any(source in self.lost for source in node.all_input_nodes):
            self.lost.add(node)
            return
        site = self._site(node)
        try:
            self.results[node] = self._convert(node, site)
        except RefusedError as problem:
            self._report(node, problem.reason, problem.remedy)
            self._stand_in(node, site)

    def _convert(self, node: fx.Node, site: Site) -> Result:
        tail = tail_of(node, self.module, self.seen)
        if tail is not None:
            LOG.warning("%s: dropped the final %s at %s", self.name, op_name(node, self.module),
                        site.loc)  # fmt: skip
            source = self.results[node.all_input_nodes[0]]
            self.tails[len(self.tails)] = tail.at(node)
            return source
        convert = self._converter(node)
        if convert is None:
            raise RefusedError(*explain(node, self.module))
        args = fx.map_arg(node.args, self._argument)
        kwargs = fx.map_arg(node.kwargs, self._argument)
        try:
            inspect.signature(convert).bind(site, *args, **kwargs)
        except TypeError as error:
            raise RefusedError(
                f"called with arguments snnc does not know ({error})", "leave them out"
            ) from None
        return convert(site, *args, **kwargs)

    def _converter(self, node: fx.Node) -> Callable[..., Result] | None:
        if node.op == "call_module":
            return converter_of(self.module.get_submodule(str(node.target)))
        if node.op == "call_method":
            return METHODS.get(str(node.target))
        return FUNCTIONS.get(node.target) if callable(node.target) else None

    def _argument(self, node: fx.Node) -> Any:
        if node in self.results:
            return self.results[node]
        seen = self.seen[node]
        if seen.depends:
            raise RefusedError("its input has no shape of its own", "see the operation before")
        if seen.varies and not isinstance(seen.constant, Tensor):
            return BatchSize(seen.constant)
        return seen.constant

    def _site(self, node: fx.Node) -> Site:
        path = str(node.target) if node.op == "call_module" else ""
        scope = node.meta["path"]
        named = path or ".".join(part for part in (scope, stem(node)) if part)
        seen = self.seen[node]
        loc: Loc = node.meta["loc"]
        return Site(
            self.graph, self.params, self.graph.fresh(named), path, loc, seen.shape, seen.shapes
        )

    def _stand_in(self, node: fx.Node, site: Site) -> None:
        """Something of the right shape, so that later operations are still looked at."""
        if site.shape is None and not site.shapes:
            self.lost.add(node)
            return
        values = [
            Value(self.graph.add(self.graph.fresh(site.name), Input(shape=shape)), shape)
            for shape in site.shapes or (site.shape or (),)
        ]
        self.results[node] = tuple(values) if site.shapes else values[0]

    def _output(self, node: fx.Node) -> None:
        (result,) = node.args
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        names: list[str] = []
        for output in outputs:
            if output in self.lost:
                continue
            value = self.results.get(output) if isinstance(output, fx.Node) else None
            if not isinstance(value, Value):
                what = "several values of one operation" if isinstance(value, tuple) else "a value"
                self._report(
                    node,
                    f"returns {what} that is no tensor computed from the input",
                    "return one tensor, or a tuple of tensors",
                )
                continue
            names.append(value.name)
        self.graph.outputs = tuple(names)
        self.tails = {
            i: tail for i, output in enumerate(outputs) for tail in self.tails.values()
            if tail.reaches(output)
        }  # fmt: skip

    def _report(self, node: fx.Node, reason: str, remedy: str) -> None:
        loc = node.meta.get("loc") or Loc()
        where = self._site(node).name if node.op != "output" else "output"
        self.problems.append(Diagnostic(op_name(node, self.module), where, loc, reason, remedy))


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A number that depends on how many samples there are; only shapes may use it."""

    value: Any

    def __str__(self) -> str:
        return "(the size of the batch)"


def _state_keys(module: nn.Module) -> dict[int, str]:
    keys: dict[int, str] = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        keys.setdefault(id(tensor), name)
    for name, tensor in module.named_buffers(remove_duplicate=False):
        keys.setdefault(id(tensor), name)
    return keys


def _needed(traced: fx.Graph) -> set[fx.Node]:
    needed: set[fx.Node] = set()
    for node in reversed(list(traced.nodes)):
        if node.op == "output" or node in needed:
            needed.update((node, *node.all_input_nodes))
    return needed


def _remove_unused(graph: Graph) -> None:
    for node in reversed(graph.nodes):
        if not graph.users_of(node.name) and node.name not in graph.outputs:
            graph.remove(node.name)


def hoist_relu(graph: Graph) -> None:
    """Move a ReLU that alone uses a max-pool ahead of it: relu(max(x)) = max(relu(x)).

    The pool then sees what never is negative, as spikes are.
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
