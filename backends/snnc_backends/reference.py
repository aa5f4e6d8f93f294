"""The backend `reference`: the stored graph itself, run by the interpreter in float64.

It defines what is right: other backends are judged by its spikes, counts and readouts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.errors import Loc
from snnc.interp.program import ReferenceProgram
from snnc.ir import Graph, Readout, problems
from snnc.target import Artifact, Diagnostic, stored_window
from snnc.transform import PassContext


@dataclass(frozen=True)
class ReferenceBackend:
    """Runs every `snn` graph; the measure of all other backends. No options."""

    name: ClassVar[str] = "reference"

    def check(self, graph: Graph) -> list[Diagnostic]:
        """Broken rules of the graph; every sound `snn` graph can be run."""
        remedy = "give a graph that a pipeline has taken to stage snn"
        found = problems(graph)
        if not found and not any(isinstance(graph.node(n).op, Readout) for n in graph.outputs):
            found = ["the graph has no readout"]
        return [Diagnostic("graph", "graph", Loc(), reason, remedy) for reason in found]

    def legalize(self, graph: Graph) -> str:
        """Nothing: what is run is the stored graph."""
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """No files: the stored graph is enough."""
        return {}

    def load(self, artifact: Artifact) -> ReferenceProgram:
        """A program over the stored graph. Raises `ArtifactError` if it has no window."""
        graph = artifact.graph()
        return ReferenceProgram(graph, stored_window(graph))
