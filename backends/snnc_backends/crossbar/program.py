"""Running a network on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc.jsontext import parse_json
from snnc.target import Artifact, Record, RunResult, checked_window, stored_window
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.files import MAPPING
from snnc_backends.crossbar.lower import stored_graph

if TYPE_CHECKING:
    from snnc_backends.crossbar.mapping.placed_parts import PartsOfLayers
    from snnc_backends.crossbar.reading.ideal import IdealProgram
    from snnc_backends.crossbar.reading.physical import PhysicalProgram
    from snnc_backends.crossbar.reading.tile_program import TileProgram


class CrossbarProgram:
    """A network on a chip.

    It is run by the kernels of the CPU backend: of an ideal chip for the weights, too; of another
    one with a kernel that reads tiles. What these kernels refuse (convolutions of three dimensions,
    integers beyond 32 bits, a window in which a potential could overflow) is computed by an
    interpreter. Either is prepared when it is first needed.

    Args:
        graph: the network, of integers.
        ranges: of the converters of every layer; see `programmed.programmed`.
        threads: samples computed in parallel; 0 for one per processor core.
        parts: where the cells of every layer lie; None to lay them out as `compile` does. Only read
            where `Chip.places_matter`.

    Attributes:
        timesteps: the artifact's window.
    """

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        chip: Chip,
        ranges: Mapping[str, NDArray[Any]] | None = None,
        threads: int = 0,
        parts: PartsOfLayers | None = None,
    ) -> None:
        self.timesteps = timesteps
        self._graph = graph
        self._chip = chip
        self._ranges = ranges or {}
        self._threads = threads
        self._parts = parts

    def run(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        record: Record = "none",
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: tuple[int, ...] = (),
    ) -> RunResult:
        """Run a batch (N, *shape); see `snnc.target.Program`. Raises `DataError`.

        `stats["activity"]` has per layer the fields of `activity.Activity`.
        """
        steps = checked_window(timesteps, self.timesteps, record, prefixes)
        compiled = self._compiled
        fits = compiled is not None and steps <= compiled.longest
        program = compiled if compiled is not None and fits else self._interpreted
        return program.run(
            x,
            timesteps=timesteps,
            record=record,
            sample_ids=sample_ids,
            seed=seed,
            prefixes=prefixes,
        )

    @cached_property
    def _compiled(self) -> IdealProgram | TileProgram | None:
        from snnc_backends.crossbar.reading.ideal import IdealProgram, can_run
        from snnc_backends.crossbar.reading.tile_program import TileProgram

        if not can_run(self._graph):
            return None
        if self._chip.exact:
            return IdealProgram(self._graph, self.timesteps, self._chip, self._threads)
        return TileProgram(
            self._graph, self.timesteps, self._chip, self._ranges, self._threads, self._parts
        )

    @cached_property
    def _interpreted(self) -> PhysicalProgram:
        from snnc_backends.crossbar.mapping.matrices import placed_matrices
        from snnc_backends.crossbar.reading.physical import PhysicalProgram

        layers = placed_matrices(self._graph, self._chip)
        return PhysicalProgram(
            self._graph, layers, self.timesteps, self._chip, self._ranges, parts=self._parts
        )


def load(artifact: Artifact, chip: Chip, threads: int = 0) -> CrossbarProgram:
    """The program of an artifact. Raises `ArtifactError`."""
    graph = stored_graph(artifact)
    ranges = None
    if chip.converter.bits is not None:
        from snnc_backends.crossbar.mapping.matrices import placed_matrices
        from snnc_backends.crossbar.reading.ranges import stored_ranges

        ranges = stored_ranges(artifact, placed_matrices(graph, chip), chip)
    parts = None
    if chip.places_matter:
        from snnc_backends.crossbar.mapping.placed_parts import checked_parts

        parts = checked_parts(parse_json(artifact.read(MAPPING), MAPPING), graph, chip)
    return CrossbarProgram(graph, stored_window(graph), chip, ranges, threads, parts)
