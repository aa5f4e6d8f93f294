"""The amounts that events of one window of a max pool stand for, element by element (S25)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snnc.errors import PassError
from snnc.ir import AnyNeuron, Encode, Graph, Maximum, Node, Pool, Rearrange
from snnc.ir.populations import integrates
from snnc.ir.walk import ancestors
from snnc_passes._affine import Floats, full, leads_to, window_extremes


def refuse_unequal(graph: Graph, amounts: Mapping[str, Floats]) -> None:
    """Raise `PassError` naming every max pool that would compare unequal amounts per event.

    Args:
        graph: an `snn` graph, without scales between populations and max pools.
        amounts: per population, what one of its events stands for, (), (C,) or of the sample's
            shape; 1 for those that are not listed, and for encoders.
    """
    known: dict[str, Floats] = {}
    problems: list[str] = []
    for node in graph.nodes:
        shape = graph.type_of(node.name).shape
        if integrates(node.op) or isinstance(node.op, Encode):
            known[node.name] = full(np.asarray(amounts.get(node.name, 1.0), np.float64), shape)
        elif all(source in known for source in node.inputs) and node.inputs:
            moved, equal = _through(node, [known[source] for source in node.inputs])
            if moved is not None:
                known[node.name] = moved
            if not equal and leads_to(graph, node.name, (Maximum,)):
                problems.append(f"{node.name} at {node.loc} pools {_populations(graph, node)}")
    if problems:
        raise PassError(
            "spikes of unequal value in one window of a max pool cannot be compared by their "
            "counts:\n  " + "\n  ".join(problems),
            hint="pool before elements are rearranged, or give these neurons one threshold: "
            "threshold-balance{granularity=layer}, without calibrate",
        )


def refuse_mixed_channels(graph: Graph) -> None:
    """`refuse_unequal` for populations each of whose channels has an amount of its own."""
    amounts: dict[str, Floats] = {}
    channels = 0
    for node in graph.nodes:
        if isinstance(node.op, AnyNeuron):
            own = graph.type_of(node.name).shape[0]
            amounts[node.name] = np.arange(channels, channels + own, dtype=np.float64)
            channels += own
    refuse_unequal(graph, amounts)


def _through(node: Node, amounts: Sequence[Floats]) -> tuple[Floats | None, bool]:
    """Amounts of the result of an op, NaN for inserted zeros; whether every window has one."""
    if isinstance(node.op, Rearrange):
        return node.op.move(amounts, np.nan), True
    if not isinstance(node.op, Pool):
        return None, True
    (values,) = amounts
    silent = np.isnan(values)
    low, _ = window_extremes(node.op, np.where(silent, np.inf, values))
    _, high = window_extremes(node.op, np.where(silent, -np.inf, values))
    return np.where(np.isfinite(high), high, np.nan), bool(np.all((low == high) | (low == np.inf)))


def _populations(graph: Graph, node: Node) -> str:
    """The populations before a pool, in words."""
    found = ancestors(graph, node.name, until=lambda n: not isinstance(n.op, Pool | Rearrange))
    makers = [n for n in found if not isinstance(graph.node(n).op, Pool | Rearrange)]
    return " and ".join(makers)
