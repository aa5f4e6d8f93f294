"""Which synapses go: units of synapses, rows or columns, by their mean strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scope = Literal["layer", "network"]
Structure = Literal["none", "rows", "columns"]
Real = NDArray[np.float64]
Kept = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Units:
    """The weights of one array that stay or go together.

    Attributes:
        of: per weight, flat, the number of its unit.
        sizes: weights of each unit.
    """

    of: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def made(cls, shape: tuple[int, ...], matrices: int, structure: Structure, block: int) -> Units:
        """The units of a weight (outputs, *inputs) of so many matrices (groups).

        A row is an input of a matrix, for a convolution the pair of an input channel and a position
        in the kernel, with all outputs of its matrix; a column is an output with all its inputs.
        `block` cuts rows and columns into pieces of so many weights; 0 leaves them whole.
        """
        outputs = shape[0]
        inputs = int(np.prod(shape[1:], dtype=np.int64))
        if structure == "none":
            units = np.arange(outputs * inputs)
        else:
            per_matrix = outputs // matrices
            output, row = np.divmod(np.arange(outputs * inputs), inputs)
            matrix, column = np.divmod(output, per_matrix)
            lines, places, length = (
                (matrix * inputs + row, column, per_matrix)
                if structure == "rows"
                else (output, row, inputs)
            )
            size = block or length
            units = lines * -(-length // size) + places // size
        return cls(units, np.bincount(units))

    def means(self, strengths: Real) -> Real:
        """The mean strength of each unit."""
        return np.bincount(self.of, strengths.reshape(-1), len(self.sizes)) / self.sizes


def above(strengths: Mapping[str, Real], units: Mapping[str, Units], threshold: float) -> Kept:
    """Per array, the weights of units that are stronger than a threshold."""
    return {
        name: _spread(units[name], units[name].means(each) > threshold, each.shape)
        for name, each in strengths.items()
    }


def strongest(
    strengths: Mapping[str, Real], units: Mapping[str, Units], sparsity: float, scope: Scope
) -> Kept:
    """Per array, the weights that stay where the weakest units go.

    As many go as come nearest to the fraction `sparsity` of all weights, without exceeding it: of
    every array, or of the network.
    """
    if scope == "layer":
        kept: Kept = {}
        for name, each in strengths.items():
            stays = _stays([units[name].means(each)], [units[name].sizes], sparsity)
            kept[name] = _spread(units[name], stays, each.shape)
        return kept
    means = [units[name].means(each) for name, each in strengths.items()]
    stays = _stays(means, [units[name].sizes for name in strengths], sparsity)
    parts = np.split(stays, np.cumsum([len(m) for m in means])[:-1])
    return {
        name: _spread(units[name], part, each.shape)
        for (name, each), part in zip(strengths.items(), parts, strict=True)
    }


def _stays(means: list[Real], sizes: list[NDArray[np.int64]], sparsity: float) -> NDArray[np.bool_]:
    strength, size = np.concatenate(means), np.concatenate(sizes)
    order = np.argsort(strength, kind="stable")
    gone = np.cumsum(size[order]) <= sparsity * size.sum() + 1e-9
    stays = np.ones(len(strength), bool)
    stays[order[gone]] = False
    return stays


def _spread(units: Units, stays: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return stays[units.of].reshape(shape)
