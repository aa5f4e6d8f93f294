"""Convert traced torch operations into graph nodes through the importer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from snnc.errors import Diagnostic, Loc
from snnc.frontends.importing import Imported, Importer, RefusedError, Value
from snnc.frontends.inplace import overwritten
from snnc.frontends.shapes import BatchSize, Seen, Traced
from snnc.frontends.softmax import final_softmax
from snnc.frontends.squashing import final_squashing
from snnc.frontends.torch_operations import FUNCTIONS, METHODS, converter_of
from snnc.frontends.torch_site import Result, TensorConstants, TorchSite
from snnc.frontends.unsupported import explain, op_name, stem


def canonicalize(traced: Traced, shape: tuple[int, ...], name: str) -> Imported:
    """The graph of the traced operations, for samples of `shape`.

    Raises:
        UnsupportedError: listing every operation that cannot be compiled.
        ModelError: the parameters do not form a valid graph.
    """
    constants = TensorConstants(traced.tensors)
    walk = _Walk(traced.module, traced.graph, traced.seen, Importer(name), constants)
    return walk.importer.finish(walk.outputs(shape))


@dataclass
class _Walk:
    module: nn.Module
    traced: fx.Graph
    seen: dict[fx.Node, Seen]
    importer: Importer
    tensors: TensorConstants
    results: dict[fx.Node, Result] = field(default_factory=dict[fx.Node, Result])
    lost: set[fx.Node] = field(default_factory=set[fx.Node])  # results without a shape, and users

    def outputs(self, shape: tuple[int, ...]) -> list[Value]:
        """Add every operation that the outputs depend on; report those that cannot be added."""
        for node, reason, remedy in overwritten(self.traced, self.seen, self.module):
            self._report(node, self._site(node).name, reason, remedy)
        live = needed(self.traced)
        for node in self.traced.nodes:
            if node.op == "placeholder" and self.seen[node].depends:
                self.results[node] = self.importer.input(shape)
            elif node.op != "output" and node in live and self.seen[node].depends:
                self._operation(node)
        (output,) = (node for node in self.traced.nodes if node.op == "output")
        return self._output(output)

    def _operation(self, node: fx.Node) -> None:
        site = self._site(node)
        if any(source in self.lost for source in node.all_input_nodes):
            if self._is_unknown(node):
                self._report(node, site.name, *explain(node, self.module))
            result = None
        else:
            result = self.importer.attempt(site, self._convert, node)
        if result is None:
            result = self._stand_in(site)
        if result is None:
            self.lost.add(node)
        else:
            self.results[node] = result

    def _convert(self, site: TorchSite, node: fx.Node) -> Result:
        softmax = final_softmax(node, self.module, self.seen)
        if softmax is not None:
            source = self.results[node.all_input_nodes[0]]
            assert isinstance(source, Value)
            return self.importer.drop_softmax(site, source, softmax.axis, softmax.log)
        squashing = final_squashing(node, self.module)
        if squashing is not None:
            source = self.results[node.all_input_nodes[0]]
            assert isinstance(source, Value)
            return self.importer.keep_function(source, squashing)
        convert = self._converter(node)
        if convert is None:
            raise RefusedError(*explain(node, self.module))
        args = fx.map_arg(self.seen[node].args, self._argument)
        kwargs = fx.map_arg(_torch_names(self.seen[node].kwargs), self._argument)
        try:
            inspect.signature(convert).bind(site, *args, **kwargs)
        except TypeError as error:
            raise RefusedError(
                f"called with arguments snnc does not know ({error})", "leave them out"
            ) from None
        return convert(site, *args, **kwargs)

    def _is_unknown(self, node: fx.Node) -> bool:
        """Whether an operation is refused whatever its input is."""
        final = final_softmax(node, self.module, self.seen) or final_squashing(node, self.module)
        return final is None and self._converter(node) is None

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

    def _site(self, node: fx.Node) -> TorchSite:
        path = node.meta["owner"]
        named = path or ".".join(part for part in (node.meta["path"], stem(node)) if part)
        seen, op = self.seen[node], op_name(node, self.module)
        site = self.importer.site(named, op, loc=node.meta["loc"], path=path)
        return TorchSite(
            site.constants, site.name, op, site.loc, path, self.tensors, seen.shape, seen.shapes
        )

    def _stand_in(self, site: TorchSite) -> Result | None:
        """A placeholder of the right shape, so that later operations are checked as well."""
        if site.shapes:
            return tuple(self.importer.stand_in(site, shape) for shape in site.shapes)
        return None if site.shape is None else self.importer.stand_in(site, site.shape)

    def _output(self, node: fx.Node) -> list[Value]:
        (result,) = node.args
        outputs = list(result) if isinstance(result, tuple | list) else [result]
        values: list[Value] = []
        for output in outputs:
            if output in self.lost:
                continue
            value = self.results.get(output) if isinstance(output, fx.Node) else None
            if isinstance(value, Value):
                values.append(value)
                continue
            what = "several values" if isinstance(value, tuple) else _kind(output)
            reason = f"returns {what} that is no tensor computed from the input"
            self._report(node, "output", reason, "return one tensor, or a tuple of tensors")
        return values

    def _report(self, node: fx.Node, name: str, reason: str, remedy: str) -> None:
        loc = node.meta.get("loc") or Loc()
        if node.op == "output" and node.all_input_nodes:
            loc = node.all_input_nodes[-1].meta["loc"]  # fx gives a return no line
        op = op_name(node, self.module)
        self.importer.report(Diagnostic(op, name, loc, reason, remedy))


_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x2": "other"}
"""Keywords that torch takes for those of its own."""


def _kind(output: Any) -> str:
    kinds = (kind for kind in (dict, tuple, list) if isinstance(output, kind))
    kind = next(kinds, type(output))
    return "a value" if isinstance(output, fx.Node) else f"a {kind.__name__}"


def _torch_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {_NUMPY_NAMES.get(key, key): value for key, value in kwargs.items()}


def needed(traced: fx.Graph) -> set[fx.Node]:
    """The nodes that the outputs depend on."""
    needed: set[fx.Node] = set()
    for node in reversed(list(traced.nodes)):
        if node.op == "output" or node in needed:
            needed.update((node, *node.all_input_nodes))
    return needed
