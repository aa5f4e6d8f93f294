"""Quantised ONNX models (QDQ) as the model in floats that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from snnc.activation_range import ActivationRange
from snnc.errors import ModelError
from snnc.frontends.importing.names import shown
from snnc.frontends.onnx.reading import DOMAINS, OnnxModel, array_of

_NOT_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})
_KEEPS_SIGN_NAMES = (
    "AveragePool Concat DepthToSpace DequantizeLinear Dropout Flatten GlobalAveragePool "
    "GlobalMaxPool Identity MaxPool QuantizeLinear ReduceMean ReduceSum Reshape Resize Slice "
    "SpaceToDepth Split Squeeze Transpose Unsqueeze"
)
_KEEPS_SIGN = frozenset(_KEEPS_SIGN_NAMES.split())


def in_floats(model: OnnxModel) -> OnnxModel:
    """The model without quantisation of activations; stored integers keep their scales.

    A quantiser whose smallest value is 0 takes the place of a ReLU that onnxruntime removed, and
    becomes one again unless its input cannot be negative. The upper bound of a quantiser is not
    kept. Raises `ModelError` for scales that are computed.
    """
    stored = _constants(model)
    known = _known(model, stored)
    nodes = [
        node
        for node in model.graph.node
        if node.domain in DOMAINS
        and node.op_type in ("QuantizeLinear", "DequantizeLinear")
        and node.input[0] not in known
    ]
    if not nodes:
        return model
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    makers = {name: node for node in proto.graph.node for name in node.output}
    quantizers: dict[str, ActivationRange] = {}
    names = {node.output[0] for node in nodes}
    for node in proto.graph.node:
        if not node.output or node.output[0] not in names:
            continue
        scale, zero = _numbers(model, node, stored)
        if node.op_type == "QuantizeLinear":
            whole = zero.dtype.kind in "iu"
            if whole and scale.size == zero.size == 1:
                quantizers[node.output[0]] = _range(scale, zero)
            from_zero = whole and np.all(zero == np.iinfo(zero.dtype).min)
            if from_zero and not _not_negative(node.input[0], makers, model.input):
                _become(node, "Relu")
                continue
        _become(node, "Identity")
    return replace(model, proto=proto, quantizers=quantizers)


def _range(scale: NDArray[Any], zero: NDArray[Any]) -> ActivationRange:
    largest = int(np.iinfo(zero.dtype).max)
    return ActivationRange(float(scale.item()), int(zero.item()), largest)


def _become(node: NodeProto, kind: str) -> None:
    node.op_type = kind
    del node.input[1:]
    del node.attribute[:]


def _numbers(
    model: OnnxModel, node: NodeProto, stored: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scale and zero point of a quantiser."""
    if any(name and name not in stored for name in node.input[1:]):
        raise ModelError(
            f"{model.name}: {shown(node.name or node.output[0])} computes its scale",
            hint="quantise statically: onnxruntime.quantization.quantize_static",
        )
    given = [stored[name] for name in node.input[1:] if name]
    return given[0], given[1] if given[1:] else np.zeros((), np.uint8)


def _not_negative(name: str, makers: Mapping[str, NodeProto], network_input: str) -> bool:
    """Whether a tensor is the network's input, or cannot be negative, moved or pooled or not."""
    todo, seen = [name], set[str]()
    while todo:
        tensor = todo.pop()
        maker = makers.get(tensor)
        if tensor == network_input or tensor in seen:
            continue
        seen.add(tensor)
        if maker is None:
            return False
        if maker.op_type in _NOT_NEGATIVE:
            continue
        if maker.op_type not in _KEEPS_SIGN:
            return False
        todo += maker.input if maker.op_type == "Concat" else maker.input[:1]
    return True


def _constants(model: OnnxModel) -> dict[str, NDArray[Any]]:
    """The small arrays of the model, by name: scales and zero points."""
    tensors = [(tensor.name, tensor) for tensor in model.graph.initializer]
    for node in model.graph.node:
        if node.op_type == "Constant":
            tensors += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
    return {name: array_of(t, model.name) for name, t in tensors if len(t.dims) <= 1}


def _known(model: OnnxModel, stored: Mapping[str, NDArray[Any]]) -> set[str]:
    """Names of all tensors that do not depend on the input."""
    known = {"", *stored, *(tensor.name for tensor in model.graph.initializer)}
    for node in model.graph.node:
        if known.issuperset(node.input):
            known.update(node.output)
    return known
