"""A target's own copy of a graph: rewritten for it, and still the same function."""

from __future__ import annotations

from typing import NamedTuple

from snnc.errors import PluginError
from snnc.ir import Graph
from snnc.pipeline.manager import Pipeline, Same
from snnc.plugins import PASSES, Registry
from snnc.target import Backend
from snnc.transform import PassContext


class Legalized(NamedTuple):
    """The copy of a graph that a target lowers, and the text of the passes that made it."""

    graph: Graph
    pipeline: str


def legalized(
    graph: Graph, backend: Backend, ctx: PassContext, same: Same | None = None
) -> Legalized:
    """What `backend.legalize` makes of a graph, which is left as it is.

    Args:
        same: compares the graphs before and after a pass; None for no comparison.

    Raises:
        PluginError: it names a pass that does not declare that it preserves the function.
        SnncError: of a pass that failed, or that computes something else.
    """
    text = backend.legalize(graph)
    pipeline = Pipeline.from_text(text, Registry(PASSES))
    for each in pipeline.passes:
        if not each.preserves_function:
            raise PluginError(
                f"the target {backend.name} legalises with {each.name}, "
                "which does not declare that it preserves the function",
                hint="a target that runs integers only names the passes that make them "
                "in `quantizer`; anything else belongs into --passes",
            )
    return Legalized(pipeline.run(graph, ctx, same=same).graph, text)
