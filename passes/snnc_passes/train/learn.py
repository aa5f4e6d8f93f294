"""`learn`: train weights, thresholds and leaks of a spiking network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.ir import Graph
from snnc.transform import PassContext, PassResult
from snnc_passes._real_values import refuse_integers
from snnc_passes.train._options import TrainingPass
from snnc_passes.train._session import Session


@dataclass(frozen=True, kw_only=True)
class Learn(TrainingPass):
    """Train the network for the window T by backpropagation through time.

    Weights, biases, thresholds and leaks learn together, by surrogate gradients (Rathi & Roy,
    "DIET-SNN: Direct Input Encoding With Leakage and Threshold Optimization in Deep Spiking Neural
    Networks", 2020); with threshold=false leak=false surrogate=stdb it is spike-timing dependent
    backpropagation (Rathi et al., "Enabling Deep Spiking Neural Networks with Hybrid Conversion and
    Spike Timing Dependent Backpropagation", 2020). After every step thresholds are clamped above
    zero and leaks to 0..1. The loss is computed from the readout, a mean over the window, so its
    scale does not depend on T.

    Validation data choose the epoch that is kept, by accuracy if they have labels; the untrained
    network is a candidate too. Without validation data the last epoch is kept. All random numbers
    come from the seed. With a working directory the state is saved after every epoch, every minute
    and at Ctrl-C; a run that was interrupted and resumed has the same result bit for bit on a CPU.

    Metrics: `epochs`, a row for each: loss, validation, spikes per neuron in the window, seconds;
    `chosen`, the epoch kept, 0 for the network before training; `thresholds` and `leaks`, per
    population the smallest, mean and largest; `seconds_per_epoch`, `precision`, `timesteps`.
    """

    name: ClassVar[str] = "learn"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Train. Raises `PassError` if data, network or checkpoint do not fit."""
        refuse_integers(graph, self.name)
        session = Session(self, ctx)
        trained = session.stage(graph, ctx.timesteps)
        metrics = {"chosen": trained.chosen, **session.metrics(trained.graph, [trained])}
        return PassResult(trained.graph, metrics=metrics)
