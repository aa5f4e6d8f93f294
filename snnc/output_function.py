"""A sigmoid or tanh on an output of a network, which is applied to what it reads out (S28)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

OUTPUT_FUNCTIONS = "output_functions"
"""Key in `graph.meta`: one name, or null, per output; absent if no output has a function."""
Real = NDArray[np.floating[Any]]
Kind = Literal["sigmoid", "tanh"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class OutputFunction:
    """A function of every element of an output. A graph computes its argument.

    Both grow with their argument, so that the largest output and its class do not change.
    """

    kind: Kind

    def __call__(self, x: Real) -> NDArray[np.float32]:
        """The output, in float32, of what the graph or a program reads out."""
        wide = np.asarray(x, np.float64)
        if self.kind == "tanh":
            return np.tanh(wide).astype(np.float32)
        return (0.5 * (1 + np.tanh(wide / 2))).astype(np.float32)  # 1 / (1 + exp(-x)) in any range

    @property
    def at_zero(self) -> float:
        """Its value at 0, above which the argument is positive."""
        return 0.5 if self.kind == "sigmoid" else 0.0


def output_function(meta: Mapping[str, Any], output: int = 0) -> OutputFunction | None:
    """The function of an output, by index, in a graph's `meta`; None if it has none."""
    names = meta.get(OUTPUT_FUNCTIONS)
    name = names[output] if isinstance(names, list) and output < len(names) else None  # pyright: ignore
    return OutputFunction(name) if name in KINDS else None


def applied(meta: Mapping[str, Any], x: Real, output: int = 0) -> Real:
    """An output as the model gives it: `x`, or the function in a graph's `meta` of it."""
    function = output_function(meta, output)
    return x if function is None else function(x)


def to_meta(functions: Sequence[OutputFunction | None]) -> dict[str, Any]:
    """The functions of all outputs as an entry of `graph.meta`; empty if there is none."""
    if not any(functions):
        return {}
    return {OUTPUT_FUNCTIONS: [None if each is None else each.kind for each in functions]}
