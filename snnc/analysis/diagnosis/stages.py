"""The graph after its passes of stage `ann`, held against the model as loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Add, BatchNorm, Conv, Graph, Op, Relu, Scale

Real = NDArray[np.floating[Any]]
PLACE_BY_PLACE = (Add, BatchNorm, Relu, Scale)


def compared_nodes(model: Graph, ann: Graph) -> dict[str, str]:
    """Activations both graphs have, and the outputs: name in the model -> name in `ann`."""
    pairs: dict[str, str] = {}
    for node in model:
        both = node.name in ann and isinstance(node.op, Relu)
        if both and isinstance(ann.node(node.name).op, Relu):
            same = model.type_of(node.name).shape == ann.type_of(node.name).shape
            pairs.update({node.name: node.name} if same else {})
    pairs.update(zip(model.outputs, ann.outputs, strict=False))
    return {name: other for name, other in pairs.items() if name in model and other in ann}


class StageTally:
    """Squared differences of one activation, at the border of the map and inside it."""

    def __init__(self, border: NDArray[np.bool_] | None) -> None:
        self._border = border
        self._sums = {"border": 0.0, "interior": 0.0}
        self._power = {"border": 0.0, "interior": 0.0}

    def add(self, expected: Real, found: Real) -> None:
        """Count a batch (N, *shape) of the model and of the folded graph."""
        for place, mask in self._places(expected.shape[2:]):
            wanted, given = expected[..., mask], found[..., mask]
            self._sums[place] += float(np.square(given - wanted, dtype=np.float64).sum())
            self._power[place] += float(np.square(wanted, dtype=np.float64).sum())

    def _places(self, spatial: tuple[int, ...]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        if self._border is None or self._border.shape != spatial:
            yield "interior", np.ones(spatial, bool)
            return
        yield "border", self._border
        yield "interior", ~self._border

    def result(self) -> dict[str, float]:
        """`error`, relative, and apart `border` and `interior` where there are both."""
        total = sum(self._power.values())
        found = {"error": _relative(sum(self._sums.values()), total)}
        if all(self._power.values()):
            found |= {
                place: _relative(self._sums[place], self._power[place]) for place in self._sums
            }
        return found


def _relative(error: float, power: float) -> float:
    return float(np.sqrt(error / power)) if power else float(bool(error))


def stage_tallies(model: Graph, pairs: dict[str, str]) -> dict[str, StageTally]:
    """One for every compared node of the model."""
    return {name: StageTally(border_of(model, name)) for name in pairs}


def border_of(graph: Graph, name: str) -> NDArray[np.bool_] | None:
    """Where the windows of the padded convolutions right in front of `name` stick out.

    (*spatial); None where there is no such convolution, or where nothing else is left.
    """
    found: NDArray[np.bool_] | None = None
    for conv in convolutions_of(graph, name):
        op = graph.node(conv).op
        assert isinstance(op, Conv)
        mask = _sticks_out(graph, conv, op)
        if mask.shape == graph.type_of(name).shape[1:] and mask.any():
            found = mask if found is None else found | mask
    return None if found is None or found.all() else found


def convolutions_of(graph: Graph, name: str) -> list[str]:
    """The convolutions whose results reach `name` place by place."""
    return [each for each in behind(graph, name, PLACE_BY_PLACE) if _is(graph, each, Conv)]


def behind(graph: Graph, name: str, through: tuple[type[Op], ...]) -> list[str]:
    """What is met walking back from `name` through ops of some kinds, the last of each way too."""
    met: list[str] = []
    ways = list(graph.inputs_of(name))
    while ways:
        each = ways.pop()
        if each in met:
            continue
        met.append(each)
        if _is(graph, each, *through):
            ways += graph.inputs_of(each)
    return [each for each in graph.order() if each in met]


def _is(graph: Graph, name: str, *kinds: type[Op]) -> bool:
    return isinstance(graph.node(name).op, kinds)


def _sticks_out(graph: Graph, name: str, op: Conv) -> NDArray[np.bool_]:
    sizes = graph.type_of(graph.inputs_of(name)[0]).shape[1:]
    kernel = graph.params[op.weight.name].shape[2:]
    mask = np.zeros(graph.type_of(name).shape[1:], bool)
    axes = zip(sizes, kernel, op.stride, op.padding, op.dilation, mask.shape, strict=True)
    for axis, (size, k, stride, (before, _), dilation, count) in enumerate(axes):
        start = np.arange(count) * stride - before
        out = (start < 0) | (start + dilation * (k - 1) >= size)
        mask |= out.reshape(-1, *(1,) * (mask.ndim - 1 - axis))
    return mask
