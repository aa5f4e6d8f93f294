"""`set-leak`: the leak of every population."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snnc.ir import AnyNeuron, Graph
from snnc.ir.neuron import LEAK_UNIT
from snnc.transform import Pass, PassContext, PassResult


@dataclass(frozen=True, kw_only=True)
class SetLeak(Pass):
    """Give all neurons the leak, u <- leak * u + I at every step (docs/semantics.md, S9).

    Thresholds stay, so that fewer neurons fire: train afterwards, or before, to compare a network
    made for its leak with one whose leak was changed. In a network of integers the leak is rounded
    to the nearest m / 2^15; its potentials only become smaller, and the proof that they fit holds.

    Sharmin, Rathi, Panda & Roy, "Inherent Adversarial Robustness of Deep Spiking Neural Networks:
    Effects of Discrete Input Encoding and Non-Linear Activations", 2020, section 5, is about the
    leak as a defence; `snnc attack` measures whether it is one.

    Attributes:
        leak: the factor of the potential per step, in [0, 1]; 1 is no leak, 0.99 that of the paper.

    Metrics: `populations`.
    """

    name = "set-leak"
    leak: float = 0.99

    def __post_init__(self) -> None:
        if not 0 <= self.leak <= 1:
            raise ValueError(f"leak={self.leak} is not in [0, 1]")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Set the leak; see `Pass.run`."""
        leak = round(self.leak * LEAK_UNIT) / LEAK_UNIT if graph.quantized else self.leak
        populations = [(n.name, n.op) for n in graph.nodes if isinstance(n.op, AnyNeuron)]
        for name, op in populations:
            graph.replace_op(name, replace(op, leak=leak))
        graph.prune_params()
        return PassResult(graph, metrics={"populations": len(populations)})
