"""From the operations of an ONNX model to a graph, through the importer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import NodeProto

from snnc.activation_range import ActivationRange, to_meta
from snnc.errors import Loc, ModelError
from snnc.frontends.importing import Imported, Importer, RefusedError, Value
from snnc.frontends.importing.names import clean, shown
from snnc.frontends.onnx.folding import FOLDED, fold
from snnc.frontends.onnx.layout import InputLayout
from snnc.frontends.onnx.ops_activation import ACTIVATIONS, SQUASHING
from snnc.frontends.onnx.ops_arithmetic import ARITHMETIC, softmax_axis
from snnc.frontends.onnx.ops_layers import LAYERS, Converter
from snnc.frontends.onnx.ops_shape import SHAPES
from snnc.frontends.onnx.ops_spatial import SPATIAL
from snnc.frontends.onnx.reading import DOMAINS, OnnxModel, array_of
from snnc.frontends.onnx.site import Known, OnnxSite, Result, Tensor, tensor_of
from snnc.frontends.onnx.unsupported import KEEP_SHAPE, refusal
from snnc.frontends.onnx.windows import LIMIT

CONVERTERS: Mapping[str, Converter] = {
    **LAYERS, **ACTIVATIONS, **ARITHMETIC, **SHAPES, **SPATIAL,
}  # fmt: skip
SOFTMAX = {"Softmax": False, "LogSoftmax": True}
_ROW_WISE_NAMES = "Add Cast Clip Div Dropout Gemm Identity MatMul Mul Relu Reshape Shape Sub"
ROW_WISE = frozenset(_ROW_WISE_NAMES.split())
"""What may be done to tensors that have positions in the batch (`Tensor.rows`)."""
POSITIONS = ("its positions are in the batch axis", "reshape to the batch and the positions first")
AFTER = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""What may follow a sigmoid or tanh that is kept as the function of an output."""
BATCHES = (1_000_003, 1_000_033)
"""Two sizes of a batch of any size, in the arithmetic of shapes: what differs depends on it."""


def import_model(model: OnnxModel, layout: InputLayout) -> Imported:
    """The graph of a model.

    Raises:
        UnsupportedError: listing every operation that cannot be compiled.
        ModelError: the arrays or shapes of the model do not form a valid graph.
    """
    walk = _Walk(model, Importer(model.name))
    return walk.run(layout)


@dataclass
class _Walk:
    model: OnnxModel
    importer: Importer
    results: dict[str, Result] = field(default_factory=dict[str, Result])
    lost: set[str] = field(default_factory=set[str])  # without a shape, as are their users
    folded: int = 0  # elements of all constants that were computed

    def __post_init__(self) -> None:
        nodes = self.model.graph.node
        self.makers = {name: node for node in nodes for name in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.uses = Counter(name for node in nodes for name in node.input)
        self.uses.update(self.model.outputs)

    def run(self, layout: InputLayout) -> Imported:
        graph = self.model.graph
        value = self.importer.input(layout.stored)
        self.results[self.model.input] = Tensor(value, layout.order)
        for tensor in graph.initializer:
            self.results[tensor.name] = Known(array_of(tensor, self.model.name), clean(tensor.name))
        live = _needed(self.model)
        for node in graph.node:
            if live.intersection(node.output):
                self._operation(node)
        values = [self._output(name) for name in self.model.outputs]
        imported = self.importer.finish([value for value in values if value is not None])
        self._keep_scales(imported)
        return imported

    def _keep_scales(self, imported: Imported) -> None:
        """Note in the graph how activations were quantised, by node."""
        kept: dict[str, ActivationRange] = {}
        for name, quantizer in self.model.quantizers.items():
            result = self.results.get(name)
            if isinstance(result, Tensor) and result.value.name in imported.graph:
                kept[result.value.name] = quantizer
        imported.graph.meta.update(to_meta(kept))

    def _operation(self, node: NodeProto) -> None:
        site = self._site(node)
        known = node.op_type in {*CONVERTERS, *SOFTMAX, *SQUASHING, *FOLDED}
        missing = self.lost.intersection(node.input)
        if missing and known and node.domain in DOMAINS:
            self.lost.update(node.output)
            return
        try:
            found = self.importer.attempt(site, self._convert)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ModelError(  # attributes and constants may hold anything
                f"{site.loc}: the attributes of {site.op} do not fit: {shown(str(error))}"
            ) from None
        if found is None and not missing and node.op_type in KEEP_SHAPE:
            first = next((x for x in site.inputs if isinstance(x, Tensor)), None)
            if first is not None:
                stand_in = self.importer.stand_in(site, first.value.shape)
                found = (Tensor(stand_in, first.order),)
        if found is None:
            self.lost.update(node.output)
            return
        for name, result in zip(node.output, found, strict=False):
            self.results[name] = result

    def _convert(self, site: OnnxSite) -> tuple[Result, ...]:
        node, kind = site.node, site.node.op_type
        if node.domain not in DOMAINS:
            raise refusal(kind, node.domain)
        rows = {x.rows for x in site.inputs if isinstance(x, Tensor)}
        if True in rows and (kind not in ROW_WISE or len(rows) > 1):
            raise RefusedError(*POSITIONS)
        if kind in FOLDED and not rows:
            return self._fold(site)
        if kind == "Shape" and isinstance(site.input(0), Tensor):
            return (self._shape(site),)
        if kind in SOFTMAX:
            x, axis = site.value(), softmax_axis(site)
            return (tensor_of(self.importer.drop_softmax(site, x, axis, SOFTMAX[kind])),)
        if kind in SQUASHING and self._leads_to_outputs(node):
            return (tensor_of(self.importer.keep_function(site.value(), SQUASHING[kind])),)
        if kind not in CONVERTERS:
            raise refusal(kind)
        result = CONVERTERS[kind](site)
        results = result if isinstance(result, tuple) else (result,)
        if True in rows and kind != "Reshape":
            results = tuple(replace(x, rows=True) for x in results if isinstance(x, Tensor))
        for size in (math.prod(each.shape) for each in results if isinstance(each, Tensor)):
            if size > LIMIT:
                raise RefusedError(f"its result has {size} elements", "make it smaller")
        return results

    def _leads_to_outputs(self, node: NodeProto) -> bool:
        """Whether a result is used by outputs only, directly or after operations of `AFTER`."""
        pending, seen = list(node.output), set[str]()
        while pending:
            name = pending.pop()
            users = self.users.get(name, [])
            if not users and name not in self.model.outputs:
                continue
            if any(user.op_type not in AFTER or name != user.input[0] for user in users):
                return False
            new = {output for user in users for output in user.output} - seen
            seen |= new
            pending += new
        return True

    def _fold(self, site: OnnxSite) -> tuple[Result, ...]:
        """The results of an operation of constants."""
        inputs = [x for x in site.inputs if not isinstance(x, Tensor)]
        results = fold(site.node, inputs, site.opset, LIMIT - self.folded)
        self.folded += sum(result.array.size for result in results)
        return tuple(results)

    def _shape(self, site: OnnxSite) -> Known:
        """The shape of a tensor, for this batch and for another."""
        part = slice(site.attributes.get("start", 0), site.attributes.get("end"))
        x = site.tensor()
        first, second = (
            np.array(x.dims(batch)[part], np.int64) for batch in (self._batch, self._other)
        )
        return Known(first, None, None if np.array_equal(first, second) else second)

    @property
    def _batch(self) -> int:
        return self.model.sizes[0] or BATCHES[0]

    @property
    def _other(self) -> int:
        return self.model.sizes[0] or BATCHES[1]

    def _site(self, node: NodeProto) -> OnnxSite:
        name = node.name or next(filter(None, node.output), node.op_type)
        loc = Loc(self.model.name, None, shown(name))
        site = self.importer.site(clean(name), shown(node.op_type), loc=loc)
        inputs = tuple(self.results.get(source) for source in node.input)
        makers = tuple(map(self._maker, node.input))
        return OnnxSite(
            site.constants, site.name, site.op, loc, "", node, inputs, self.model.opset,
            self._batch, makers,
        )  # fmt: skip

    def _maker(self, name: str) -> str | None:
        """The type of what gives a tensor, before transposes, if nothing else uses it."""
        while self.uses[name] == 1 and name in self.makers:
            node = self.makers[name]
            if node.op_type != "Transpose":
                return node.op_type
            name = node.input[0]
        return None

    def _output(self, name: str) -> Value | None:
        if name in self.lost:
            return None
        site = self._site(self.makers.get(name, NodeProto()))
        result = self.results[name]
        return self.importer.attempt(site, _returned, result)


def _returned(site: OnnxSite, result: Result) -> Value:
    if isinstance(result, Tensor):
        if result.rows:
            raise RefusedError(*POSITIONS)
        return site.moved(result)
    raise RefusedError("it returns a constant", "return tensors computed from the input")


def _needed(model: OnnxModel) -> set[str]:
    """Names of the tensors that the outputs depend on."""
    needed = set(model.outputs)
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed
