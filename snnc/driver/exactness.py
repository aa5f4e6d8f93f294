"""Whether the spikes of a target are those of the reference: `exact`, or `faithful` to it."""

from __future__ import annotations

from snnc.errors import PluginError, UsageError
from snnc.exactness import TellsExactness
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry


def exactness_of(target: str | None, graph: Graph) -> dict[str, str] | None:
    """`mode`, exact or faithful, and the `reason` of the latter.

    None for a target that does not tell, is not installed, or is not named.
    """
    if target is None:
        return None
    try:
        backend = parse_one(target, Registry(BACKENDS))
    except (UsageError, PluginError):
        return None
    if not isinstance(backend, TellsExactness):
        return None
    reason = backend.may_differ(graph)
    return {"mode": "faithful" if reason else "exact", "reason": reason}
