"""What one event of a node stands for while the encoder of the input gets its integers."""

from __future__ import annotations

from collections.abc import Mapping

from snnc.errors import GraphError
from snnc.ir import Graph
from snnc.ir.populations import makes_events
from snnc.ir.walk import ancestors


def event_value(graph: Graph, name: str, units: Mapping[str, float]) -> float:
    """The unit of the encoder that the events of `name` come from, else 1.

    Args:
        units: the value of a count of every encoder whose real values have just become counts.

    Raises:
        GraphError: the encoded input is joined with spikes.
    """
    node = graph.node(name)
    makers = (name,) if makes_events(node) else ancestors(graph, name, until=makes_events)
    values = {units.get(maker, 1.0) for maker in makers if makes_events(graph.node(maker))}
    if len(values) > 1:
        raise GraphError(f"{name} at {node.loc} joins the encoded input with spikes")
    return values.pop()
