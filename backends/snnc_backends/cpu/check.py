"""The nodes of a graph that the CPU backend cannot run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnc.errors import Loc
from snnc.ir import AnyNeuron, Conv, Graph, Maximum, Node, Readout, SumPool, problems
from snnc.ir.integer_bounds import magnitudes
from snnc.target import Diagnostic
from snnc_backends.cpu.exactness import exactness
from snnc_backends.cpu.number_types import LARGEST


def check(graph: Graph) -> list[Diagnostic]:
    """Every problem of this graph, with the line of the model, the reason and the remedy."""
    broken = problems(graph)
    if not broken and not any(isinstance(graph.node(n).op, Readout) for n in graph.outputs):
        broken = ["the graph has no readout"]
    if broken:
        remedy = "give a graph that a pipeline has taken to stage snn"
        return [Diagnostic("graph", "graph", Loc(), reason, remedy) for reason in broken]
    bounds = magnitudes(graph)
    return [
        Diagnostic(node.op.mnemonic, node.name, node.loc, reason, remedy)
        for node in graph.nodes
        for reason, remedy in _problems(graph, node, bounds.get(node.name, 0))
    ]


def inexact(graph: Graph) -> list[Diagnostic]:
    """The first node whose spikes are not proved to be those of the reference, if there is one."""
    found, window = exactness(graph), graph.meta.get("timesteps", 1)
    remedy = "quantize (convert{bits=8}) makes integers, which are exact; or leave out mode=exact"
    if found.node is not None:
        op, name, loc = found.node.op.mnemonic, found.node.name, found.node.loc
        return [Diagnostic(op, name, loc, f"mode=exact: it {found.reason}", remedy)]
    if found.window >= window:
        return []
    reason = f"mode=exact: float32 holds its real potentials for at most {found.window} steps"
    return [Diagnostic("graph", "graph", Loc(), reason, remedy)]


def _problems(graph: Graph, node: Node, bound: int) -> Iterator[tuple[str, str]]:
    op = node.op
    kinds = [graph.type_of(source) for source in graph.inputs_of(node.name)]
    if graph.type_of(node.name).size > LARGEST:
        yield f"a tensor of more than {LARGEST} elements", "use a smaller input"
    if isinstance(op, Conv) and len(op.stride) > 2:
        yield f"a {len(op.stride)}-d convolution", "use one of one or two dimensions"
    if isinstance(op, SumPool | Maximum) and len(op.windows) > 2:
        yield f"a {len(op.windows)}-d pooling", "use one of one or two dimensions"
    if bound > LARGEST:
        yield f"sums of up to {bound} do not fit 32 bits", "quantize to fewer bits"
    if isinstance(op, AnyNeuron) and kinds[0].quantized:
        units = np.asarray(graph.array(op.leak), np.float64) * 2.0**15
        if np.any(units != np.rint(units)):
            yield "a leak that is no multiple of 2^-15", "let quantize round it"
        parameters = (graph.array(op.threshold), graph.array(op.v_init))
        if max(float(np.abs(p.astype(np.float64)).max()) for p in parameters) > LARGEST:
            yield "a threshold or v_init beyond 32 bits", "quantize to fewer bits"
