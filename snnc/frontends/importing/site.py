"""Import of one operation: its values, constants, and the graph it is added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, Loc
from snnc.frontends.importing.softmax import DroppedSoftmax
from snnc.ir import Graph, Op, OpError, Ref, TensorType
from snnc.output_function import OutputFunction

FINE_TUNE = (
    "fine-tune: the model, or the spiking network by the pass learn, as in snnc compile ... "
    "--recipe diet --train DATA"
)
"""What a user does who has changed an operation of a trained network; ends a remedy."""


class RefusedError(Exception):
    """An operation cannot be compiled: reason and remedy. The importer collects and lists them.

    `site` is that of the operation to name, if it is an earlier one than that which refuses.
    """

    def __init__(self, reason: str, remedy: str, site: ImportSite | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.site = site


@dataclass(frozen=True, slots=True)
class Rounding:
    """A rounding to whole numbers that is carried out when the bounds of its levels are known.

    Attributes:
        site: the operation that rounds.
        source: the name of the node that it rounds.
        shift: what is added before rounding to the nearest: -1/2 rounds down.
        factor: what the whole numbers are multiplied by.
        low: whether a bound of 0 was applied.
        less_source: whether the source was subtracted (a straight-through estimator adds it again).
    """

    site: ImportSite
    source: str
    shift: float
    factor: float = 1.0
    low: bool = False
    less_source: bool = False

    def refused(self) -> RefusedError:
        """The refusal of the operation that rounds, of which no bounds are known."""
        return RefusedError(
            "it rounds what is not bounded by 0 and a highest level",
            "clamp before or behind it: floor(clamp(x / theta, 0, 1) * L + 0.5) * theta / L",
            self.site,
        )


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that depends on the input.

    Attributes:
        name: the graph node that computes it.
        type: type of one sample.
        softmax: the softmax dropped after it; such a value may only be an output of the graph.
        function: the sigmoid or tanh after it, kept as a function of the output; as `softmax`.
        rounding: the rounding after it, which only what bounds or scales it may use.
    """

    name: str
    type: TensorType
    softmax: DroppedSoftmax | None = None
    function: OutputFunction | None = None
    rounding: Rounding | None = None

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
        name: its name in the model (a key of its state dict, the name of an initializer); None to
            name it after the operation that uses it.
    """

    array: NDArray[np.float32]
    name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape


@dataclass
class ConstantStore:
    """The constants stored in the graph, with their names."""

    graph: Graph
    stored: dict[Constant, Ref] = field(default_factory=dict[Constant, Ref])

    def ref(self, constant: Constant, fallback: str) -> Ref:
        """The `Ref` of a constant, stored on first use; `fallback` names an unnamed one."""
        if constant not in self.stored:
            name = fallback if constant.name is None else constant.name
            self.stored[constant] = self.add(name, constant.array)
        return self.stored[constant]

    def add(self, name: str, array: NDArray[np.float32]) -> Ref:
        """Store an array as `name`, or as `name_1`, `name_2`, … if that is taken."""
        taken = self.graph.params
        names = (name if i == 0 else f"{name}_{i}" for i in range(len(taken) + 1))
        return self.graph.set_param(next(free for free in names if free not in taken), array)


@dataclass(frozen=True)
class ImportSite:
    """One operation of the model.

    Attributes:
        constants: the arrays of the graph it is added to.
        name: name of the node it becomes.
        op: name of the operation in messages.
        loc: its line and module in the model.
        path: path of its layer in the model, under which its arrays are stored; "" for none.
    """

    constants: ConstantStore
    name: str
    op: str
    loc: Loc
    path: str

    @property
    def graph(self) -> Graph:
        """The graph that nodes are added to."""
        return self.constants.graph

    def emit(self, op: Op, inputs: Sequence[Value], suffix: str = "") -> Value:
        """Add a node named after the operation, with `suffix` for auxiliary nodes.

        Raises:
            RefusedError: an input is a softmax, sigmoid or tanh, which may only be an output, or
                rounded without bounds.
            GraphError: the op does not take such inputs.
        """
        if any(value.softmax for value in inputs):
            raise RefusedError(
                "it uses a softmax, which divides by a sum of exponentials",
                "keep softmax for the very end, over the classes",
            )
        functions = [value.function.kind for value in inputs if value.function]
        if functions:
            raise RefusedError(
                f"it uses a {functions[0]}, which is kept on outputs only",
                f"return it as it is, or put ReLU or ReLU6 in its place and {FINE_TUNE}",
            )
        for value in inputs:
            if value.rounding is not None:
                raise value.rounding.refused()
        name = self.graph.fresh(f"{self.name}.{suffix}" if suffix else self.name)
        try:
            result = op.infer([value.type for value in inputs], self.graph.params)
        except OpError as error:
            raise GraphError(f"{name} ({op.mnemonic}) at {self.loc}: {error}") from None
        self.graph.add(name, op, [value.name for value in inputs], loc=self.loc)
        return Value(name, result)

    def param(self, constant: Constant, field_name: str) -> Ref:
        """Store a constant under its name, or else that of the layer and the field."""
        return self.constants.ref(constant, f"{self.path or self.name}.{field_name}")

    def optional_param(self, constant: Constant | None, field_name: str) -> Ref | None:
        """`param`, but None for None."""
        return None if constant is None else self.param(constant, field_name)

    def array(self, array: NDArray[np.float32], field_name: str) -> Ref:
        """Store an array computed during import under the name of the node."""
        return self.constants.add(f"{self.name}.{field_name}", array)
