"""The cost of an inference: counts of events times a technology table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from snnc.cost import Inference
from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.area import areas, inventory, leakage_mw
from snnc_backends.crossbar.cost.events import (
    COMPONENTS,
    Counts,
    by_component,
    count_events,
    skipped_conversions,
    tile_events,
)
from snnc_backends.crossbar.cost.latency import Timing, timing
from snnc_backends.crossbar.cost.spike_rates import DENSITY
from snnc_backends.crossbar.cost.technology_table import NAMES, Technology
from snnc_backends.crossbar.mapping.column_groups import column_group
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape, layer_shapes
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart
from snnc_backends.crossbar.placement.placement import Placement
from snnc_backends.crossbar.placement.traffic import traffic

ANN_BITS = 8
"""Bits of an activation of the ANN, driven one after another."""
TILE_COMPONENTS = ("array", "converters", "shift_and_add", "buffers")
"""What the spiking network is compared with the ANN by."""
OUTSIDE = "input_output"


@dataclass(frozen=True)
class CostModel:
    """A mapped network and the technology it is costed in.

    Attributes:
        parts: of the network on the tiles.
        adc_bits: resolution of the converters; an ideal one is costed with the bits that give the
            sum of a full column exactly.
        placement: of the tiles on a mesh, or None.
    """

    graph: Graph
    chip: Chip
    parts: Sequence[PlacedPart]
    technology: Technology
    adc_bits: int | Literal["ideal"]
    placement: Placement | None = None

    @property
    def converter_bits(self) -> int:
        """Bits of a conversion that is paid for."""
        if isinstance(self.adc_bits, int):
            return self.adc_bits
        added = 1
        if self.chip.analog_sums:
            added = max(Counter(column_group(part) for part, _ in self.parts).values(), default=1)
        return (added * self.chip.rows * self.chip.largest_level).bit_length()

    @property
    def prices(self) -> dict[str, float | None]:
        """pJ per event; None where the table has no entry."""
        prices = {name: self.technology.value(f"energy.{name}") for name in NAMES["energy"]}
        prices["conversion"] = self.technology.of_bits("energy", self.converter_bits)
        return {name: prices[name] for name in COMPONENTS}

    def cost(self, run: Inference, basis: str) -> dict[str, Any]:
        """The content of the report's key `cost`; keys as in docs/report.md.

        Args:
            basis: where the counts of `run` come from.
        """
        shapes = layer_shapes(self.graph, self.chip, self.parts, run.timesteps)
        counts = count_events(self.graph, shapes, run, self._hops(shapes, run))
        times = timing(self.graph, shapes, self.chip, self.technology, run.timesteps)
        return {
            "technology": self.technology.name,
            "node_nm": self.technology.node_nm,
            "basis": basis,
            "timesteps": run.timesteps,
            **self._energy(counts, times, run.timesteps),
            **_times(times),
            **self._area(),
            **self._beside_ann(shapes, run, counts),
            "layers": self._layers(counts, times),
            "counts": counts,
            "events": dict(run.events),
            "table": [asdict(entry) for entry in self.technology.entries.values()],
            "notes": self._notes(counts, times),
        }

    def _hops(self, shapes: Sequence[LayerShape], run: Inference) -> dict[str, float]:
        if self.placement is None:
            return {}
        packets = traffic(self.graph, shapes, self.placement.core_of, run.events, run.timesteps)
        return self.placement.hops(packets)

    def _energy(self, counts: Counts, times: Timing | None, timesteps: int) -> dict[str, Any]:
        sums: dict[str, float] = dict.fromkeys(dict.fromkeys(COMPONENTS.values()), 0.0)
        for events in counts.values():
            for component, energy in by_component(events, self.prices).items():
                sums[component] += energy
        outside = sums.pop(OUTSIDE)
        dynamic = sum(sums.values())
        static = leakage_mw(self._parts(), self.technology) * (times.latency_ns if times else 0.0)
        total = dynamic + static + outside
        write = self.technology.value("energy.write")
        cells = sum(each.part.rows * each.part.cols for each in self.parts)
        return {
            "energy_pj": total,
            "dynamic_energy_pj": dynamic,
            "static_energy_pj": static,
            "input_output_energy_pj": outside,
            "energy_per_step_pj": total / timesteps,
            "components": {f"{name}_pj": energy for name, energy in sums.items()},
            "programming_writes": cells,
            **({} if write is None else {"programming_energy_pj": cells * write}),
        }

    def _parts(self) -> Any:
        cores = 0 if self.placement is None else self.placement.cores
        tiles = len({each.tile for each in self.parts})
        return inventory(self.graph, self.chip, self.technology, tiles, cores)

    def _area(self) -> dict[str, Any]:
        parts = areas(self._parts(), self.technology, self.converter_bits)
        if not parts:
            return {}
        return {
            "area_um2": sum(parts.values()),
            "area_of_parts": {f"{name}_um2": area for name, area in parts.items() if area},
        }

    def _beside_ann(
        self, shapes: Sequence[LayerShape], run: Inference, counts: Counts
    ) -> dict[str, Any]:
        """The same layers of the ANN, with inputs of `ANN_BITS` bits driven one by one."""
        ann = {shape.layer: tile_events(*_bit_serial(shape)) for shape in shapes}
        conversions = sum(events["conversion"] for events in ann.values())
        own = sum(counts[shape.layer]["conversion"] for shape in shapes)
        skipped = sum(skipped_conversions(s, run.activity.get(s.layer, {})) for s in shapes)
        return {
            "conversions": own,
            "skipped_conversions": skipped,
            "bitserial_ann_conversions": conversions,
            "conversions_vs_bitserial_ann": own / conversions if conversions else 0.0,
            "bitserial_ann_tiles_energy_pj": self._of_tiles(ann),
            "tiles_energy_pj": self._of_tiles({s.layer: counts[s.layer] for s in shapes}),
        }

    def _of_tiles(self, counts: Counts) -> float:
        sums = [by_component(events, self.prices) for events in counts.values()]
        return sum(each.get(name, 0.0) for each in sums for name in TILE_COMPONENTS)

    def _layers(self, counts: Counts, times: Timing | None) -> dict[str, dict[str, float]]:
        rows: dict[str, dict[str, float]] = {}
        for node, events in counts.items():
            parts = by_component(events, self.prices)
            rows[node] = {"energy_pj": sum(parts.values())}
            rows[node] |= {f"{name}_pj": energy for name, energy in parts.items() if energy}
            if times is not None and node in times.layers:
                rows[node]["step_ns"] = times.layers[node]
        return rows

    def _notes(self, counts: Counts, times: Timing | None) -> list[str]:
        """What the figures leave out or take for granted."""
        used = {name for events in counts.values() for name, number in events.items() if number}
        unknown = [name for name in COMPONENTS if name in used and self.prices[name] is None]
        bits, most = self.converter_bits, self.technology.most_bits()
        scaled = [e.name for e in self.technology.entries.values() if e.scaled]
        other = {e.node_nm for e in self.technology.entries.values()} - {self.technology.node_nm}
        notes = [
            f"energy of {', '.join(unknown)}: not in the table, left out" if unknown else "",
            "static energy is of one inference alone, over its latency" if times else
            "no time.read in the table: latency and static energy are left out",
            f"ideal converters are costed with {bits} bits, which give every sum exactly"
            if self.adc_bits == "ideal" else "",
            f"converters of {bits} bits: extrapolated from {most} bits, twice as much per bit"
            if bits > most > 0 else "",
            f"values scaled from other nodes: {', '.join(scaled)}" if scaled else "",
            f"values of other nodes, as `scaled` of their entries says: {sorted(other)} nm"
            if other else "",
            "no mesh: transport of spikes, area and leakage of buffers and routers are left out"
            if self.placement is None else "",
            "analog partial sums: what adds currents of tiles is left out; one tile of those that "
            "are added converts, the converters of the others are there and leak"
            if self.chip.analog_sums else "",
            "the digital subtraction of an offset is left out"
            if self.chip.code.shift and self.chip.code.reference is None else "",
            "every neuron is updated at every step; times of neurons, pooling and packets are "
            "taken to overlap with the reads",
            f"ANN: inputs of {ANN_BITS} bits, of which a fraction of {DENSITY:g} is 1; its energy "
            f"is that of {', '.join(TILE_COMPONENTS)}, to be compared with tiles_energy_pj",
            "idle tiles are not switched off; calibration, control and clocks are left out; "
            "programming is not part of energy_pj",
        ]  # fmt: skip
        return [note for note in notes if note]


def _times(times: Timing | None) -> dict[str, float]:
    if times is None:
        return {}
    return {
        "latency_ns": times.latency_ns,
        "sequential_latency_ns": times.sequential_ns,
        "critical_path_ns": times.critical_path_ns,
        "step_ns": times.step_ns,
        "pipeline_period_ns": times.period_ns,
    }


def _bit_serial(shape: LayerShape) -> tuple[LayerShape, Mapping[str, float]]:
    """The layer in the ANN, and what its tiles do: every row block is read for every bit."""
    ann = replace(shape, phases=ANN_BITS, steps=1)
    return ann, {
        "conversions": ann.all_conversions,
        "rows_driven": ann.drives * DENSITY * float(shape.rows.sum()),
    }
