"""Soft reset as NIR can write it: an integrator, a threshold, and a `Scale` back.

    x -> I -> Threshold -> ...        v[t] = v[t-1] + gain * (x[t] + scale * s[t-1])
         ^- Scale <-'                 s[t] = v[t] > threshold

With gain * scale = -threshold every spike takes the threshold away, one step later, which is the
same as taking it away at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import nir

from snnc.frontends.nir.reading import NirModel


@dataclass(frozen=True)
class SoftReset:
    """A threshold with its integrator and the scale that takes spikes back to it."""

    integrator: Any
    threshold: Any
    feedback: Any


def without_feedback(model: NirModel) -> tuple[NirModel, Mapping[str, SoftReset]]:
    """The model without its integrators and feedback, and what each of its thresholds became."""
    found: dict[str, SoftReset] = {}
    edges = list(model.edges)
    nodes = dict(model.nodes)
    for name, node in model.nodes.items():
        triple = _triple(model, name) if isinstance(node, nir.Threshold) else None
        if triple is None:
            continue
        integrator, feedback = triple
        found[name] = SoftReset(nodes.pop(integrator), node, nodes.pop(feedback))
        own = {(integrator, name), (name, feedback), (feedback, integrator)}
        edges = [
            (source, name if target == integrator else target)
            for source, target in edges
            if (source, target) not in own
        ]
    return replace(model, nodes=nodes, edges=edges), found


def _triple(model: NirModel, threshold: str) -> tuple[str, str] | None:
    """(integrator, feedback) of a threshold that has them."""
    before = [a for a, b in model.edges if b == threshold]
    if len(before) != 1 or not isinstance(model.nodes[before[0]], nir.I):
        return None
    (integrator,) = before
    returning = {a for a, b in model.edges if b == integrator}
    users = [b for a, b in model.edges if a == threshold and b in returning]
    back = [name for name in users if isinstance(model.nodes[name], nir.Scale)]
    if len(back) != 1 or sum(a == integrator for a, _ in model.edges) != 1:
        return None
    alone = sum(back[0] in edge for edge in model.edges) == 2
    return (integrator, back[0]) if alone else None


def loops(model: NirModel) -> list[set[str]]:
    """The names of the nodes of every loop."""
    graph: nx.DiGraph[str] = nx.DiGraph(model.edges)
    found = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    found += [{name} for name in graph if graph.has_edge(name, name)]
    return sorted(found, key=min)
