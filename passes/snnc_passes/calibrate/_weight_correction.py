"""Weights of one layer that compensate for the errors of the layers before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snnc.ir import Add, AnyNeuron, Conv, Graph, Linear, Node, Scale, Stateful, Weighted
from snnc.ir.walk import descendants, used_once
from snnc_passes._affine import combine, own_param

SILENT = 1e-12
"""Lower bound of the mean squared input that the ridge is relative to."""
Part = tuple[Tensor, Tensor, Tensor]
"""One chunk: inputs (rows, K), outputs (rows, C) and target outputs (rows, C)."""


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
        self, parts: Sequence[Part], upper: Tensor | None, kept: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Changes of the weights (C, K) and of the bias (C,), in float64 on the CPU.

        Args:
            upper: (C,) bound of the activation of the outputs, infinite for a ReLU; None if they
                are not rectified.
            kept: (C, K) weights that may change; None for all.
        """
        count = sum(len(inputs) for inputs, _, _ in parts)
        gram = torch.stack([_gram(inputs) for inputs, _, _ in parts]).sum(0) / count
        strength = self.ridge * max(float(gram.diagonal()[:-1].mean()), SILENT)
        penalty = torch.eye(len(gram), dtype=torch.float64) * strength
        penalty[-1, -1] = 0
        solved = _Solver.of(gram + penalty, kept)
        change = gram.new_zeros(len(gram), parts[0][1].shape[1])
        for _ in range(1 if upper is None else self.rounds):
            sums = [_residual(part, change, upper) for part in parts]
            residual = torch.stack(sums).sum(0) / count
            change = change + solved(residual - penalty @ change)
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


def _gram(x: Tensor) -> Tensor:
    """(K+1, K+1) Gram matrix of the inputs and a constant input of 1."""
    gram = torch.empty((x.shape[1] + 1,) * 2, dtype=torch.float64)
    gram[:-1, :-1] = x.T @ x
    gram[-1, :-1] = gram[:-1, -1] = x.sum(0)
    gram[-1, -1] = len(x)
    return gram


def _residual(part: Part, change: Tensor, upper: Tensor | None) -> Tensor:
    """(K+1, C) products of the inputs and the constant 1 with the output errors after `change`."""
    x, outputs, wanted = part
    corrected = outputs + x @ change[:-1].to(x) + change[-1].to(x)
    error = wanted - corrected
    if upper is not None:
        cut = ((wanted <= 0) & (corrected <= 0)) | ((wanted >= upper) & (corrected >= upper))
        rectified = torch.minimum(wanted.clamp(min=0), upper.to(wanted))
        error = torch.where(cut, torch.zeros_like(error), rectified - corrected)
    return torch.cat([x.T @ error, error.sum(0, keepdim=True)]).double().cpu()


def rows_of_inputs(op: Conv | Linear, x: Tensor, kernel: Sequence[int]) -> Tensor:
    """(rows, K): the inputs of every output position, in the order of the weights.

    Args:
        op: the layer.
        x: the input of the layer, (n, C, H, W) or (n, F).
        kernel: the spatial shape of its weights.
    """
    if isinstance(op, Linear):
        return x
    (top, bottom), (left, right) = op.padding
    padded = F.pad(x, (left, right, top, bottom))
    columns = F.unfold(padded, (kernel[0], kernel[1]), dilation=op.dilation, stride=op.stride)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])


def rows_of_outputs(y: Tensor) -> Tensor:
    """(rows, C) of (n, C, *rest)."""
    return y.movedim(1, -1).reshape(-1, y.shape[1])
