"""The backend `crossbar`: its options, checks and lowering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.cost import Inference
from snnc.device import Device, nominal_us
from snnc.plugin_option import Plugin
from snnc.target import Artifact, Diagnostic
from snnc_backends.crossbar.devices.ideal import Ideal

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext
    from snnc_backends.crossbar.chip import Chip
    from snnc_backends.crossbar.cost.files import CostOptions
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
        cells: how a signed weight is stored: differential, in one of a pair of columns; two-sided,
            in both, symmetrically around the middle of the levels; offset, plus half of the range,
            which is subtracted digitally; unit-column, the same, subtracted by a reference column
            of every tile.
        cell_bits: bits of one cell, 1..8; or list, where a cell takes the level nearest to a whole
            weight, of the list that the device has.
        adc_bits: resolution of the converters, 1..16, or ideal.
        adc_range: how their ranges are chosen: data, with the least error of conversion on
            calibration data; or worst, the largest sum possible, also where there are no data.
        partial_sums: how the row blocks of a layer are added: digital, each converted for itself;
            or analog, their currents before one conversion.
        device: the model of the cells, a plugin of the group `snnc.devices`.
        stuck_on: fraction of cells that have the largest conductance, whatever is programmed.
        stuck_off: fraction of cells that have the least conductance.
        wire_ohm: resistance of word and bit lines from one cell to the next, in ohm.
        compensation: gains of the converters are estimated anew when the chip is read, from the
            sums of columns with all rows driven: one factor a layer, or one a column.
        remap: stuck cells are known when the chip is programmed: rows of a tile are exchanged, and
            the other cells of a weight make up for a stuck one, so that the weights are nearest.
        weight_bits: width of a weight, its sign included, 2..16.
        chip_seed: of the chip: the errors of its cells.
        packing: what shares a tile: none, groups of a layer, or also layers that lie in disjoint
            rows and columns or that are read one after the other.
        replication: balanced copies layers so that the pipeline is as fast as `tiles` allow.
        tiles: of the chip; none for as many as it takes.
        cores: of the chip, each with `tiles_per_core` tiles; none for as many as it takes.
        tiles_per_core, axons_per_core, synapses_per_core: what a core holds; none for no limit.
        machine: a TOML file with any of the options above, which it sets.
        technology: the table of energies, times and areas: a name, a file NAME.toml, or none.
        rates: JSON file of spike rates to place and cost by; none for the calibration data.
        mesh: cores on which tiles are placed: COLUMNSxROWS, or h-tree-N, the N cores of an H-tree;
            none for no placement.
        threads: samples computed in parallel; 0 for one per processor core.
    """

    name: ClassVar[str] = "crossbar"
    rows: int = 128
    cols: int = 128
    cells: str = "differential"
    cell_bits: int | Literal["list"] = 4
    adc_bits: int | Literal["ideal"] = "ideal"
    adc_range: Literal["data", "worst"] = "data"
    partial_sums: Literal["digital", "analog"] = "digital"
    device: Annotated[Device, Plugin("snnc.devices")] = field(default_factory=Ideal)
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    wire_ohm: float = 0.0
    compensation: Literal["none", "layer", "column"] = "none"
    remap: bool = False
    weight_bits: int = 8
    chip_seed: int = 0
    packing: Literal["none", "groups", "disjoint", "time-multiplexed"] = "none"
    replication: Literal["none", "balanced"] = "none"
    tiles: int | None = None
    cores: int | None = None
    tiles_per_core: int | None = None
    axons_per_core: int | None = None
    synapses_per_core: int | None = None
    machine: str = ""
    technology: str = "none"
    rates: str = "none"
    mesh: str = "none"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads must not be negative, but is {self.threads}")
        self.costs()
        if not self.machine:
            self.chip()
            return
        machine = self.machine
        self._set_by_machine()
        try:
            self.chip()
        except ValueError as error:
            raise ValueError(f"machine {machine}: {error}") from None

    def _set_by_machine(self) -> None:
        """Take the options of the file; the text of the target then has them, and not the file."""
        from snnc_backends.crossbar.machine import read_machine

        options = read_machine(Path(self.machine))
        for field_ in fields(self):
            name, value = field_.name, getattr(self, field_.name)
            if name in options and value not in (field_.default, options[name]):
                option = name.replace("_", "-")
                raise ValueError(
                    f"machine {self.machine}: {option} is {options[name]}, the target's is {value}"
                )
        for name, value in {**options, "machine": ""}.items():
            object.__setattr__(self, name, value)

    def chip(self) -> Chip:
        """The chip of these options. Raises `ValueError` naming the option that is wrong."""
        from snnc_backends.crossbar.chip import chip
        from snnc_backends.crossbar.cores import CoreLimits
        from snnc_backends.crossbar.imperfections import Imperfections

        return chip(
            rows=self.rows,
            cols=self.cols,
            cells=self.cells,
            cell_bits=self.cell_bits,
            adc_bits=self.adc_bits,
            device=self.device,
            partial_sums=self.partial_sums,
            weight_bits=self.weight_bits,
            seed=self.chip_seed,
            packing=self.packing,
            replication=self.replication,
            tiles=self.tiles,
            cores=CoreLimits(
                self.cores, self.tiles_per_core, self.axons_per_core, self.synapses_per_core
            ),
            imperfections=Imperfections(
                self.stuck_on, self.stuck_off, self.wire_ohm, self.compensation, self.remap
            ),
        )

    def costs(self) -> CostOptions:
        """What it is placed and costed by. Raises `ValueError` naming the option that is wrong."""
        from snnc_backends.crossbar.cost.files import CostOptions
        from snnc_backends.crossbar.placement.topology import topology

        return CostOptions(
            self.technology, self.rates, topology(self.mesh), self.adc_bits, self.chip_seed
        )

    def require_files(self) -> None:
        """Raise `UsageError` for files of the options that cannot be used; see `snnc.target`."""
        self.costs().require_files()

    @property
    def inexact(self) -> str:
        """Why results may differ from the reference; "" if they do not."""
        reasons: list[str] = []
        if not self.device.facts.ideal:
            reasons.append(f"the cells of {self.device.name} are not ideal")
        chip = self.chip()
        if not chip.table.exact:
            reasons.append(f"some weights lie between the levels of {self.device.name}")
        reasons += chip.imperfections.reasons
        if self.adc_bits != "ideal":
            reasons.append(f"its converters have {self.adc_bits} bits")
        return " and ".join(reasons)

    @property
    def late_options(self) -> tuple[str, ...]:
        """What is not ideal about the cells: an artifact holds neither levels nor conductances."""
        return ("device", "stuck_on", "stuck_off", "wire_ohm", "compensation", "remap", "chip_seed")

    @property
    def limits(self) -> Mapping[str, Any]:
        """Limits of the chip that passes can read; see docs/crossbar.md."""
        facts, chip = self.device.facts, self.chip()
        levels = nominal_us(np.arange(chip.table.largest + 1), chip.table.largest, facts)
        return {
            "rows": self.rows,
            "cols": self.cols,
            "weight_bits": self.weight_bits,
            "cell_bits": self.cell_bits,
            "device": self.device.name,
            "device_levels": facts.most_levels,
            "levels_us": tuple(levels.tolist()),
            "g_min_us": facts.g_min_us,
            "g_max_us": facts.g_max_us,
            **({"largest_weight": chip.largest_level} if chip.listed_weights else {}),
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
        """Layers whose input is a current, weights that are too wide, broken rules of the graph,
        and, of an integer graph, what is too large for the chip.
        """
        from snnc_backends.crossbar.check import check

        return check(graph, self.chip())

    @property
    def quantizer(self) -> str:
        """What makes the integers that cells hold of real values; see `snnc.target`."""
        return f"quantize{{bits={min(self.weight_bits, QUANTIZE_BITS)}}}"

    def legalize(self, graph: Graph) -> str:
        """Nothing: tiles hold the integers of the stored graph."""
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """The mapping, figures and ranges; placement and cost where they are asked for.

        Raises:
            GraphError: real values, or a chip that is too small.
            UsageError: a file of the options cannot be used, or a mesh is too small.
        """
        from snnc_backends.crossbar.lower import lower

        return lower(graph, self.chip(), self.costs(), ctx, self.adc_range)

    def load(self, artifact: Artifact) -> CrossbarProgram:
        """The program of an artifact. Raises `ArtifactError`."""
        from snnc_backends.crossbar.program import load

        return load(artifact, self.chip(), self.threads)

    def plan_rows(self, artifact: Artifact) -> list[dict[str, Any]]:
        """The layers with the tiles that they take; see `snnc.target.ShowsPlan`."""
        from snnc_backends.crossbar.plan_rows import plan_rows

        return plan_rows(artifact)

    def cost(self, artifact: Artifact, run: Inference) -> dict[str, Any] | None:
        """The cost of an inference of an artifact; None if it was compiled without a technology.

        Raises `ArtifactError`.
        """
        from snnc_backends.crossbar.cost.files import cost_of_run
        from snnc_backends.crossbar.lower import stored_graph

        return cost_of_run(artifact, self.chip(), self.adc_bits, run, stored_graph(artifact))
