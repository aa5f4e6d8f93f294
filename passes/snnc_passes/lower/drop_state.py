"""`drop-state`: one time step needs neither leak nor reset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron, Node, Ref
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._affine import combine, own_param
from snnc_passes._real_values import refuse_integers


@dataclass(frozen=True, kw_only=True)
class DropState(Pass):
    """At T = 1, take from populations what has no effect within one step.

    The potential of the only step is leak * v_init + I, and nothing comes after it: the leak goes
    into v_init and becomes 1, the reset becomes a subtraction, and no spike can be negative. With
    v_init 0 the network is the feed-forward one with binary activations I > threshold, bit for bit
    (Chowdhury, Rathi & Roy, "Towards Ultra Low Latency Spiking Neural Networks for Vision and
    Sequential Tasks Using Temporal Pruning", 2022). Populations that wait, or fire on the potential
    of the step before, stay as they are; for T above 1 all do.

    Metrics: `dropped`, the populations that changed.
    """

    name: ClassVar[str] = "drop-state"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Simplify. Raises `PassError` for a graph of integers."""
        if ctx.timesteps > 1:
            return PassResult(graph, metrics={"dropped": 0})
        refuse_integers(graph, self.name)
        dropped = 0
        for node in graph.nodes:
            if isinstance(node.op, Neuron) and _drop(graph, node, node.op):
                dropped += 1
        graph.prune_params()
        return PassResult(graph, metrics={"dropped": dropped})


def _drop(graph: Graph, node: Node, op: Neuron) -> bool:
    """Simplify one population; whether it changed."""
    if op.order != "integrate-fire" or op.wait:
        return False
    simple = replace(op, leak=1.0, reset="subtract", signed=False)
    leak, start = (np.asarray(graph.array(v), np.float32) for v in (op.leak, op.v_init))
    if np.any(start) and np.any(leak != 1):
        simple = replace(simple, v_init=_product(graph, node, leak, start))
    if simple == op:
        return False
    graph.replace_op(node.name, simple)
    return True


def _product(graph: Graph, node: Node, leak: np.ndarray, start: np.ndarray) -> Ref | float:
    """leak * v_init as a network in float32 computes it."""
    found = combine(np.multiply, leak, start, graph.type_of(node.name).shape)
    value = np.asarray(found, np.float32)
    if value.ndim == 0:
        return float(value)
    return own_param(graph, node.name, "v_init", value)
