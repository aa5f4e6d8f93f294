"""The exporter `sanafe`: a network placed on a mesh, for the simulator SANA-FE.

Boyle et al., "SANA-FE: Simulating Advanced Neuromorphic Architectures for Fast Exploration", IEEE
TCAD 44, 2025. It counts hops on its own, one message per spike and core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtifactError, UsageError, one_line
from snnc.exporter import Fidelity, NodeFidelity
from snnc.ir import Graph
from snnc.target import Artifact, Backend
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cost.files import MAPPING, PLACEMENT, stored_json
from snnc_backends.crossbar.cost.spike_rates import expected, uniform
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart, parts_of, stored_parts
from snnc_backends.crossbar.placement import placement as placing
from snnc_backends.crossbar.placement.mesh import Mesh
from snnc_backends.crossbar.placement.packets import packets
from snnc_backends.crossbar.placement.placement import Placement
from snnc_backends.crossbar.placement.traffic import traffic
from snnc_backends.exporters.cell_fidelity import cell_fidelity
from snnc_backends.exporters.sanafe_files import SanafeFiles, Senders

ARCHITECTURE, NETWORK = Path("arch.yaml"), Path("snn.yaml")
MOST_SENDERS = 500_000
"""Most neurons of the file: SANA-FE takes a unit of hardware for each."""
ALONE, ALONE_ON = CrossbarBackend(), (4, 4)
"""The target, and the columns and rows of cores, of a network that no artifact has placed."""


@dataclass(frozen=True)
class SanafeExporter:
    """Writes `arch.yaml`, a mesh, and `snn.yaml`, what its cores send, of a crossbar's artifact.

    Populations and pools are input neurons at their cores, that fire as told; every value of a
    partial sum is one that fires at each step; the rows of a core are one neuron. A hop costs 1 pJ
    and 1 ns, and nothing else costs anything. See docs/crossbar.md.

    Attributes:
        input: `.npy` file of samples (N, *shape), whose spikes are sent; none: every element
            fires once, in the first step.
        sample: which of them, from 0.
    """

    name: ClassVar[str] = "sanafe"
    input: str = "none"
    sample: int = 0

    def __post_init__(self) -> None:
        if self.sample < 0:
            raise ValueError(f"sample must not be negative, but is {self.sample}")

    def of_artifact(self, artifact: Artifact, target: Backend | None) -> PlacedExporter:
        """With the tiles and cores of the artifact. Raises `UsageError`, `ArtifactError`."""
        mapping, placed = (stored_json(artifact, name) for name in (MAPPING, PLACEMENT))
        if not isinstance(target, CrossbarBackend) or mapping is None or placed is None:
            raise UsageError(
                "sanafe writes networks that are placed on a mesh",
                hint="compile with --target 'crossbar{mesh=4x4}'",
            )
        try:
            parts, placement = stored_parts(mapping), placing.from_json(placed)
        except (LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"its mapping is damaged: {one_line(error)}") from None
        grid = placement.mesh
        if not isinstance(grid, Mesh):
            raise UsageError(
                f"SANA-FE has meshes only, and the network lies on {grid.name}",
                hint="compile with --target 'crossbar{mesh=4x4}'",
            )
        return PlacedExporter(self, target, parts, grid, placement)

    def check(self, graph: Graph) -> list[NodeFidelity]:
        """What becomes of a graph that no artifact has placed."""
        return cell_fidelity(graph, ALONE)

    def export(self, graph: Graph, folder: Path) -> Sequence[Path]:
        """Write a graph that no artifact has placed: default tiles on 4 x 4 cores."""
        grid, steps = Mesh(*ALONE_ON), _window(graph)
        mapped = layout(graph, ALONE.chip(), steps)
        shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), steps)
        core_of = placing.cores_of(mapped, grid)
        events = expected(graph, shapes, uniform(graph), steps).events
        flow = traffic(graph, shapes, core_of, events, steps)
        placed = placing.place(grid, core_of, flow, ALONE.chip_seed)
        return PlacedExporter(self, ALONE, parts_of(mapped), grid, placed).export(graph, folder)


@dataclass(frozen=True)
class PlacedExporter:
    """The exporter of a network whose tiles lie in the cores of a mesh."""

    options: SanafeExporter
    target: CrossbarBackend
    parts: Sequence[PlacedPart]
    grid: Mesh
    placement: Placement
    name: ClassVar[str] = SanafeExporter.name

    def check(self, graph: Graph) -> list[NodeFidelity]:
        """Every node is exact, unless there are too many."""
        nodes = cell_fidelity(graph, self.target)
        needed = self._senders(graph).count
        if needed <= MOST_SENDERS or any(n.fidelity is Fidelity.REFUSED for n in nodes):
            return nodes
        reason = f"it would take {needed:,} neurons, SANA-FE a unit of hardware for each"
        remedy = f"export a network of at most {MOST_SENDERS:,} elements and values of sums"
        first = graph.nodes[0]
        refused = NodeFidelity(
            first.op.mnemonic, first.name, first.loc, Fidelity.REFUSED, reason, remedy
        )
        return [refused, *nodes[1:]]

    def export(self, graph: Graph, folder: Path) -> Sequence[Path]:
        """Write both files. Raises `UsageError` for an input that cannot be used."""
        senders = self._senders(graph)
        written = SanafeFiles(self.grid, self.placement, senders, self._events(graph, senders))
        (folder / ARCHITECTURE).write_text(written.architecture(), encoding="utf-8")
        (folder / NETWORK).write_text(written.network(), encoding="utf-8")
        return ARCHITECTURE, NETWORK

    def _senders(self, graph: Graph) -> Senders:
        steps = _window(graph)
        shapes = layer_shapes(graph, self.target.chip(), self.parts, steps)
        return Senders.of(packets(graph, shapes, self.placement.core_of, steps))

    def _events(self, graph: Graph, senders: Senders) -> dict[str, NDArray[np.int64]]:
        """Per node that fires, its events (steps, elements)."""
        nodes = [each.node.name for each in senders.fires]
        if self.options.input == "none":
            return {name: np.ones((1, graph.type_of(name).size), np.int64) for name in nodes}
        from snnc.interp import run_snn

        x = self._sample()
        values = run_snn(graph, x, timesteps=_window(graph), keep=nodes).values
        counts = {name: np.abs(values[name][:, 0].numpy()) for name in nodes}
        return {name: np.rint(v).astype(np.int64).reshape(len(v), -1) for name, v in counts.items()}

    def _sample(self) -> NDArray[np.float32]:
        """The chosen sample of the file, (1, *shape). Raises `UsageError`."""
        path, number = self.options.input, self.options.sample
        try:
            x = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"input {path}: {one_line(error)}") from None
        if not isinstance(x, np.ndarray) or not x.ndim or number >= len(x):
            raise UsageError(f"input {path} has no sample {number}")
        return x[number : number + 1].astype(np.float32)


def _window(graph: Graph) -> int:
    """The window of a graph, 1 where it has none."""
    return int(graph.meta.get("timesteps", 1))
