"""Operations of known numbers (shapes, constants, stored weights), computed during import."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, ValueInfoProto
from onnx.reference import ReferenceEvaluator

from snnc.errors import ModelError
from snnc.frontends.importing import RefusedError
from snnc.frontends.onnx.operators import OPERATORS
from snnc.frontends.onnx.site import Known
from snnc.frontends.onnx.windows import LIMIT

_ELEMENTWISE_NAMES = (
    "Abs Add And Cast Ceil DequantizeLinear Div Equal Exp Expand Floor Greater GreaterOrEqual "
    "Identity Less LessOrEqual Log Max Min Mod Mul Neg Not Or Pow QuantizeLinear Reciprocal "
    "Relu Round Sign Sqrt Sub Sum Where"
)
_ELEMENTWISE = frozenset(_ELEMENTWISE_NAMES.split())
_MOVING_NAMES = (
    "Concat Constant Dropout Flatten ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "Reshape Shape Size Slice Split Squeeze Transpose Unsqueeze"
)
_MOVING = frozenset(_MOVING_NAMES.split())
FOLDED = _ELEMENTWISE | _MOVING | {"ConstantOfShape", "Gather", "Range", "Tile"}
"""Types of operations that are computed during import if all their inputs are known."""

Arrays = Sequence[NDArray[Any] | None]


def fold(
    node: NodeProto, inputs: Sequence[Known | None], opset: int, limit: int = LIMIT
) -> list[Known]:
    """The results of an operation of `FOLDED`.

    Raises `RefusedError` if they may have more than `limit` elements, `ModelError` if the operation
    does not take such inputs.
    """
    arrays = [None if known is None else known.array for known in inputs]
    results = _computed(node, arrays, opset, limit)
    if not any(known is not None and known.other is not None for known in inputs):
        return [Known(array) for array in results]
    others = [
        None if known is None else known.array if known.other is None else known.other
        for known in inputs
    ]
    return [
        Known(array, None, None if np.array_equal(array, other) else other)
        for array, other in zip(results, _computed(node, others, opset, limit), strict=True)
    ]


def _computed(node: NodeProto, arrays: Arrays, opset: int, limit: int) -> list[NDArray[Any]]:
    try:
        size = _result_size(node, arrays)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise ModelError(f"{node.op_type} of constants that do not fit: {error}") from None
    if size > limit:
        raise RefusedError("it makes a large constant, or one of the size of the batch", "store it")
    graph = GraphProto(name="folded")
    graph.node.append(node)
    feeds = {n: a for n, a in zip(node.input, arrays, strict=True) if n and a is not None}
    graph.input.extend(ValueInfoProto(name=name) for name in feeds)
    graph.output.extend(ValueInfoProto(name=name) for name in node.output if name)
    try:
        with np.errstate(all="ignore"):
            return [
                np.asarray(array)
                for array in ReferenceEvaluator(graph, {"": opset}, new_ops=OPERATORS).run(
                    None, feeds
                )
            ]
    except Exception as error:  # the operations of onnx raise whatever numpy does
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{node.op_type} of constants cannot be computed: {first}") from None


def _result_size(node: NodeProto, arrays: Arrays) -> int:
    """A bound on the number of elements of the results."""
    given = [array for array in arrays if array is not None]
    if node.op_type == "ConstantOfShape":
        return math.prod(int(n) for n in given[0].reshape(-1))
    if node.op_type == "Range":
        start, limit, delta = (float(array.reshape(-1)[0]) for array in given)
        return 0 if delta == 0 else max(math.ceil((limit - start) / delta), 0)
    if node.op_type == "Gather":
        return given[0].size * max(given[1].size, 1)
    if node.op_type == "Tile":
        return given[0].size * math.prod(int(n) for n in given[1].reshape(-1))
    if node.op_type == "Expand":
        shape = np.broadcast_shapes(given[0].shape, tuple(int(n) for n in given[1].reshape(-1)))
        return math.prod(shape)
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return given[0].size
    if node.op_type in _ELEMENTWISE:
        return math.prod(np.broadcast_shapes(*(array.shape for array in given)))
    return sum(array.size for array in given)
