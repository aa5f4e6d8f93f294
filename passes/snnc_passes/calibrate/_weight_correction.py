"""Weights of one layer that compensate for the errors of the layers before it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import for_sample
from snnc.ir import Add, AnyNeuron, Conv, Graph, Linear, Node, Scale, Stateful, Weighted
from snnc.ir.walk import descendants, used_once
from snnc_passes._scales.affine import combine, own_param
from snnc_passes.calibrate._layer_products import LayerProducts

JOINED = 1 << 12
"""Output positions whose products are computed together."""
SILENT = 1e-12
"""Lower bound of the mean squared input that the ridge is relative to."""


@dataclass(frozen=True)
class Part:
    """Some samples of a layer, whose sum with other layers is to have target values.

    Attributes:
        x: inputs of the layer, (n, *shape).
        sums: of the layer and the others, (n, C, *rest).
        wanted: target values of the sums.
        weight: of its squared errors.
    """

    x: Tensor
    sums: Tensor
    wanted: Tensor
    weight: float = field(default=1.0, kw_only=True)


def joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Parts that follow each other, of one weight and one image, as parts of `JOINED` positions.

    Products of few positions take no less time to be added up than those of many.
    """
    for _, alike in groupby(parts, lambda part: (part.weight, part.x.shape[1:])):
        held: list[Part] = []
        for part in alike:
            held.append(part)
            if sum(each.sums[:, 0].numel() for each in held) >= JOINED:
                yield _one(held)
                held = []
        if held:
            yield _one(held)


def _one(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    x, sums, wanted = (
        torch.cat(values)
        for values in zip(*((part.x, part.sums, part.wanted) for part in parts), strict=True)
    )
    return Part(x, sums, wanted, weight=parts[0].weight)


def summed_into(graph: Graph, name: str, done: Collection[str] | None = None) -> list[Node]:
    """Weighted layers and scales whose sum is `name`, and that may be changed.

    Those have no other users, or with `done`, the populations that have been run, none among them.
    """
    node = graph.node(name)
    if not (used_once(graph, name) or (done is not None and _reaches_none(graph, name, done))):
        return []
    if isinstance(node.op, Weighted | Scale):
        return [node]
    if isinstance(node.op, Add):
        sources = graph.inputs_of(name)
        return [term for source in sources for term in summed_into(graph, source, done)]
    return []


def _reaches_none(graph: Graph, name: str, done: Collection[str]) -> bool:
    """Whether the value of a node enters none of the populations `done`, and is no output."""
    behind = descendants(graph, name, until=lambda node: isinstance(node.op, Stateful))
    return name not in graph.outputs and set(done).isdisjoint(behind)


def weighted(graph: Graph, name: str, done: Collection[str] | None = None) -> Node | None:
    """The layer of `summed_into` with most weights that depends on spikes and can be solved for."""
    candidates = [
        node
        for node in summed_into(graph, name, done)
        if (isinstance(node.op, Conv) and node.op.groups == 1 and len(node.op.stride) == 2)
        or isinstance(node.op, Linear)
    ]
    spiking = [node for node in candidates if _depends_on_spikes(graph, node.name)]
    return max(spiking, key=lambda n: graph.array(n.op.refs()["weight"]).size, default=None)


def _depends_on_spikes(graph: Graph, name: str) -> bool:
    return any(
        isinstance(graph.node(source).op, AnyNeuron) or _depends_on_spikes(graph, source)
        for source in graph.inputs_of(name)
    )


def add_bias(
    graph: Graph, name: str, bias: NDArray[np.floating], done: Collection[str] | None = None
) -> bool:
    """Add a bias (C,) to the value of `name`, in a layer of `summed_into`; False if there is none.

    Weighted layers are preferred to scales.
    """
    layers = summed_into(graph, name, done)
    layers.sort(key=lambda node: isinstance(node.op, Scale))
    if not layers:
        return False
    node = layers[0]
    assert isinstance(node.op, Conv | Linear | Scale)
    shape = graph.type_of(node.name).shape
    if node.op.bias is not None:
        bias = combine(np.add, graph.array(node.op.bias).astype(np.float64), bias, shape)
    ref = own_param(graph, node.name, "bias", np.asarray(bias, np.float64))
    graph.replace_op(node.name, replace(node.op, bias=ref))
    return True


@dataclass(frozen=True)
class LeastSquares:
    """Ridge regression of a layer's weights, with the penalty on their change.

    Attributes:
        ridge: penalty on the change of a weight, relative to the mean squared input.
        rounds: iterations for rectified outputs, whose error is 0 where the target and the
            present output are both <= 0, or both at least the upper bound of the activation.
    """

    ridge: float
    rounds: int

    def solve(
        self,
        layer: LayerProducts,
        parts: Sequence[Part],
        upper: Tensor | None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Changes of the weights (C, K) and of the bias (C,), in float64 on the CPU.

        Args:
            layer: whose weights are changed.
            parts: its samples.
            upper: (C,) bound of the activation of the sums, infinite for a ReLU; None if they
                are not rectified.
            kept: (C, K) weights that may change; None for all.

        Raises:
            OverflowError: float32 does not hold the squares of the inputs.
        """
        count = sum(part.weight * part.sums[:, 0].numel() for part in parts)
        gram = layer.gram((part.x, part.weight) for part in parts) / count
        if not bool(gram.isfinite().all()):
            raise OverflowError("products of the inputs that are not finite")
        strength = self.ridge * max(float(gram.diagonal()[:-1].mean()), SILENT)
        penalty = torch.full((len(gram),), strength, dtype=torch.float64)
        penalty[-1] = 0
        gram.diagonal().add_(penalty)
        solved = _Solver.of(gram, kept)
        change = gram.new_zeros(len(gram), parts[0].sums.shape[1])
        for i in range(1 if upper is None else self.rounds):
            moved = change if i else None
            residual = _total(_residual(layer, part, moved, upper) for part in parts) / count
            change = change + solved(residual - penalty[:, None] * change)
        return change[:-1].T, change[-1]


@dataclass(frozen=True)
class _Solver:
    """Solves normal equations, for each output over the weights that it has.

    Attributes:
        factors: Cholesky factors: one, or one per output.
        rows: the unknowns of each, None for all of them.
    """

    factors: Sequence[Tensor]
    rows: Sequence[Tensor] | None

    @classmethod
    def of(cls, matrix: Tensor, kept: Tensor | None) -> _Solver:
        """For a matrix (K+1, K+1) with the constant last, and weights (C, K) that may change."""
        if kept is None or bool(kept.all()):
            return cls([torch.linalg.cholesky(matrix)], None)
        constant = torch.tensor([len(matrix) - 1])
        rows = [torch.cat([each.nonzero().flatten(), constant]) for each in kept.cpu()]
        return cls([torch.linalg.cholesky(matrix[r][:, r]) for r in rows], rows)

    def __call__(self, residual: Tensor) -> Tensor:
        """(K+1, C) changes; 0 for weights that are not there."""
        if self.rows is None:
            return torch.cholesky_solve(residual, self.factors[0])
        change = torch.zeros_like(residual)
        for output, (rows, factor) in enumerate(zip(self.rows, self.factors, strict=True)):
            wanted = residual[rows, output, None]
            change[rows, output] = torch.cholesky_solve(wanted, factor)[:, 0]
        return change


def _total(terms: Iterable[Tensor]) -> Tensor:
    """The sum of matrices, in float64 on the CPU."""
    total: Tensor | None = None
    for term in terms:
        total = term.double().cpu() if total is None else total.add_(term.cpu())
    assert total is not None
    return total


def _residual(
    layer: LayerProducts, part: Part, change: Tensor | None, upper: Tensor | None
) -> Tensor:
    """(K+1, C) products of the inputs and the constant 1 with the errors after `change`, if any."""
    wanted, sums = part.wanted, part.sums
    if change is not None:
        weight, shift = change[:-1].T.to(sums), change[-1].to(sums)
        sums = sums + layer.applied(part.x, weight.contiguous())
        sums += for_sample(shift, sums.shape[1:])
    error = wanted - sums if upper is None else _rectified(wanted, sums, upper)
    shift = error.sum((0, *range(2, error.ndim)))
    return torch.cat([layer.transposed(part.x, error).T, shift[None]]).mul_(part.weight)


def _rectified(wanted: Tensor, sums: Tensor, upper: Tensor) -> Tensor:
    """(n, C, *rest) errors of sums whose activation is bounded; 0 where it cuts both off."""
    cut, goal = (wanted <= 0) & (sums <= 0), wanted.clamp(min=0)
    if bool(upper.isfinite().any()):
        most = for_sample(upper.to(sums), sums.shape[1:])
        cut |= (wanted >= most) & (sums >= most)
        goal = torch.minimum(goal, most)
    return goal.sub_(sums).masked_fill_(cut, 0)
