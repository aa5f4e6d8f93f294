"""The backend `crossbar`: its options, checks and lowering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.device import Device
from snnc.plugin_option import Plugin
from snnc.target import Artifact, Diagnostic
from snnc_backends.crossbar.devices.ideal import Ideal

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext
    from snnc_backends.crossbar.chip import Chip
    from snnc_backends.crossbar.program import CrossbarProgram

QUANTIZE_BITS = 8
"""Largest `bits` of the pass `quantize`."""


@dataclass(frozen=True)
class CrossbarBackend:
    """Stores weights in tiles of resistive cells. With ideal cells it equals the reference.

    A network of real values is quantised first. See docs/crossbar.md.

    Attributes:
        rows: word lines of a tile.
        cols: bit lines of a tile.
        cells: how a signed weight is stored: differential, in a pair of columns.
        cell_bits: bits of one cell, 1..8.
        adc_bits: resolution of the converters, 1..16, or ideal.
        adc_range: how their ranges are chosen: data, with the least error of conversion on
            calibration data; or worst, the largest sum possible, also where there are no data.
        device: the model of the cells, a plugin of the group `snnc.devices`.
        stuck_on: fraction of cells that have the largest conductance, whatever is programmed.
        stuck_off: fraction of cells that have the least conductance.
        wire_ohm: resistance of word and bit lines from one cell to the next, in ohm.
        compensation: gains of the converters are estimated anew when the chip is read, from the
            sums of columns with all rows driven: one factor a layer, or one a column.
        weight_bits: width of a weight, its sign included, 2..16.
        chip_seed: of the chip: the errors of its cells.
        threads: samples of an ideal chip computed in parallel; 0 for one per processor core.
    """

    name: ClassVar[str] = "crossbar"
    rows: int = 128
    cols: int = 128
    cells: str = "differential"
    cell_bits: int = 4
    adc_bits: int | Literal["ideal"] = "ideal"
    adc_range: Literal["data", "worst"] = "data"
    device: Annotated[Device, Plugin("snnc.devices")] = field(default_factory=Ideal)
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    wire_ohm: float = 0.0
    compensation: Literal["none", "layer", "column"] = "none"
    weight_bits: int = 8
    chip_seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads must not be negative, but is {self.threads}")
        self.chip()

    def chip(self) -> Chip:
        """The chip of these options. Raises `ValueError` naming the option that is wrong."""
        from snnc_backends.crossbar.chip import chip
        from snnc_backends.crossbar.imperfections import Imperfections

        return chip(
            rows=self.rows,
            cols=self.cols,
            cells=self.cells,
            cell_bits=self.cell_bits,
            adc_bits=self.adc_bits,
            device=self.device,
            weight_bits=self.weight_bits,
            seed=self.chip_seed,
            imperfections=Imperfections(
                self.stuck_on, self.stuck_off, self.wire_ohm, self.compensation
            ),
        )

    @property
    def inexact(self) -> str:
        """Why results may differ from the reference; "" if they do not."""
        reasons: list[str] = []
        if not self.device.facts.ideal:
            reasons.append(f"the cells of {self.device.name} are not ideal")
        reasons += self.chip().imperfections.reasons
        if self.adc_bits != "ideal":
            reasons.append(f"its converters have {self.adc_bits} bits")
        return " and ".join(reasons)

    @property
    def limits(self) -> Mapping[str, Any]:
        """Limits of the chip that passes can read; see docs/crossbar.md."""
        facts = self.device.facts
        return {
            "rows": self.rows,
            "cols": self.cols,
            "weight_bits": self.weight_bits,
            "cell_bits": self.cell_bits,
            "device": self.device.name,
            "device_levels": facts.max_levels,
            "g_min_us": facts.g_min_us,
            "g_max_us": facts.g_max_us,
        }

    def read_weights(
        self,
        weights: NDArray[np.integer],
        rng: np.random.Generator,
        seconds: float | None = None,
    ) -> NDArray[np.float64]:
        """Integer weights as read from the cells; see `snnc.transform.TargetInfo`."""
        return self.chip().read_weights(weights, rng, seconds)

    def check(self, graph: Graph) -> list[Diagnostic]:
        """Layers whose input is a current, weights that are too wide, broken rules of the graph."""
        from snnc_backends.crossbar.check import check

        return check(graph, self.weight_bits)

    @property
    def quantizer(self) -> str:
        """What makes the integers that cells hold of real values; see `snnc.target`."""
        return f"quantize{{bits={min(self.weight_bits, QUANTIZE_BITS)}}}"

    def legalize(self, graph: Graph) -> str:
        """Nothing: tiles hold the integers of the stored graph."""
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """The mapping, figures, and ranges of converters. Raises `GraphError` for real values."""
        from snnc_backends.crossbar.lower import lower

        return lower(graph, self.chip(), ctx, self.adc_range)

    def load(self, artifact: Artifact) -> CrossbarProgram:
        """The program of an artifact. Raises `ArtifactError`."""
        from snnc_backends.crossbar.program import load

        return load(artifact, self.chip(), self.threads)
