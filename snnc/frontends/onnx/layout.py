"""The input of an ONNX model as the network takes it: channels first."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from snnc.errors import ModelError, UnknownShapeError
from snnc.frontends.onnx.reading import OnnxModel, array_of
from snnc.frontends.onnx.windows import LIMIT

LOG = logging.getLogger("snnc.frontends")
_KEEPS_AXES_NAMES = (
    "Add Cast Clip Concat DequantizeLinear Div Gather Identity Mul Neg Pad QuantizeLinear Relu "
    "Slice Sub"
)
_KEEPS_AXES = frozenset(_KEEPS_AXES_NAMES.split())


@dataclass(frozen=True)
class InputLayout:
    """How a sample of the network becomes one of the model.

    Attributes:
        stored: shape of a sample of the network, channels first.
        order: axis i of a sample of the model is axis `order[i]` of it.
    """

    stored: tuple[int, ...]
    order: tuple[int, ...]


def input_layout(model: OnnxModel, given: tuple[int, ...] | None) -> InputLayout:
    """The input of the network; `given` is the shape of a sample, channels first, if told.

    Raises:
        UnknownShapeError: sizes are not fixed by the model, and not given.
        ModelError: the given ones are not those of the model.
    """
    order = input_order(model)
    sizes = model.sizes[1:]
    stored = tuple(sizes[order.index(axis)] for axis in range(len(order)))
    if order != tuple(range(len(order))):
        LOG.warning("%s takes channels last; the network takes them first", model.name)
    if given is None:
        fixed = tuple(n for n in stored if n is not None)
        if len(fixed) < len(stored):
            shape = ",".join("?" if n is None else str(n) for n in stored)
            raise UnknownShapeError(
                f"{model.name} does not fix the shape of its input: {shape}", stored
            )
        if math.prod(fixed) > LIMIT:
            raise ModelError(f"{model.name}: a sample of its input has {math.prod(fixed)} elements")
        return InputLayout(fixed, order)
    fits = len(given) == len(stored) and all(
        n in (None, m) for n, m in zip(stored, given, strict=True)
    )
    if not fits:
        shown = ",".join("?" if n is None else str(n) for n in stored)
        told = ",".join(map(str, given))
        raise ModelError(
            f"{model.name} takes an input of shape {shown}, not {told}",
            hint="give the shape of one sample, channels first, without the batch",
        )
    return InputLayout(given, order)


def input_order(model: OnnxModel) -> tuple[int, ...]:
    """The `order` of the input: channels last if the model begins by moving them to the front.

    Operations that keep the axes (scaling of pixels, padding) may come before, and one that adds
    an axis before the channels (as convolutions of sequences are exported).
    """
    rank = len(model.sizes) - 1
    plain, last = tuple(range(rank)), (*range(1, rank), 0)
    users = _first_to_move(model)
    if rank < 2 or not users:
        return plain
    if all(_moves_last_to_front(node) for node in users):
        return last
    grey = model.sizes[-1] == 1 and rank > 2 and model.sizes[1] not in (1, None)
    return last if grey and all(node.op_type == "Reshape" for node in users) else plain


def _first_to_move(model: OnnxModel) -> list[NodeProto]:
    """The first operations behind the input that do not keep the axes."""
    reached, found = {model.input}, list[NodeProto]()
    for node in model.graph.node:
        if not reached.intersection(node.input) or node.op_type == "Shape":
            continue
        if node.op_type in _KEEPS_AXES or _adds_axis(node, model):
            reached.update(node.output)
        else:
            found.append(node)
    return found


def _moves_last_to_front(node: NodeProto) -> bool:
    orders = [list(a.ints) for a in node.attribute if a.name == "perm"]
    moved = [[0, len(order) - 1, *range(1, len(order) - 1)] for order in orders]
    return node.op_type == "Transpose" and len(orders) == 1 and orders == moved


def _adds_axis(node: NodeProto, model: OnnxModel) -> bool:
    """Whether it adds one axis, between the batch and the last one."""
    if node.op_type != "Unsqueeze":
        return False
    given = [list(a.ints) for a in node.attribute if a.name == "axes"]
    given += [
        [int(n) for n in array_of(tensor, model.name).reshape(-1)]
        for tensor in model.graph.initializer
        if tensor.name in node.input[1:]
    ]
    rank = len(model.sizes) + 1
    return len(given) == 1 and len(given[0]) == 1 and 0 < given[0][0] % rank < rank - 1


def as_model_takes(x: NDArray[np.float32], order: tuple[int, ...]) -> NDArray[np.float32]:
    """A batch of the network's samples as a batch of the model's."""
    return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in order)))
