"""Reads an ONNX file as data: checked, self-contained, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, numpy_helper

from snnc.activation_range import ActivationRange
from snnc.errors import ModelError
from snnc.frontends.importing.names import shown
from snnc.frontends.onnx.external_data import ExternalData
from snnc.frontends.onnx.precision import in_float32

OPSETS = range(11, 22)
FILE_LIMIT = (2 << 30) - 1
"""Largest size of an ONNX file in bytes: the limit of its format."""

DOMAINS = ("", "ai.onnx")
"""Names of the domain of the standard operations."""


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file that was read.

    Attributes:
        name: what messages call it.
        proto: its content; no array is external, and floats are float32.
        opset: the version of the standard operations.
        input: name of its only input.
        sizes: size of every axis of the input, the batch first; None where it is not fixed.
        quantizers: what quantised a tensor, by its name, where that was taken out of `proto`.
    """

    name: str
    proto: ModelProto
    opset: int
    input: str
    sizes: tuple[int | None, ...]
    quantizers: Mapping[str, ActivationRange] = field(default_factory=dict[str, ActivationRange])

    @property
    def graph(self) -> GraphProto:
        """The graph of the model."""
        return self.proto.graph

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [output.name for output in self.graph.output]


def array_of(tensor: TensorProto, name: str) -> NDArray[Any]:
    """The numbers of an array of the model `name`. Raises `ModelError` if they do not fit it."""
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # whatever numpy raises for bytes that do not fit
        raise ModelError(f"{name}: an array is damaged: {error}") from None


def read(reference: str) -> OnnxModel:
    """Read a file, and its arrays from its folder; nothing is run or written.

    Raises `ModelError` for a file that is damaged, too large, of another opset, or refers to files
    outside its folder.
    """
    path = Path(reference)
    proto = _parsed(path)
    opset = _opset(proto, reference)
    if proto.functions:
        raise ModelError(
            f"{reference} holds functions of its own",
            hint="save it again after onnx.inliner.inline_local_functions(model)",
        )
    external = ExternalData(path)
    for tensor in _tensors(proto.graph, reference):
        external.read_into(tensor)
    in_float32(proto, reference)
    _check_nodes(proto, opset, reference)
    name, sizes = _input(proto.graph, reference)
    return OnnxModel(reference, proto, opset, name, sizes)


def _parsed(path: Path) -> ModelProto:
    proto = ModelProto()
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise ModelError(f"{path} is larger than an ONNX file can be, 2 GiB")
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except DecodeError:
        raise ModelError(
            f"{path} is damaged: it is no complete ONNX file", hint="export the model again"
        ) from None
    if not proto.graph.node:
        raise ModelError(f"{path} holds no operations")
    if not all(isinstance(text, str) for text in _texts(proto, str(path))):  # protobuf gives bytes
        raise ModelError(f"{path} is damaged: a name in it is no text")
    return proto


def _texts(proto: ModelProto, name: str) -> Iterator[object]:
    """Every name in the model that is used."""
    graph = proto.graph
    yield from (entry.domain for entry in proto.opset_import)
    for named in (*graph.input, *graph.output, *graph.initializer):
        yield named.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for tensor in _tensors(graph, name):
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


def _opset(proto: ModelProto, name: str) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in DOMAINS]
    opset = max(versions, default=0)
    if opset in OPSETS:
        return opset
    raise ModelError(
        f"{name} is of opset {opset}; {OPSETS[0]} to {OPSETS[-1]} are read",
        hint="export it with opset_version=18, or use onnx.version_converter.convert_version",
    )


def _tensors(graph: GraphProto, name: str) -> Iterator[TensorProto]:
    """Every array of the graph: its initializers, and those in attributes."""
    if graph.sparse_initializer:
        raise ModelError(f"{name} holds sparse arrays", hint="store them as dense ones")
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
                raise ModelError(f"{name} holds sparse arrays", hint="store them as dense ones")
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_nodes(proto: ModelProto, opset: int, name: str) -> None:
    """Refuse attributes and counts of inputs that the standard does not have, and loose inputs."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = proto.ir_version
    context.opset_imports = {"": opset}
    inputs = [entry.name for entry in (*proto.graph.input, *proto.graph.initializer)]
    known = {"", *inputs}
    for node in proto.graph.node:
        missing = [source for source in node.input if source not in known]
        if missing:
            raise ModelError(f"{name}: nothing before {shown(node.name)} gives {shown(missing[0])}")
        if known.intersection(node.output) - {""}:
            raise ModelError(f"{name}: {shown(node.output[0])} is computed twice")
        known.update(node.output)
        nested = any(
            a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute
        )
        if node.domain in DOMAINS and onnx.defs.has(node.op_type) and not nested:
            _check_node(node, context, name)
    for output in proto.graph.output:
        if output.name not in known:
            raise ModelError(f"{name}: nothing gives its output {shown(output.name)}")


def _check_node(node: onnx.NodeProto, context: onnx.checker.C.CheckerContext, name: str) -> None:
    try:
        onnx.checker.check_node(node, context)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = shown(str(error).strip().partition("\n")[0], 200)
        raise ModelError(f"{name}: {shown(node.name or node.op_type)}: {first}") from None


def _input(graph: GraphProto, name: str) -> tuple[str, tuple[int | None, ...]]:
    """The only input that is no initializer, and the sizes of its axes."""
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(shown(entry.name) for entry in inputs)
        raise ModelError(
            f"{name} takes {len(inputs)} inputs ({names}); a network takes one",
            hint="numbers that Keras exports as inputs (Normalization): leave that layer out, and "
            "give --mean and --std",
        )
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        raise ModelError(
            f"{name}: its input {shown(inputs[0].name)} is not of floating point",
            hint="export it with an input of floats, and scale the data before it",
        )
    dims = kind.shape.dim
    if len(dims) < 2:
        raise ModelError(f"{name}: its input has no axis of samples", hint="export it with one")
    fixed = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims]
    return inputs[0].name, tuple(fixed)
