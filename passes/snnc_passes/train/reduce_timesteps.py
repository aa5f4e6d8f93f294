"""`reduce-timesteps`: train for ever shorter windows, one step less at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.transform import PassContext, PassResult
from snnc_passes._real_values import refuse_integers
from snnc_passes._window import longest_wait, with_window
from snnc_passes.train._options import TrainingPass
from snnc_passes.train._session import Session, Trained, refuse_late


@dataclass(frozen=True, kw_only=True)
class ReduceTimesteps(TrainingPass):
    """Train at T = start, start - 1, …, stop, each network initialised with the one before.

    If a network for one or two steps is trained directly from its ANN, spikes vanish in deep
    layers; initialised with the network of T + 1 it keeps them (iterative initialisation and
    retraining: Chowdhury, Rathi & Roy, "One Timestep is All You Need: Training Spiking Neural
    Networks with Ultra Low Latency", 2021). Weights, thresholds and leaks are inherited unchanged;
    every stage has a new optimiser, `epochs` and schedule of its own, and its own choice of an
    epoch by validation. Otherwise as `learn`. There is one checkpoint per stage, and a stage that
    is finished is not trained again.

    Attributes:
        start: the largest T.
        stop: the smallest T, which becomes the window; none for the window of the compilation.

    Metrics: those of `learn`; `chosen`, the epoch kept, by T.
    """

    name: ClassVar[str] = "reduce-timesteps"
    start: int = 5
    stop: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start < 1:
            raise ValueError(f"start={self.start} is not positive")
        if self.stop is not None and not 1 <= self.stop <= self.start:
            raise ValueError(f"stop={self.stop} is not from 1 to start={self.start}")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Train. Raises `PassError` if window, data, network or checkpoint do not fit."""
        refuse_integers(graph, self.name)
        stop = ctx.timesteps if self.stop is None else self.stop
        if stop > self.start:
            raise PassError(
                f"start={self.start} is below the window T={stop}, where it should end",
                hint=f"-T {self.start} or less, or stop={self.start}",
            )
        refuse_late(graph, stop)
        session = Session(self, ctx)
        stages: list[Trained] = []
        for timesteps in range(self.start, stop - 1, -1):
            shorter = with_window(graph, timesteps, min(longest_wait(graph), timesteps))
            stages.append(session.stage(shorter, timesteps))
            graph = stages[-1].graph
        chosen = {str(stage.graph.meta["timesteps"]): stage.chosen for stage in stages}
        metrics = {"chosen": chosen, **session.metrics(graph, stages)}
        return PassResult(graph, metrics=metrics)
