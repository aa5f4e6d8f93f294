"""Compare the graph after its passes of stage `ann` with the model as loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Add, BatchNorm, Conv, Graph, Op, Relu, Scale
from snnc.ir.walk import ancestors

Real = NDArray[np.floating[Any]]
ELEMENTWISE = (Add, BatchNorm, Relu, Scale)


def compared_nodes(model: Graph, ann: Graph) -> dict[str, str]:
    """Activations that both graphs have, and the outputs: name in the model -> name in `ann`."""
    pairs: dict[str, str] = {}
    for node in model:
        both = node.name in ann and isinstance(node.op, Relu)
        if both and isinstance(ann.node(node.name).op, Relu):
            same = model.type_of(node.name).shape == ann.type_of(node.name).shape
            pairs.update({node.name: node.name} if same else {})
    pairs.update(zip(model.outputs, ann.outputs, strict=False))
    return {name: other for name, other in pairs.items() if name in model and other in ann}


class StageTally:
    """Squared differences of one activation, at the border of the feature map and inside it."""

    def __init__(self, border: NDArray[np.bool_] | None) -> None:
        self._border = border
        self._sums = {"border": 0.0, "interior": 0.0}
        self._power = {"border": 0.0, "interior": 0.0}

    def add(self, expected: Real, actual: Real) -> None:
        """Add a batch (N, *shape): `expected` of the model, `actual` of the folded graph."""
        for place, mask in self._places(expected.shape[2:]):
            target, value = expected[..., mask], actual[..., mask]
            self._sums[place] += float(np.square(value - target, dtype=np.float64).sum())
            self._power[place] += float(np.square(target, dtype=np.float64).sum())

    def _places(self, spatial: tuple[int, ...]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        if self._border is None or self._border.shape != spatial:
            yield "interior", np.ones(spatial, bool)
            return
        yield "border", self._border
        yield "interior", ~self._border

    def result(self) -> dict[str, float]:
        """Relative `error`, and also `border` and `interior` if the map has both."""
        total = sum(self._power.values())
        errors = {"error": _relative(sum(self._sums.values()), total)}
        if all(self._power.values()):
            errors |= {
                place: _relative(self._sums[place], self._power[place]) for place in self._sums
            }
        return errors


def _relative(error: float, power: float) -> float:
    return float(np.sqrt(error / power)) if power else float(bool(error))


def stage_tallies(model: Graph, pairs: dict[str, str]) -> dict[str, StageTally]:
    """A tally for every compared node of the model."""
    return {name: StageTally(border_of(model, name)) for name in pairs}


def border_of(graph: Graph, name: str) -> NDArray[np.bool_] | None:
    """Mask (*spatial) of the positions where convolutions directly before `name` read padding.

    None if no such convolution pads, or if the mask would cover the whole map.
    """
    border: NDArray[np.bool_] | None = None
    for conv in convolutions_of(graph, name):
        op = graph.node(conv).op
        assert isinstance(op, Conv)
        mask = _reads_padding(graph, conv, op)
        if mask.shape == graph.type_of(name).shape[1:] and mask.any():
            border = mask if border is None else border | mask
    return None if border is None or border.all() else border


def convolutions_of(graph: Graph, name: str) -> list[str]:
    """The convolutions whose results reach `name` through elementwise ops only."""
    return [source for source in behind(graph, name, ELEMENTWISE) if _is(graph, source, Conv)]


def behind(graph: Graph, name: str, through: tuple[type[Op], ...]) -> list[str]:
    """Ancestors of `name` reached through ops of the kinds `through`, in graph order.

    Includes the first op of another kind on each path.
    """
    return list(ancestors(graph, name, until=lambda node: not isinstance(node.op, through)))


def _is(graph: Graph, name: str, *kinds: type[Op]) -> bool:
    return isinstance(graph.node(name).op, kinds)


def _reads_padding(graph: Graph, name: str, op: Conv) -> NDArray[np.bool_]:
    sizes = graph.type_of(graph.inputs_of(name)[0]).shape[1:]
    kernel = graph.params[op.weight.name].shape[2:]
    mask = np.zeros(graph.type_of(name).shape[1:], bool)
    axes = zip(sizes, kernel, op.stride, op.padding, op.dilation, mask.shape, strict=True)
    for axis, (size, k, stride, (before, _), dilation, count) in enumerate(axes):
        start = np.arange(count) * stride - before
        out = (start < 0) | (start + dilation * (k - 1) >= size)
        mask |= out.reshape(-1, *(1,) * (mask.ndim - 1 - axis))
    return mask
