"""How often, and in what parts, the matrix of a weighted layer is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.column_groups import column_group
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart, by_layer
from snnc_backends.crossbar.mapping.tiling import placed_rows


@dataclass(frozen=True)
class LayerShape:
    """A weighted layer on the tiles, and how often it is read.

    Attributes:
        layer: its node.
        source: the node whose events drive its rows.
        matrix: its weights.
        rows_of: per group, the rows of the matrix that have word lines.
        positions: output positions of a sample.
        phases: drives of the word lines in a step.
        steps: steps in which it is read: 1 where its input is constant in time.
        inputs: elements of the source.
        copies: of its tiles, which share the positions.
        parts: of one copy.
        tiles: of all copies.
        analog_sums: its row blocks are added before one conversion.
    """

    layer: str
    source: str
    matrix: WeightMatrix
    rows_of: Sequence[NDArray[np.intp]]
    positions: int
    phases: int
    steps: int
    inputs: int
    copies: int
    parts: tuple[PlacedPart, ...]
    tiles: frozenset[int]
    analog_sums: bool = False

    @property
    def drives(self) -> int:
        """Drives of a part in an inference: positions, phases and steps."""
        return self.positions * self.phases * self.steps

    @property
    def rows(self) -> NDArray[np.float64]:
        """(parts,): word lines of every part."""
        return np.array([each.part.rows for each in self.parts], np.float64)

    @property
    def cols(self) -> NDArray[np.float64]:
        """(parts,): columns in use of every part."""
        return np.array([each.part.cols for each in self.parts], np.float64)

    @property
    def converted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) word lines and (n,) columns of what is converted at once.

        Parts or, with `analog_sums`, all parts with the same columns.
        """
        if not self.analog_sums:
            return self.rows, self.cols
        rows: defaultdict[Hashable, int] = defaultdict(int)
        cols: dict[Hashable, int] = {}
        for part, _ in self.parts:
            rows[column_group(part)] += part.rows
            cols[column_group(part)] = part.cols
        return np.array(list(rows.values()), np.float64), np.array(list(cols.values()), np.float64)

    @property
    def all_conversions(self) -> float:
        """Columns converted in an inference if no read is skipped."""
        return self.drives * float(self.converted[1].sum())


def layer_shapes(
    graph: Graph, chip: Chip, parts: Sequence[PlacedPart], timesteps: int
) -> tuple[LayerShape, ...]:
    """Every weighted layer of an integer graph, in graph order.

    Args:
        parts: of all layers and copies.
    """
    every = by_layer(parts)
    shapes: list[LayerShape] = []
    for matrix in placed_matrices(graph, chip):
        (source,) = graph.inputs_of(matrix.layer)
        kind, own = graph.type_of(source), every.get(matrix.layer, [])
        shape = LayerShape(
            layer=matrix.layer,
            source=source,
            matrix=matrix,
            rows_of=placed_rows(matrix, chip),
            positions=graph.type_of(matrix.layer).size // (matrix.groups * matrix.all_outputs),
            phases=max(1, kind.levels.bit_length()) * (2 if kind.signed else 1),
            steps=1 if kind.constant_in_time else timesteps,
            inputs=kind.size,
            copies=max((each.part.copy for each in own), default=0) + 1,
            parts=tuple(each for each in own if each.part.copy == 0),
            tiles=frozenset(each.tile for each in own),
            analog_sums=chip.analog_sums,
        )
        shapes.append(shape)
    return tuple(shapes)
