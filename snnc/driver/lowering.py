"""From a spiking graph to the target's files, or every reason why the target cannot take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc.driver.programs import require_one_output
from snnc.errors import UnsupportedError, UsageError
from snnc.ir import Graph, Stage
from snnc.pipeline import legalized
from snnc.pipeline.manager import Same
from snnc.target import Backend, Diagnostic
from snnc.transform import PassContext


@dataclass(frozen=True)
class Lowered:
    """What a target makes of a graph.

    Attributes:
        files: its members of the artifact, by name.
        legalize: the passes that made its copy of the graph, the same function; "" for none.
    """

    files: Mapping[str, bytes]
    legalize: str


def lower(graph: Graph, backend: Backend, ctx: PassContext, same: Same | None = None) -> Lowered:
    """Lower a copy of a graph.

    Args:
        same: compares what the target's own passes give with the graph before; None for no check.

    Raises:
        UnsupportedError: listing every problem.
        PluginError: the target's own passes need not preserve the function.
    """
    require_supported(graph, backend)
    legal = legalized(graph, backend, ctx, same)
    if legal.pipeline:
        ctx.log.info(
            "the target %s runs its own copy of the network: %s", backend.name, legal.pipeline
        )
    return Lowered(backend.lower(legal.graph, ctx), legal.pipeline)


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
    count = "" if len(diagnostics) == 1 else f", for {len(diagnostics)} reasons"
    return UnsupportedError.listing(
        f"target {target} cannot take this network{count}:", diagnostics
    )
