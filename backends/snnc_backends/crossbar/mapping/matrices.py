"""The weight matrices of a graph: inputs are rows, outputs are columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Weighted


@dataclass(frozen=True)
class WeightMatrix:
    """The weights of one layer.

    Attributes:
        layer: name of the node.
        weights: (groups, rows, outputs) integers. A row is an input of the group: for a convolution
            the pair of an input channel and a position in the kernel, channels first.
        kernel: size of the kernel along the spatial axes; () for a Linear.
    """

    layer: str
    weights: NDArray[np.integer]
    kernel: tuple[int, ...] = ()

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
        """Outputs of one group."""
        return self.weights.shape[2]

    @property
    def used_rows(self) -> NDArray[np.bool_]:
        """(groups, rows): whether a row has a weight that is not zero."""
        return np.asarray(self.weights.any(2))


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
