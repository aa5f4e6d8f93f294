"""`drop-state`: at one time step, remove leak and reset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import AnyNeuron, Graph, Neuron, Node, Ref
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._real_values import refuse_integers
from snnc_passes._scales.affine import combine, own_param


@dataclass(frozen=True, kw_only=True)
class DropState(Pass):
    """At T = 1, remove from populations what has no effect within one step.

    The potential of the only step is leak * v_init + I: the leak is multiplied into v_init and set
    to 1, the reset is set to subtraction, and `signed` to false. With v_init 0 the network equals,
    bit for bit, the feed-forward network of binary activations I > threshold
    (Chowdhury, Rathi & Roy, "Towards Ultra Low Latency Spiking Neural Networks for Vision and
    Sequential Tasks Using Temporal Pruning", 2022). Populations that wait, or fire on the potential
    of the step before, are not changed; for T above 1, none is.

    Metrics: `dropped`, the populations that changed.
    """

    name: ClassVar[str] = "drop-state"
    preserves_function: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Simplify. Raises `PassError` for a graph of integers."""
        if ctx.timesteps > 1:
            return PassResult(graph, metrics={"dropped": 0})
        refuse_integers(graph, self.name)
        dropped = 0
        for node in graph.nodes:
            if isinstance(node.op, AnyNeuron) and _drop(graph, node, node.op):
                dropped += 1
        graph.prune_params()
        return PassResult(graph, metrics={"dropped": dropped})


def _drop(graph: Graph, node: Node, op: AnyNeuron) -> bool:
    """Simplify one population; returns whether it changed."""
    if op.order != "integrate-fire" or op.wait:
        return False
    simple = replace(op, leak=1.0)
    if isinstance(simple, Neuron):
        simple = replace(simple, reset="subtract", signed=False)
    leak, start = (np.asarray(graph.array(v), np.float32) for v in (op.leak, op.v_init))
    if np.any(start) and np.any(leak != 1):
        simple = replace(simple, v_init=_product(graph, node, leak, start))
    if simple == op:
        return False
    graph.replace_op(node.name, simple)
    return True


def _product(graph: Graph, node: Node, leak: np.ndarray, start: np.ndarray) -> Ref | float:
    """leak * v_init, as computed in float32."""
    product = combine(np.multiply, leak, start, graph.type_of(node.name).shape)
    value = np.asarray(product, np.float32)
    if value.ndim == 0:
        return float(value)
    return own_param(graph, node.name, "v_init", value)
