"""From a spiking graph to the target's files, or every reason why the target cannot take it."""

from __future__ import annotations

from collections.abc import Sequence

from snnc.errors import UnsupportedError, UsageError
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline
from snnc.plugins import PASSES, Registry
from snnc.target import Backend, Diagnostic
from snnc.transform import PassContext


def lower(graph: Graph, backend: Backend, ctx: PassContext) -> dict[str, bytes]:
    """The target's files for a graph. Raises `UnsupportedError` listing every problem."""
    require_supported(graph, backend)
    legalize = backend.legalize(graph)
    if legalize:
        ctx.log.info("the target %s runs its own copy of the network: %s", backend.name, legalize)
    legal = Pipeline.from_text(legalize, Registry(PASSES)).run(graph, ctx).graph
    return backend.lower(legal, ctx)


def require_supported(graph: Graph, backend: Backend) -> None:
    """Raise `UsageError` for a graph that is not spiking, `UnsupportedError` for the target's."""
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"the pipeline ends with a graph of stage {graph.stage}; targets take snn",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    found = backend.check(graph)
    if found:
        raise unsupported(backend.name, found)


def unsupported(target: str, found: Sequence[Diagnostic]) -> UnsupportedError:
    """One error for all diagnostics."""
    if len(found) == 1:
        return UnsupportedError(f"target {target} cannot take this network: {found[0]}")
    listed = "".join(f"\n  {diagnostic}" for diagnostic in found)
    return UnsupportedError(
        f"target {target} cannot take this network, for {len(found)} reasons:{listed}"
    )
