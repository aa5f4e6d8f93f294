"""The two files of SANA-FE: an architecture, and a network that is mapped on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.placement.mesh import Mesh
from snnc_backends.crossbar.placement.packets import Fires, Packets, Spikes, Sums
from snnc_backends.crossbar.placement.placement import Placement

HOP_J, HOP_S = 1e-12, 1e-9
"""Energy and time of a hop, so that the energy of the network in pJ is the number of hops."""
FREE = ("energy", "latency")
ROWS = "rows"


@dataclass(frozen=True)
class Senders:
    """All that is sent, by kind; see `placement.packets`."""

    fires: tuple[Fires, ...]
    spikes: tuple[Spikes, ...]
    sums: tuple[Sums, ...]

    @classmethod
    def of(cls, sent: Iterable[Packets]) -> Senders:
        """Nodes that lie in no core are left out; single elements of no core send nothing."""
        every = list(sent)
        fire = [e for e in every if isinstance(e, Fires) and (e.cores >= 0).any()]
        return cls(
            tuple(e._replace(cores=np.maximum(e.cores, 0)) for e in fire),
            tuple(e for e in every if isinstance(e, Spikes)),
            tuple(e for e in every if isinstance(e, Sums)),
        )

    @property
    def count(self) -> int:
        """Neurons that it takes: an element is one, and every value of a sum."""
        return sum(e.cores.size for e in self.fires) + sum(e.values for e in self.sums)


@dataclass(frozen=True)
class SanafeFiles:
    """Texts in the YAML that SANA-FE reads (its arch/README.md and snn/README.md).

    A core is a tile of SANA-FE with one core; tile t lies at x = t // rows, y = t % rows. Input
    neurons of one unit would share their spikes, so that every one has a unit of its own.

    Attributes:
        grid: the mesh of the placement.
        events: per node that fires, (steps, elements).
    """

    grid: Mesh
    placement: Placement
    senders: Senders
    events: Mapping[str, NDArray[np.int64]]

    @cached_property
    def tiles(self) -> NDArray[np.int64]:
        """(cores,): SANA-FE's tile of each."""
        x, y = self.grid.place(self.placement.sites)
        return x * self.grid.rows + y

    @cached_property
    def most(self) -> int:
        """Most events of an element in a step. A step takes as many of SANA-FE's, as a neuron of
        it fires once a step: a count is the first ones of them.
        """
        return max(1, max((int(e.max(initial=0)) for e in self.events.values()), default=1))

    def architecture(self) -> str:
        """The content of `arch.yaml`."""
        grid, units = self.grid, np.zeros(self.grid.sites, np.int64)
        for each in self.senders.fires:
            np.add.at(units, self.tiles[each.cores], 1)
        for each in self.senders.sums:
            units[self.tiles[each.core]] += each.values
        hop = "".join(
            f", energy_{side}_hop: {HOP_J}, latency_{side}_hop: {HOP_S}"
            for side in ("north", "east", "south", "west")
        ).removeprefix(", ")
        lines = [
            "architecture:",
            "  name: snnc",
            f"  attributes: {{link_buffer_size: 16, width: {grid.columns}, height: {grid.rows}}}",
            "  tile:",
        ]
        for tile, count in enumerate(units.tolist()):
            lines += _tile(tile, count, hop)
        return "\n".join(lines) + "\n"

    def network(self) -> str:
        """The content of `snn.yaml`."""
        groups, edges, mappings = self._rows(), list[str](), self._rows_mapped()
        taken = np.zeros(self.grid.sites, np.int64)
        starts: list[tuple[int, str]] = []
        for number, each in enumerate(self.senders.fires):
            name = f"g{number}"
            starts.append((each.first, name))
            groups += _group(name, each.node.name, self._trains(each.node.name))
            mappings += self._mapped(name, each.cores, taken)
        for number, each in enumerate(self.senders.sums):
            name, train = f"s{number}", ([1] + [0] * (self.most - 1)) * each.steps
            groups += _group(name, each.layer, [train] * each.values)
            mappings += self._mapped(name, np.full(each.values, each.core), taken)
            edges += [
                f"    - {name}.{k} -> {ROWS}.{each.target}: [weight: 0]" for k in range(each.values)
            ]
        edges += self._spikes(sorted(starts))
        parts = ["network:", "  name: snnc", "  groups:", *groups, "  edges:", *edges]
        return "\n".join([*parts, "mappings:", *mappings]) + "\n"

    def _rows(self) -> list[str]:
        """The rows of every core as a neuron that never fires."""
        last = max(0, self.placement.cores - 1)
        return [
            f"    - name: {ROWS}",
            "      attributes: [threshold: 1]",
            "      neurons:",
            f"        - 0..{last}: []",
        ]

    def _rows_mapped(self) -> list[str]:
        return [
            f"  - {ROWS}.{core}: [core: {tile}.0, soma: rows]"
            for core, tile in enumerate(self.tiles.tolist())
        ]

    def _mapped(self, name: str, cores: NDArray[np.integer], taken: NDArray[np.int64]) -> list[str]:
        """Every neuron to the next unit of its core."""
        lines: list[str] = []
        for number, tile in enumerate(self.tiles[cores].tolist()):
            lines.append(f'  - {name}.{number}: [core: {tile}.0, soma: "input[{taken[tile]}]"]')
            taken[tile] += 1
        return lines

    def _spikes(self, starts: list[tuple[int, str]]) -> Iterator[str]:
        firsts = np.array([first for first, _ in starts])
        for each in self.senders.spikes:
            group = np.searchsorted(firsts, each.elements, side="right") - 1
            for which, element in zip(group.tolist(), each.elements.tolist(), strict=True):
                first, name = starts[which]
                yield f"    - {name}.{element - first} -> {ROWS}.{each.target}: [weight: 0]"

    def _trains(self, node: str) -> list[list[int]]:
        """Per element, its events in SANA-FE's steps."""
        counts = self.events[node]
        fired = np.arange(self.most)[:, None] < counts[:, None]  # (steps, most, elements)
        return fired.reshape(-1, counts.shape[1]).T.astype(int).tolist()


def _group(name: str, node: str, trains: list[list[int]]) -> list[str]:
    """A group of input neurons; those in a row that fire alike on one line."""
    lines = [f"    - name: {name} # {node}", "      attributes: []", "      neurons:"]
    first = 0
    for number in range(1, len(trains) + 1):
        if number == len(trains) or trains[number] != trains[first]:
            which = str(first) if number == first + 1 else f"{first}..{number - 1}"
            lines.append(f"        - {which}: [spikes: {trains[first]}]")
            first = number
    return lines


def _tile(tile: int, inputs: int, hop: str) -> list[str]:
    """A tile with one core, and as many units for input neurons."""
    costs = ("access_neuron", "update_neuron", "spike_out")
    soma = ", ".join(f"{kind}_{cost}: 0.0" for cost in costs for kind in FREE)
    one = [
        f"    - name: tile_{tile}",
        f"      attributes: {{{hop}}}",
        "      core:",
        f"        - name: core_{tile}",
        f"          attributes: {{buffer_position: soma, max_neurons_supported: {inputs + 1}}}",
        *_unit("axon_in", "axon_in", "energy_message_in: 0.0, latency_message_in: 0.0"),
        *_unit("synapse", "synapse", _free("current_based", "process_spike")),
        *_unit("dendrite", "dendrite", _free("accumulator", "update")),
        *_unit("soma", "rows", f"model: leaky_integrate_fire, {soma}"),
    ]
    if inputs:
        one += _unit("soma", f"input[0..{inputs - 1}]", f"model: input, {soma}")[1:]
    free = "energy_message_out: 0.0, latency_message_out: 0.0"
    return [*one, *_unit("axon_out", "axon_out", free)]


def _unit(kind: str, name: str, attributes: str) -> list[str]:
    return [
        f"          {kind}:",
        f"            - name: {name}",
        f"              attributes: {{{attributes}}}",
    ]


def _free(model: str, cost: str) -> str:
    return f"model: {model}, energy_{cost}: 0.0, latency_{cost}: 0.0"
