"""From a spiking graph to the target's files, or every reason why the target cannot take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc.driver.models import require_one_output
from snnc.errors import UnsupportedError, UsageError
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline
from snnc.plugins import PASSES, Registry
from snnc.target import Backend, Diagnostic
from snnc.transform import PassContext


@dataclass(frozen=True)
class Lowered:
    """What a target makes of a graph.

    Attributes:
        files: its members of the artifact, by name.
        legalize: the pipeline that made its copy of the graph; "" for none.
    """

    files: Mapping[str, bytes]
    legalize: str


def lower(graph: Graph, backend: Backend, ctx: PassContext) -> Lowered:
    """Lower a copy of a graph. Raises `UnsupportedError` listing every problem."""
    require_supported(graph, backend)
    legalize = backend.legalize(graph)
    if legalize:
        ctx.log.info("the target %s runs its own copy of the network: %s", backend.name, legalize)
    legal = Pipeline.from_text(legalize, Registry(PASSES)).run(graph, ctx).graph
    return Lowered(backend.lower(legal, ctx), legalize)


def require_supported(graph: Graph, backend: Backend) -> None:
    """Raise `UsageError` for a graph that is not spiking, `UnsupportedError` for the target's."""
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"the pipeline ends with a graph of stage {graph.stage}; targets take snn",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    require_one_output(graph)
    diagnostics = backend.check(graph)
    if diagnostics:
        raise unsupported(backend.name, diagnostics)


def unsupported(target: str, diagnostics: Sequence[Diagnostic]) -> UnsupportedError:
    """One error for all diagnostics."""
    if len(diagnostics) == 1:
        return UnsupportedError(f"target {target} cannot take this network: {diagnostics[0]}")
    listed = "".join(f"\n  {diagnostic}" for diagnostic in diagnostics)
    return UnsupportedError(
        f"target {target} cannot take this network, for {len(diagnostics)} reasons:{listed}"
    )
