"""Permutations of axes behind what acts on every element alone, and merged with each other."""

from __future__ import annotations

from dataclasses import replace

from snnc.ir import Add, Graph, Identity, Op, Permute, Ref, Relu, Scale


def sink_permutes(graph: Graph) -> None:
    """Move permutations behind activations and sums, and merge those that meet.

    relu(permute(x)) = permute(relu(x)). A linear layer at every position is a convolution between
    two permutations: with an activation between such layers, nothing is left between convolution,
    activation and convolution, so that the population has the channels of its layer. Permutations
    that nothing uses afterwards stay in the graph.
    """
    for name in graph.order():
        node = graph.node(name)
        if isinstance(node.op, Permute):
            _merge(graph, name, node.op)
        elif _acts_on_elements(node.op) and name not in graph.outputs:
            _sink(graph, name)


def channel_axis(graph: Graph, name: str) -> int:
    """The axis of a sample on which permutations have put its channels, the batch being axis 0.

    Activations and sums may lie between; the first term of a sum is followed.
    """
    moves: list[tuple[int, ...]] = []
    while True:
        op = graph.node(name).op
        if isinstance(op, Permute):
            moves.append(op.axes)
        elif not _acts_on_elements(op):
            break
        name = graph.inputs_of(name)[0]
    axis = 0
    for axes in reversed(moves):
        axis = axes.index(axis)
    return axis + 1


def _acts_on_elements(op: Op) -> bool:
    """Whether an op computes every element alone, each in the same way."""
    if isinstance(op, Relu):
        return not isinstance(op.upper, Ref)
    if isinstance(op, Scale):
        return op.bias is None and not isinstance(op.factor, Ref)
    return isinstance(op, Add | Identity)


def _sink(graph: Graph, name: str) -> None:
    """Move the permutations of all inputs of a node behind it, if they are the same one."""
    sources = [graph.node(source) for source in graph.inputs_of(name)]
    moves = {source.op for source in sources if isinstance(source.op, Permute)}
    if len(moves) != 1 or not all(source.op in moves for source in sources):
        return
    for port, source in enumerate(sources):
        graph.set_input(name, port, *graph.inputs_of(source.name))
    graph.insert_after(name, graph.fresh(f"{name}.transpose"), *moves)


def _merge(graph: Graph, name: str, op: Permute) -> None:
    """Merge a permutation with one in front of it; remove it if together they move nothing."""
    (source,) = graph.inputs_of(name)
    before = graph.node(source)
    if isinstance(before.op, Permute):
        op = replace(op, axes=tuple(before.op.axes[axis] for axis in op.axes))
        graph.set_input(name, 0, *graph.inputs_of(source))
        graph.replace_op(name, op)
    if op.axes == tuple(range(len(op.axes))):
        graph.bypass(name)
