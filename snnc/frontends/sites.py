"""What a converter is given: one operation of the traced module, and the graph to add to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import Loc
from snnc.ir import Graph, Op, Ref


class RefusedError(Exception):
    """Why an operation cannot be compiled, and what to do; collected, never shown alone."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that depends on the input: the graph node that makes it, and its sample shape."""

    name: str
    shape: tuple[int, ...]


@dataclass
class ParamNames:
    """Names arrays by the state-dict key of their tensor, each tensor once.

    Tensors made by the module's code get the name of the node that uses them.
    """

    keys: dict[int, str]
    used: dict[int, Ref] = field(default_factory=dict)
    kept: list[Tensor] = field(default_factory=list)  # so that an id is never used again

    def ref(self, graph: Graph, tensor: Tensor, fallback: str) -> Ref:
        """The `Ref` of a tensor, stored as float32 on first use."""
        if id(tensor) not in self.used:
            name = self.keys.get(id(tensor), fallback)
            if name in graph.params:
                name = next(n for i in range(1, len(graph.params) + 2)
                            if (n := f"{name}_{i}") not in graph.params)  # fmt: skip
            self.used[id(tensor)] = graph.set_param(name, to_array(tensor))
            self.kept.append(tensor)
        return self.used[id(tensor)]


def to_array(tensor: Tensor) -> NDArray[np.float32]:
    """A float32 copy of a tensor, in row-major order."""
    return tensor.detach().cpu().float().contiguous().numpy().copy()


@dataclass(frozen=True)
class Site:
    """One operation of the traced module.

    Attributes:
        graph: what converters add nodes to.
        params: names of the module's arrays.
        name: name of the node it becomes.
        path: of a module: its path, under which its parameters are stored.
        loc: the user's line.
        shape: sample shape of its result; None when the result is no tensor with a batch axis.
        shapes: sample shapes of its results when there are several.
    """

    graph: Graph
    params: ParamNames
    name: str
    path: str
    loc: Loc
    shape: tuple[int, ...] | None
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def result(self) -> tuple[int, ...]:
        """`shape`, of an operation whose result keeps the batch axis. Raises `RefusedError`."""
        if self.shape is None:
            raise RefusedError(
                "its result does not keep the batch as its first axis, or depends on its size",
                "keep x.size(0) as the first axis",
            )
        return self.shape

    def emit(
        self,
        op: Op,
        inputs: Sequence[Value],
        shape: tuple[int, ...] | None = None,
        suffix: str = "",
    ) -> Value:
        """Add a node, called after the site; `suffix` sets helpers apart."""
        shape = self.result if shape is None else shape
        name = self.graph.fresh(f"{self.name}.{suffix}" if suffix else self.name)
        self.graph.add(name, op, [value.name for value in inputs], loc=self.loc)
        return Value(name, shape)

    def param(self, tensor: Tensor | None, field_name: str) -> Ref | None:
        """A parameter under its state-dict key; None stays None."""
        if tensor is None:
            return None
        return self.params.ref(self.graph, tensor, f"{self.path or self.name}.{field_name}")

    def array(self, array: NDArray[np.float32], field_name: str) -> Ref:
        """An array made here, stored under the name of the node."""
        name, i = f"{self.name}.{field_name}", 0
        while name in self.graph.params:
            i += 1
            name = f"{self.name}.{field_name}_{i}"
        return self.graph.set_param(name, array)


Result = Value | Tensor | tuple[Value, ...]
Converter = Callable[..., Result]
"""Called with the site and then the arguments of the torch operation, under their torch names."""


def need_value(x: Any, what: str = "its input") -> Value:
    """`x`, if it depends on the graph's input. Raises `RefusedError`."""
    if isinstance(x, Value):
        return x
    raise RefusedError(f"{what} does not depend on the input of the network", "compute it before")
