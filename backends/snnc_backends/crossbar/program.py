"""Running a network on the chip."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc.target import Artifact, Record, RunResult, checked_window, stored_window
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.lower import stored_graph

if TYPE_CHECKING:
    from snnc_backends.crossbar.ideal import IdealProgram
    from snnc_backends.crossbar.physical import PhysicalProgram


class CrossbarProgram:
    """A network on a chip.

    An ideal one is run by the kernels of the CPU backend. Cells that are not ideal, and what these
    kernels refuse (convolutions of three dimensions, integers beyond 32 bits, a window in which a
    potential could overflow), are computed column by column. Either is prepared when it is first
    needed.

    Args:
        graph: the network, of integers.
        threads: samples of an ideal chip computed in parallel; 0 for one per processor core.

    Attributes:
        timesteps: the artifact's window.
    """

    def __init__(self, graph: Graph, timesteps: int, chip: Chip, threads: int = 0) -> None:
        self.timesteps = timesteps
        self._graph = graph
        self._chip = chip
        self._threads = threads

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
        ideal = self._ideal
        program = ideal if ideal is not None and steps <= ideal.longest else self._physical
        return program.run(
            x,
            timesteps=timesteps,
            record=record,
            sample_ids=sample_ids,
            seed=seed,
            prefixes=prefixes,
        )

    @cached_property
    def _ideal(self) -> IdealProgram | None:
        from snnc_backends.crossbar.ideal import IdealProgram, can_run

        if not self._chip.device.facts.ideal or not can_run(self._graph):
            return None
        return IdealProgram(self._graph, self.timesteps, self._chip, self._threads)

    @cached_property
    def _physical(self) -> PhysicalProgram:
        from snnc_backends.crossbar.matrices import matrices
        from snnc_backends.crossbar.physical import PhysicalProgram

        return PhysicalProgram(self._graph, matrices(self._graph), self.timesteps, self._chip)


def load(artifact: Artifact, chip: Chip, threads: int = 0) -> CrossbarProgram:
    """The program of an artifact. Raises `ArtifactError`."""
    graph = stored_graph(artifact)
    return CrossbarProgram(graph, stored_window(graph), chip, threads)
