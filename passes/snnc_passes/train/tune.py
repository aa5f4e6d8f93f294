"""`tune`: adjust a converted network as a whole to its ANN, on the calibration data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from snnc.ir import Graph
from snnc.transform import PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._real_values import refuse_integers
from snnc_passes.train._options import Loss, Schedule, TrainingPass
from snnc_passes.train._session import Session


@dataclass(frozen=True, kw_only=True)
class Tune(TrainingPass):
    """Adjust weights, biases, thresholds and starting potentials together to the ANN's outputs.

    `calibrate` corrects one layer after the other, each for the activations of the ANN; errors that
    only matter together, such as spikes that come late from layer to layer, stay. This pass lowers
    the error of the outputs itself, by surrogate gradients through time. It takes the calibration
    data and no labels: the ANN answers mixtures of the samples (Zhang et al., "mixup: Beyond
    Empirical Risk Minimization", 2018), at a temperature (Hinton, Vinyals & Dean, "Distilling the
    Knowledge in a Neural Network", 2015, section 2). Put it behind fold-scale. Checkpoints, seeds
    and the choice of an epoch by validation data, if given, are those of `learn`.

    Metrics: those of `learn`; `samples`.
    """

    name: ClassVar[str] = "tune"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration", "ann"})
    epochs: int = 4
    batch: int = 32
    leak: bool = False
    v_init: bool = True
    loss: Loss = "ann"
    temperature: float | None = 4.0
    mixup: float | None = 1.0
    lr: float = 2e-4
    schedule: Schedule = "cosine"
    surrogate: str = "triangle"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Train. Raises `PassError` if data, network or checkpoint do not fit."""
        refuse_integers(graph, self.name)
        _, calibration = ann_and_calibration(ctx)
        session = Session(self, replace(ctx, train=calibration))
        trained = session.stage(graph, ctx.timesteps)
        figures = {"chosen": trained.chosen, "samples": len(session.train)}
        metrics = {**figures, **session.metrics(trained.graph, [trained])}
        return PassResult(trained.graph, metrics=metrics)
