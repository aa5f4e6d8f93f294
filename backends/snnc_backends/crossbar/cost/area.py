"""Area and leakage of a chip: tiles, membranes and cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnc.ir import AnyNeuron, CountMaxPool, Graph, Readout
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.events import READOUT_BITS
from snnc_backends.crossbar.cost.technology_table import Technology


@dataclass(frozen=True)
class Inventory:
    """How many there are of what takes area and leaks; by entry of a technology table."""

    area: Mapping[str, int]
    power: Mapping[str, int]


def inventory(
    graph: Graph, chip: Chip, technology: Technology, tiles: int, cores: int
) -> Inventory:
    """The parts of a chip with `tiles` tiles in `cores` cores (0 where there is no mesh)."""
    converters = tiles * technology.converters_per_tile
    return Inventory(
        area={
            "cell": tiles * chip.rows * chip.cols,
            "row": tiles * chip.rows,
            "column": tiles * chip.cols,
            "converter": converters,
            "shift_add": tiles,
            "registers": tiles,
            "membrane_bit": potentials(graph) * READOUT_BITS,
            "core": cores,
        },
        power={"row": tiles * chip.rows, "converter": converters, "tile": tiles, "core": cores},
    )


def potentials(graph: Graph) -> int:
    """Values that are kept from step to step: potentials, counters, sums of readouts."""
    kept = 0
    for node in graph.nodes:
        if isinstance(node.op, AnyNeuron | Readout):
            kept += graph.type_of(node.name).size
        elif isinstance(node.op, CountMaxPool) and not graph.type_of(node.name).constant_in_time:
            kept += graph.type_of(node.name).size + graph.type_of(node.inputs[0]).size
    return kept


def areas(parts: Inventory, technology: Technology, bits: int) -> dict[str, float]:
    """um2 by part; parts without an entry are left out."""
    known = {
        name: technology.of_bits("area", bits)
        if name == "converter"
        else technology.value(f"area.{name}")
        for name in parts.area
    }
    return {name: parts.area[name] * each for name, each in known.items() if each is not None}


def leakage_mw(parts: Inventory, technology: Technology) -> float:
    """mW of all parts; those without an entry are left out."""
    return sum(
        number * (technology.value(f"power.{name}") or 0.0) for name, number in parts.power.items()
    )
