"""The weight matrices of a graph: inputs are rows, outputs are columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Weighted
from snnc_backends.crossbar.chip import Chip


@dataclass(frozen=True)
class WeightMatrix:
    """The weights of one layer.

    Attributes:
        layer: name of the node.
        weights: (groups, rows, outputs) integers. A row is an input of the group: for a convolution
            the pair of an input channel and a position in the kernel, channels first.
        kernel: size of the kernel along the spatial axes; () for a Linear.
        left_out: outputs of a group, ascending, that are not among those of `weights`.
    """

    layer: str
    weights: NDArray[np.integer]
    kernel: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def groups(self) -> int:
        """Number of matrices of the layer, one per group of a convolution."""
        return self.weights.shape[0]

    @property
    def rows(self) -> int:
        """Inputs of one group."""
        return self.weights.shape[1]

    @property
    def outputs(self) -> int:
        """Outputs of one group that have columns."""
        return self.weights.shape[2]

    @property
    def all_outputs(self) -> int:
        """Outputs of one group."""
        return self.outputs + len(self.left_out)

    @property
    def places(self) -> NDArray[np.intp]:
        """(outputs,): which of all outputs of a group have columns."""
        return np.delete(np.arange(self.all_outputs), self.left_out)

    @property
    def used_rows(self) -> NDArray[np.bool_]:
        """(groups, rows): whether a row has a weight that is not zero."""
        return np.asarray(self.weights.any(2))

    @property
    def used_outputs(self) -> NDArray[np.bool_]:
        """(outputs,): whether an output has a weight that is not zero in any group."""
        return np.asarray(self.weights.any((0, 1)))


def placed_matrices(graph: Graph, chip: Chip) -> tuple[WeightMatrix, ...]:
    """The same as they lie in tiles: outputs whose weights are zero in all groups are left out.

    All are placed where the chip does not pack. A layer without any weight keeps its outputs: it
    has no rows.
    """
    return tuple(
        matrix if chip.packing == "none" else _without_zeros(matrix) for matrix in matrices(graph)
    )


def _without_zeros(matrix: WeightMatrix) -> WeightMatrix:
    used = matrix.used_outputs
    if used.all() or not used.any():
        return matrix
    left_out = tuple(np.flatnonzero(~used).tolist())
    return replace(matrix, weights=matrix.weights[..., used], left_out=left_out)


def matrices(graph: Graph) -> tuple[WeightMatrix, ...]:
    """The matrix of every weighted layer of an integer graph, in graph order."""
    layers: list[WeightMatrix] = []
    for node in graph.nodes:
        if isinstance(node.op, Weighted):
            groups = node.op.matrices
            weight = np.asarray(graph.array(node.op.weight))
            grouped = weight.reshape(groups, len(weight) // groups, -1)
            matrix: NDArray[Any] = grouped.transpose(0, 2, 1)
            layers.append(WeightMatrix(node.name, matrix, weight.shape[2:]))
    return tuple(layers)
