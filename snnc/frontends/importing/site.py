"""One operation of a model, and the graph it is added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, Loc
from snnc.frontends.importing.softmax import DroppedSoftmax
from snnc.ir import Graph, Op, OpError, Ref, TensorType


class RefusedError(Exception):
    """Why an operation cannot be compiled, and what to do; collected, never shown alone."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that depends on the input.

    Attributes:
        name: the graph node that makes it.
        type: of one sample.
        softmax: what was dropped after it; only an output of the graph may then be this value.
    """

    name: str
    type: TensorType
    softmax: DroppedSoftmax | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch axis."""
        return self.type.shape


def need_value(x: object, what: str = "its input") -> Value:
    """`x`, if it depends on the graph's input. Raises `RefusedError`."""
    if isinstance(x, Value):
        return x
    raise RefusedError(f"{what} does not depend on the input of the network", "compute it before")


@dataclass(frozen=True, eq=False)
class Constant:
    """An array of the model. The same object used twice is stored once.

    Attributes:
        array: float32.
        name: what the model calls it (a key of its state dict, the name of an initializer); None
            for one that has no name, which gets that of the operation that uses it.
    """

    array: NDArray[np.float32]
    name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape


@dataclass
class ConstantStore:
    """The constants that are stored in the graph, and under which names."""

    graph: Graph
    stored: dict[Constant, Ref] = field(default_factory=dict[Constant, Ref])

    def ref(self, constant: Constant, fallback: str) -> Ref:
        """The `Ref` of a constant, stored on first use; `fallback` names one without a name."""
        if constant not in self.stored:
            name = fallback if constant.name is None else constant.name
            self.stored[constant] = self.add(name, constant.array)
        return self.stored[constant]

    def add(self, name: str, array: NDArray[np.float32]) -> Ref:
        """Store an array as `name`, or as `name_1`, `name_2`, … where that is taken."""
        taken = self.graph.params
        names = (name if i == 0 else f"{name}_{i}" for i in range(len(taken) + 1))
        return self.graph.set_param(next(each for each in names if each not in taken), array)


@dataclass(frozen=True)
class ImportSite:
    """One operation of the model.

    Attributes:
        constants: the arrays of the graph it is added to.
        name: name of the node it becomes.
        op: what the model's users call the operation, in messages.
        loc: where it stands in the model.
        path: of a layer: its path in the model, under which its arrays are stored; "" for none.
    """

    constants: ConstantStore
    name: str
    op: str
    loc: Loc
    path: str

    @property
    def graph(self) -> Graph:
        """What nodes are added to."""
        return self.constants.graph

    def emit(self, op: Op, inputs: Sequence[Value], suffix: str = "") -> Value:
        """Add a node, called after the operation; `suffix` sets helpers apart.

        Raises:
            RefusedError: an input is a softmax, which only may be an output.
            GraphError: the op does not take such inputs.
        """
        if any(value.softmax for value in inputs):
            raise RefusedError(
                "it uses a softmax, which divides by a sum of exponentials",
                "keep softmax for the very end, over the classes",
            )
        name = self.graph.fresh(f"{self.name}.{suffix}" if suffix else self.name)
        try:
            result = op.infer([value.type for value in inputs], self.graph.params)
        except OpError as error:
            raise GraphError(f"{name} ({op.mnemonic}) at {self.loc}: {error}") from None
        self.graph.add(name, op, [value.name for value in inputs], loc=self.loc)
        return Value(name, result)

    def param(self, constant: Constant, field_name: str) -> Ref:
        """A constant under its own name, or else that of the layer and the field."""
        return self.constants.ref(constant, f"{self.path or self.name}.{field_name}")

    def optional_param(self, constant: Constant | None, field_name: str) -> Ref | None:
        """The same; None stays None."""
        return None if constant is None else self.param(constant, field_name)

    def array(self, array: NDArray[np.float32], field_name: str) -> Ref:
        """An array computed while importing, stored under the name of the node."""
        return self.constants.add(f"{self.name}.{field_name}", array)
