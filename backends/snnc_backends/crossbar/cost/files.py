"""Placement and cost of a network when it is compiled, and its cost after a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.cost import COST, Inference, inference
from snnc.errors import ArtifactError, one_line
from snnc.ir import Graph
from snnc.jsontext import parse_json
from snnc.target import Artifact
from snnc.transform import Batches, PassContext
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.cost import CostModel
from snnc_backends.crossbar.cost.spike_rates import UNIFORM, complete, expected, read_rates, uniform
from snnc_backends.crossbar.cost.technology_table import Technology, from_json, technology
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import Layout
from snnc_backends.crossbar.mapping.placed_parts import parts_of, stored_parts
from snnc_backends.crossbar.placement import placement as placing
from snnc_backends.crossbar.placement.placement import Placement
from snnc_backends.crossbar.placement.topology import Topology
from snnc_backends.crossbar.placement.traffic import traffic

FOLDER = "crossbar"
PLACEMENT = f"{FOLDER}/placement.json"
TECHNOLOGY = f"{FOLDER}/technology.json"
MAPPING = f"{FOLDER}/mapping.json"
CALIBRATION_SAMPLES = 32
"""Samples of the calibration data that rates are measured on."""


@dataclass(frozen=True)
class CostOptions:
    """What a chip is costed and placed by.

    Attributes:
        technology: name or file of a table; "none" for no cost.
        rates: file of spike rates; "none" for those of the calibration data.
        mesh: the mesh or tree of cores, or None for no placement.
        adc_bits: resolution of the converters.
        seed: of the search for a placement.
    """

    technology: str = "none"
    rates: str = "none"
    mesh: Topology | None = None
    adc_bits: int | Literal["ideal"] = "ideal"
    seed: int = 0

    def table(self) -> Technology | None:
        """The technology table. Raises `UsageError`."""
        return None if self.technology == "none" else technology(self.technology)

    def require_files(self) -> None:
        """Raise `UsageError` for files that cannot be used."""
        self.table()
        if self.rates != "none":
            read_rates(Path(self.rates))


@dataclass(frozen=True)
class CostFiles:
    """What costing a compilation gives.

    Attributes:
        files: members of the artifact.
        placement: content of `placement.json`, or None.
        notes: what was not told, and why.
    """

    files: Mapping[str, bytes]
    placement: Mapping[str, Any] | None
    notes: Sequence[str]


def cost_files(graph: Graph, mapped: Layout, options: CostOptions, ctx: PassContext) -> CostFiles:
    """Place and cost a mapped network by its spike rates.

    Raises:
        UsageError: a file of the options cannot be used, or the mesh is too small.
    """
    table, files, placed, notes = options.table(), dict[str, Any](), None, list[str]()
    run, basis = _run(graph, mapped, options, ctx) if table or options.mesh else (None, "")
    if table is None:
        notes.append("no technology: energy, area and latency are not told")
    else:
        files[TECHNOLOGY] = table.json()
    if options.mesh is None:
        notes.append("no mesh: placement and communication are not told")
    elif run is not None:
        placed, files[PLACEMENT] = _place(graph, mapped, options, run, basis)
    if table is not None and run is not None:
        if basis.startswith("uniform"):
            notes.append("no spike rates: energy is told by eval, or with rates=FILE")
        else:
            model = CostModel(graph, mapped.chip, parts_of(mapped), table, options.adc_bits, placed)
            files[f"{FOLDER}/{COST}"] = model.cost(run, basis)
    members = {name: _json(content) for name, content in files.items()}
    return CostFiles(members, files.get(PLACEMENT), notes)


def cost_of_run(
    artifact: Artifact, chip: Chip, adc_bits: int | Literal["ideal"], run: Inference, graph: Graph
) -> dict[str, Any] | None:
    """The cost of an inference of an artifact; None where it holds no technology table.

    Raises:
        ArtifactError: a member is damaged.
    """
    stored = stored_json(artifact, TECHNOLOGY)
    if stored is None:
        return None
    placed = stored_json(artifact, PLACEMENT)
    mapping = stored_json(artifact, MAPPING) or {}
    try:
        model = CostModel(
            graph,
            chip,
            stored_parts(mapping),
            from_json(stored),
            adc_bits,
            None if placed is None else placing.from_json(placed),
        )
        return model.cost(run, "measured")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"the files of the mapping are damaged: {one_line(error)}") from None


def _place(
    graph: Graph, mapped: Layout, options: CostOptions, run: Inference, basis: str
) -> tuple[Placement, dict[str, Any]]:
    assert options.mesh is not None
    core_of = placing.cores_of(mapped, options.mesh)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), run.timesteps)
    packets = traffic(graph, shapes, core_of, run.events, run.timesteps)
    placed = placing.place(options.mesh, core_of, packets, options.seed)
    return placed, placing.to_json(placed, packets, basis)


def _run(
    graph: Graph, mapped: Layout, options: CostOptions, ctx: PassContext
) -> tuple[Inference, str]:
    """The counts to expect of an inference, and where they come from."""
    timesteps = int(graph.meta.get("timesteps", ctx.timesteps))
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), timesteps)
    if options.rates != "none":
        rates = complete(graph, read_rates(Path(options.rates)), options.rates)
        return expected(graph, shapes, rates, timesteps), "rates of a file"
    x = None if ctx.calibration is None else _first(ctx.calibration)
    measured = None if x is None else _measured(graph, mapped.chip, timesteps, x)
    if x is None or measured is None:
        even = expected(graph, shapes, uniform(graph), timesteps)
        return even, f"uniform rates of {UNIFORM:g}"
    return measured, f"{len(x)} samples of the calibration data"


def _first(data: Batches) -> NDArray[np.float32] | None:
    """The first samples; None if there are none."""
    taken: list[NDArray[np.float32]] = []
    for x, _ in data:
        taken.append(x[: CALIBRATION_SAMPLES - sum(map(len, taken))])
        if sum(map(len, taken)) >= CALIBRATION_SAMPLES:
            break
    return np.concatenate(taken) if taken else None


def _measured(graph: Graph, chip: Chip, timesteps: int, x: NDArray[np.float32]) -> Inference | None:
    """The mean counts of samples on ideal cells; None for what the kernels cannot run."""
    from snnc_backends.crossbar.reading.ideal import IdealProgram, can_run

    if not can_run(graph):
        return None
    program = IdealProgram(graph, timesteps, chip)
    return None if timesteps > program.longest else inference(program.run(x, record="counts"))


def stored_json(artifact: Artifact, name: str) -> Any:
    """A JSON member; None where the artifact has none of that name. Raises `ArtifactError`."""
    try:
        content = artifact.read(name)
    except ArtifactError:
        if name in artifact.manifest.get("checksums", {}):
            raise
        return None
    return parse_json(content, name)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
