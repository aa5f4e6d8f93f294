"""The target `crossbar`: its options, and what it does with a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from snnc.target import Artifact, Diagnostic

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext
    from snnc_backends.crossbar.chip import Chip
    from snnc_backends.crossbar.program import CrossbarProgram

QUANTIZE_BITS = 8
"""Widest weights that the pass `quantize` makes."""


@dataclass(frozen=True)
class CrossbarBackend:
    """Holds weights in tiles of resistive cells; an ideal chip, equal to the reference.

    A network of real values is quantised for it. See docs/crossbar.md.

    Attributes:
        rows: word lines of a tile.
        cols: bit lines of a tile.
        cells: how a signed weight becomes cells: differential, a pair of columns.
        cell_bits: bits of one cell, 1..8.
        adc_bits: resolution of the converters: ideal.
        device: what the cells are: ideal.
        weight_bits: width of a weight, its sign included, 2..16.
    """

    name: ClassVar[str] = "crossbar"
    rows: int = 128
    cols: int = 128
    cells: str = "differential"
    cell_bits: int = 4
    adc_bits: int | Literal["ideal"] = "ideal"
    device: str = "ideal"
    weight_bits: int = 8

    def __post_init__(self) -> None:
        self.chip()

    def chip(self) -> Chip:
        """The chip these options stand for. Raises `ValueError`."""
        from snnc_backends.crossbar.chip import chip

        return chip(
            rows=self.rows,
            cols=self.cols,
            cells=self.cells,
            cell_bits=self.cell_bits,
            adc_bits=self.adc_bits,
            device=self.device,
            weight_bits=self.weight_bits,
        )

    def check(self, graph: Graph) -> list[Diagnostic]:
        """Layers that weigh a current, weights that are too wide, rules of the graph."""
        from snnc_backends.crossbar.check import check

        return check(graph, self.weight_bits)

    def legalize(self, graph: Graph) -> str:
        """`quantize` for a graph of real values, nothing for one of integers."""
        from snnc_backends.crossbar.check import is_integer

        if is_integer(graph):
            return ""
        return f"quantize{{bits={min(self.weight_bits, QUANTIZE_BITS)}}}"

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """The integer graph, the mapping, the conductances and the figures."""
        from snnc_backends.crossbar.lower import lower

        return lower(graph, self.chip())

    def load(self, artifact: Artifact) -> CrossbarProgram:
        """A program over the integer graph. Raises `ArtifactError` if it is damaged."""
        from snnc_backends.crossbar.program import load

        return load(artifact, self.chip())
