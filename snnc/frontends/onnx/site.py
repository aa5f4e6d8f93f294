"""One ONNX operation during import: its inputs and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from snnc.errors import ModelError
from snnc.frontends.importing import Constant, ImportSite, RefusedError, Value
from snnc.ir import Permute

T = TypeVar("T")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model that depends on its input.

    Transposes are not carried out but kept in `order`, so that a pair of them around a convolution
    leaves no node; `OnnxSite.value` carries them out.

    Attributes:
        value: the node of the graph, of which this is a view.
        order: axis i of a sample of this tensor is axis `order[i]` of a sample of `value`.
        rows: whether the model has all axes but the last one in the batch, as Keras has for a dense
            layer at every position: what is row-wise there is position-wise here.
    """

    value: Value
    order: tuple[int, ...]
    rows: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch axis."""
        return tuple(self.value.shape[axis] for axis in self.order)

    def dims(self, batch: int) -> list[int]:
        """The shape that the model has for it."""
        if self.rows:
            return [batch * prod(self.shape[:-1]), self.shape[-1]]
        return [batch, *self.shape]

    @property
    def plain(self) -> bool:
        """Whether its elements lie as those of `value`: at most axes of length 1 moved."""
        moved = [axis for axis in self.order if self.value.shape[axis] != 1]
        return moved == sorted(moved)

    def stored(self, per_axis: Sequence[T]) -> list[T]:
        """What is given per axis of this tensor, per axis of `value`."""
        return [per_axis[self.order.index(axis)] for axis in range(len(self.order))]


def tensor_of(value: Value) -> Tensor:
    """A value as a tensor, its axes in their own order."""
    return Tensor(value, tuple(range(len(value.shape))))


@dataclass(eq=False)
class Known:
    """A tensor whose numbers are known.

    Attributes:
        array: its numbers.
        name: its name in the model.
        other: its numbers for another size of the batch, if those differ.
    """

    array: NDArray[Any]
    name: str | None = None
    other: NDArray[Any] | None = None

    @cached_property
    def constant(self) -> Constant:
        """For the importer, in float32. Raises `RefusedError`, `ModelError`."""
        if self.other is not None:
            raise RefusedError("its constant depends on the batch", "use a fixed number")
        if self.array.dtype.kind not in "fiub":
            raise RefusedError(f"its constant is of type {self.array.dtype}", "use numbers")
        array = np.ascontiguousarray(self.array, np.float32)
        if not np.isfinite(array).all():
            raise ModelError(
                f"NaN or infinity in {self.name or 'a constant'}",
                hint="the training diverged, or the file is damaged",
            )
        return Constant(array.reshape(self.array.shape), self.name)


Result = Tensor | Known


@dataclass(frozen=True)
class OnnxSite(ImportSite):
    """One operation of an ONNX model.

    Attributes:
        node: the operation.
        inputs: its inputs; None for one that is left out.
        opset: version of the standard operations.
        batch: size of the batch in the arithmetic of shapes.
        makers: per input, the type of the operation that gives it, before transposes, if nothing
            else uses it.
    """

    node: NodeProto
    inputs: tuple[Result | None, ...]
    opset: int
    batch: int
    makers: tuple[str | None, ...]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes by name, as numbers, bytes, lists and protobuf messages."""
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute}

    def input(self, index: int) -> Result | None:
        """An input, or None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Tensor:
        """An input that depends on the network's. Raises `RefusedError`."""
        found = self.input(index)
        if isinstance(found, Tensor):
            return found
        raise RefusedError(
            "its input does not depend on the input of the network", "compute it before"
        )

    def value(self, index: int = 0) -> Value:
        """`tensor` as a node of the graph, with the axes in the order of the model."""
        return self.moved(self.tensor(index))

    def moved(self, tensor: Tensor) -> Value:
        """A tensor as a node of the graph, with the axes in the order of the model."""
        if tensor.order == tuple(range(len(tensor.order))):
            return tensor.value
        return self.emit(Permute(axes=tensor.order), [tensor.value], "transpose")

    def known(self, index: int, what: str) -> Known | None:
        """An input whose numbers are known; None if left out. Raises `RefusedError`."""
        found = self.input(index)
        if isinstance(found, Tensor):
            raise RefusedError(f"its {what} depends on the input of the network", "fix it")
        return found

    def constant(self, index: int, what: str) -> Constant:
        """An array of the model. Raises `RefusedError`."""
        found = self.known(index, what)
        if found is None:
            raise RefusedError(f"its {what} is left out", "give it")
        return found.constant

    def optional_constant(self, index: int, what: str) -> Constant | None:
        """`constant`, or None if it is left out."""
        return None if self.input(index) is None else self.constant(index, what)

    def integers(self, index: int, what: str) -> list[int] | None:
        """Whole numbers given as an input; None if left out. May depend on the batch."""
        found = self.known(index, what)
        if found is None or found.array.size == 0:
            return None
        return [int(n) for n in found.array.reshape(-1)]

    def axes(self, index: int, since: int) -> list[int] | None:
        """Axes: an attribute before opset `since`, from then on an input; None if left out."""
        if self.opset >= since:
            return self.integers(index, "list of axes")
        return self.attributes.get("axes")

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        found = self.attributes.get(name)
        return default if found is None else found.decode("utf-8", "replace")
