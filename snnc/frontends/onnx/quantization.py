"""Quantised ONNX models (QDQ) as the model in floats that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

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

    A quantiser whose smallest value is 0 takes the place of a ReLU or ReLU6 that onnxruntime
    removed, and becomes a ReLU with the largest value as its bound, unless its input cannot be
    negative. The bounds of other quantisers are not kept. Raises `ModelError` for scales that are
    computed.
    """
    stored = _constants(model)
    names = _of_activations(model, stored)
    if not names:
        return model
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    makers = {name: node for node in proto.graph.node for name in node.output}
    quantizers: dict[str, ActivationRange] = {}
    for node in proto.graph.node:
        if not node.output or node.output[0] not in names:
            continue
        scale, zero = _numbers(model, node, stored)
        limits = _limits(zero.dtype) if node.op_type == "QuantizeLinear" else None
        if limits is None:
            _become(node, "Identity")
            continue
        if scale.size == zero.size == 1:
            found = ActivationRange(float(scale.item()), int(zero.item()), limits[1])
            quantizers[node.output[0]] = found
        from_zero = np.all(zero == limits[0])
        if from_zero and not _not_negative(node.input[0], makers, model.input, stored):
            _rectify(proto, node, quantizers.get(node.output[0]), stored)
        else:
            _become(node, "Identity")
    return replace(model, proto=proto, quantizers=quantizers)


def _of_activations(model: OnnxModel, stored: Mapping[str, NDArray[Any]]) -> set[str]:
    """The results of quantisers of what depends on the input."""
    known = _known(model, stored)
    return {
        node.output[0]
        for node in model.graph.node
        if node.domain in DOMAINS
        and node.op_type in ("QuantizeLinear", "DequantizeLinear")
        and node.input[0] not in known
    }


def _limits(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """The smallest and the largest integer of a type, also of 2 or 4 bits; None for floats."""
    kind = re.fullmatch(r"(u?)int(\d+)", dtype.name)
    if kind is None:
        return None
    bits = int(kind[2])
    return (0, 2**bits - 1) if kind[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _rectify(
    proto: ModelProto,
    node: NodeProto,
    found: ActivationRange | None,
    stored: dict[str, NDArray[Any]],
) -> None:
    """Make a quantiser that starts at 0 a ReLU, bounded by its range if that is known."""
    if found is None or not 0 < found.high <= np.finfo(np.float32).max:
        _become(node, "Relu")
        return
    _become(node, "Clip")
    for what, bound in (("low", 0.0), ("high", found.high)):
        name = f"{node.output[0]}.{what}"
        stored[name] = np.asarray(bound, np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(stored[name], name))
        node.input.append(name)


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
    return given[0], given[1] if given[1:] else np.zeros((), _integers(node))


def _integers(node: NodeProto) -> np.dtype[Any]:
    """The type a quantiser without a zero point gives."""
    kind = next((a.i for a in node.attribute if a.name == "output_dtype"), 0)
    return helper.tensor_dtype_to_np_dtype(kind) if kind else np.dtype(np.uint8)


def _not_negative(
    name: str,
    makers: Mapping[str, NodeProto],
    network_input: str,
    stored: Mapping[str, NDArray[Any]],
) -> bool:
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
        if maker.op_type in _NOT_NEGATIVE or _clips_at_zero(maker, stored):
            continue
        if maker.op_type not in _KEEPS_SIGN:
            return False
        todo += maker.input if maker.op_type == "Concat" else maker.input[:1]
    return True


def _clips_at_zero(node: NodeProto, stored: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a node is a `Clip` without negative results."""
    low = stored.get(node.input[1]) if node.op_type == "Clip" and node.input[1:] else None
    return low is not None and low.size == 1 and bool(low.item() >= 0)


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
