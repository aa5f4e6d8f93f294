"""Max pools of an `ann` graph: which can become maxima of counts, and their order with others."""

from __future__ import annotations

from collections.abc import Mapping

from snnc.errors import Diagnostic, UnsupportedError
from snnc.ir import (
    Graph,
    Identity,
    Input,
    MaxPool,
    Node,
    Op,
    Pool,
    Rearrange,
    Relu,
    Scale,
    Windows,
)
from snnc.ir.walk import ancestors, descendants, used_once
from snnc_passes._analog import before_encode

AVERAGE = "use average pooling"
REFUSED = (
    "use average pooling, in the model or by --recipe 'convert{maxpool=average}', and train: the "
    "model again, or the spiking network by the recipes hybrid, diet and iir (pass learn)"
)


def max_pools_to_count(graph: Graph, *, refuse: bool) -> Mapping[str, Windows]:
    """The windows of every max pool of activations, by node.

    Args:
        graph: of stage `ann`, behind `lower-maxpool`.
        refuse: refuse all of them.

    Raises:
        UnsupportedError: listing every one that cannot be a maximum of counts, with the reason.
    """
    pools = pools_of_activations(graph)
    problems = [
        Diagnostic(node.op.mnemonic, node.name, node.loc, *why)
        for node in pools
        if (why := ("pools activations", AVERAGE) if refuse else _why_not(graph, node))
    ]
    if problems:
        what = "are refused" if refuse else "cannot be maxima of spike counts"
        raise UnsupportedError.listing(f"max pools {what}:", problems, hint=REFUSED)
    return {n.name: n.op.windows for n in pools if isinstance(n.op, MaxPool)}


def pools_of_activations(graph: Graph) -> list[Node]:
    """The max pools of an `ann` graph but those of the input alone, in graph order."""
    analog = before_encode(graph)
    return [n for n in graph.nodes if isinstance(n.op, MaxPool) and n.name not in analog]


def _why_not(graph: Graph, pool: Node) -> tuple[str, str] | None:
    """Why a max pool cannot be a maximum of counts, and what to do; None if it can."""
    makers = makers_of(graph, pool.inputs[0])
    if all(isinstance(graph.node(name).op, Input) for name in makers):
        return None
    others = [name for name in makers if not isinstance(graph.node(name).op, Relu | Identity)]
    if not others:
        return None
    return f"pools {others[0]}, which is no activation", "put lower-maxpool before"


def fires(graph: Graph, name: str) -> bool:
    """Whether the values of a node are those of activations, pooled and rearranged at most."""
    return all(
        isinstance(graph.node(maker).op, Relu | Identity) for maker in makers_of(graph, name)
    )


def feeds(graph: Graph, name: str, takers: tuple[type[Op], ...]) -> bool:
    """Whether one of `takers` uses a node, behind factors, pools and rearrangements at most."""

    def ends(node: Node) -> bool:
        return isinstance(node.op, takers) or not (_moves(node) or isinstance(node.op, Scale))

    behind = descendants(graph, name, until=ends)
    return any(isinstance(graph.node(each).op, takers) for each in behind)


def makers_of(graph: Graph, name: str) -> tuple[str, ...]:
    """The nodes whose values `name` holds, behind pools and rearrangements."""
    if not _moves(graph.node(name)):
        return (name,)
    found = ancestors(graph, name, until=lambda node: not _moves(node))
    return tuple(n for n in found if not _moves(graph.node(n)))


def _moves(node: Node) -> bool:
    return isinstance(node.op, Pool | Rearrange)


def only_user(graph: Graph, name: str) -> str | None:
    """The single user of a node, if it is no output."""
    if not used_once(graph, name):
        return None
    ((user, _),) = graph.users_of(name)
    return user


def exchange(graph: Graph, first: str, second: str) -> None:
    """Put `second`, an op of one input and the only user of `first`, before `first`."""
    (source,) = graph.inputs_of(first)
    for user, port in graph.users_of(second):
        graph.set_input(user, port, first)
    graph.outputs = tuple(first if name == second else name for name in graph.outputs)
    graph.set_input(second, 0, source)
    graph.set_input(first, 0, second)
