"""The exporter `conductances`: the cells of a crossbar, as they are programmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from snnc.device import Device
from snnc.exporter import NodeFidelity
from snnc.ir import Graph
from snnc.plugin_option import Plugin
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.devices.ideal import Ideal
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.exporters.cell_fidelity import cell_fidelity

CONDUCTANCES = Path("conductances.safetensors")


@dataclass(frozen=True)
class ConductancesExporter:
    """Writes `conductances.safetensors`: per layer `NAME.conductance_us`.

    It is of shape (groups, rows, physical columns), in microsiemens, with the programming errors of
    the device. The options are those of the target crossbar; docs/crossbar.md
    defines rows and columns.

    Attributes:
        cells: how a signed weight is stored.
        cols: columns of a tile, each of which has a reference column with cells=unit-column.
        cell_bits: bits of one cell; or list.
        weight_bits: width of a weight, its sign included.
        device: the model of the cells.
        seed: of the programming errors.
    """

    name: ClassVar[str] = "conductances"
    cells: str = "differential"
    cols: int = 128
    cell_bits: int | Literal["list"] = 4
    weight_bits: int = 8
    device: Annotated[Device, Plugin("snnc.devices")] = field(default_factory=Ideal)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, but is {self.seed}")
        self._target()

    def _target(self) -> CrossbarBackend:
        return CrossbarBackend(
            cells=self.cells,
            cols=self.cols,
            cell_bits=self.cell_bits,
            weight_bits=self.weight_bits,
            device=self.device,
        )

    def check(self, graph: Graph) -> list[NodeFidelity]:
        """Weighted layers need integers that fit; what has no weights takes no cells."""
        return cell_fidelity(graph, self._target())

    def export(self, graph: Graph, folder: Path) -> Sequence[Path]:
        """Write the file; a layer at a time is computed, all are held."""
        import safetensors.numpy

        chip, rng = self._target().chip(), np.random.default_rng(self.seed)
        cells = {
            f"{matrix.layer}.conductance_us": np.ascontiguousarray(
                chip.conductances_us(matrix.weights, rng)
            )
            for matrix in matrices(graph)
        }
        safetensors.numpy.save_file(cells, folder / CONDUCTANCES)
        return (CONDUCTANCES,)
