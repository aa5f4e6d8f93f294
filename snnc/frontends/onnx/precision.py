"""Float types of an ONNX model: all become float32, as graphs are."""

from __future__ import annotations

import logging

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from snnc.errors import ModelError

LOG = logging.getLogger("snnc.frontends")
_OTHER: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
}


def in_float32(proto: ModelProto, name: str) -> None:
    """Change every float of another type in `proto` to float32; warns if arrays are changed.

    Raises `ModelError` for arrays whose bytes do not fit their shape.
    """
    graph = proto.graph
    changed = {_converted(tensor, name) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _converted(attribute.t, name)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _OTHER:
                attribute.i = TensorProto.FLOAT
    for entry in (*graph.input, *graph.output, *graph.value_info):
        if entry.type.tensor_type.elem_type in _OTHER:
            entry.type.tensor_type.elem_type = TensorProto.FLOAT
    kinds = sorted(kind for kind in changed if kind)
    if kinds:
        LOG.warning("arrays of type %s are cast to float32", ", ".join(kinds))


def _converted(tensor: TensorProto, name: str) -> str:
    """Convert `tensor` if it is of another float type, which is returned."""
    kind = _OTHER.get(tensor.data_type, "")
    if kind:
        try:
            array = numpy_helper.to_array(tensor).astype(np.float32)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{name}: an array is damaged: {error}") from None
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return kind
