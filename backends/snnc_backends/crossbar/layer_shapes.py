"""How often, and in what shape, the matrix of a weighted layer is applied."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix, matrices


@dataclass(frozen=True)
class LayerShape:
    """The matrix of one weighted layer on the tiles, and how often it is applied.

    Attributes:
        layer: its node.
        source: the node whose events drive its rows.
        matrix: its weights.
        positions: output positions of a sample.
        phases: drives of the word lines in a step.
        steps: steps in which it is read: 1 where its input is constant in time.
        inputs: elements of the source.
        row_blocks, column_blocks: tiles of a group along each side.
        physical_cols: columns of a group.
    """

    layer: str
    source: str
    matrix: WeightMatrix
    positions: int
    phases: int
    steps: int
    inputs: int
    row_blocks: int
    column_blocks: int
    physical_cols: int

    @property
    def applications(self) -> int:
        """Drives of a row block in an inference: positions, phases and steps."""
        return self.positions * self.phases * self.steps


def layer_shapes(graph: Graph, chip: Chip, timesteps: int) -> tuple[LayerShape, ...]:
    """Every weighted layer of an integer graph, in graph order."""
    return tuple(_shape(graph, matrix, chip, timesteps) for matrix in matrices(graph))


def _shape(graph: Graph, matrix: WeightMatrix, chip: Chip, timesteps: int) -> LayerShape:
    (source,) = graph.inputs_of(matrix.layer)
    kind = graph.type_of(source)
    return LayerShape(
        layer=matrix.layer,
        source=source,
        matrix=matrix,
        positions=graph.type_of(matrix.layer).size // (matrix.groups * matrix.outputs),
        phases=max(1, kind.levels.bit_length()) * (2 if kind.signed else 1),
        steps=1 if kind.constant_in_time else timesteps,
        inputs=kind.size,
        row_blocks=-(-matrix.rows // chip.rows),
        column_blocks=-(-matrix.outputs // chip.outputs_per_tile),
        physical_cols=matrix.outputs * len(chip.columns),
    )
