"""Shared by the stages of one pass: data, validation, seed, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnc.early_exit import EARLY_EXIT
from snnc.errors import PassError
from snnc.ir import AnyNeuron, Graph
from snnc.training import SpikingNetwork, from_torch, to_torch
from snnc.transform import PassContext, Selectable
from snnc_passes._window import prefixes_are_runs
from snnc_passes.train._checkpoint import Checkpoints
from snnc_passes.train._compression import Compression
from snnc_passes.train._journal import Journal, Row, extent
from snnc_passes.train._judge import Judge
from snnc_passes.train._objective import Objective
from snnc_passes.train._options import TrainingPass
from snnc_passes.train._samples import digest, selectable
from snnc_passes.train._stepper import Stepper
from snnc_passes.train._target_errors import TargetErrors
from snnc_passes.train._trainer import Trainer


@dataclass(frozen=True)
class Trained:
    """The result of a stage: the graph, the epoch that was kept, and one report row per epoch."""

    graph: Graph
    chosen: int
    rows: tuple[Row, ...]


class Session:
    """Trains graphs, one stage after another, with the options of a pass.

    Args:
        options: the pass.
        ctx: context of the pass; the seed is drawn from its `rng`.

    Raises:
        PassError: there are no training data, or some samples have no labels.
    """

    def __init__(self, options: TrainingPass, ctx: PassContext) -> None:
        if ctx.train is None:
            raise PassError("there are no training data", hint="add --train DATA")
        self.ctx = ctx
        self.seed = int(ctx.rng.integers(2**63))
        self.train = selectable(ctx.train, "training")
        self.held: Selectable | None = None
        if ctx.validation is not None:
            self.held = selectable(ctx.validation, "validation")
        # a trial takes one step, and writes nothing
        single = {"epochs": 1, "batch": len(self.train), "tensorboard": False}
        self.options = replace(options, **single) if ctx.trial else options
        self.store: Checkpoints | None = None
        self.data: dict[str, str | None] = {}
        if ctx.workdir is not None and not ctx.trial:
            self.store = Checkpoints(ctx.workdir, ctx.resume)
            self.data["training data"] = digest(self.train)
            self.data["validation data"] = None if self.held is None else digest(self.held)
            if self.store.left() and not ctx.resume and not ctx.ranks.rank:
                ctx.log.warning(
                    "%s: the checkpoint of an earlier run in %s will be replaced; --resume would "
                    "continue it",
                    *(options.name, ctx.workdir),
                )

    def stage(
        self, graph: Graph, timesteps: int, compression: Compression | None = None
    ) -> Trained:
        """Train `graph` with a window of `timesteps`, and compress it on the way.

        Raises:
            PassError: the graph cannot be trained, or as in `Trainer.run`.
        """
        options, ctx = self.options, self.ctx
        refuse_late(graph, timesteps)
        objective = Objective(options.loss, graph, ctx.ann, ctx.device, options.temperature)
        network = self._network(graph, timesteps).to(objective.device)
        if compression is not None:
            compression.prepare(network, ctx)
        judge = None
        if self.held is not None:
            how = (options.adversarial, options.prefixes)
            judge = Judge(self.held, objective, options.batch, ctx.ranks, *how)
        name = f"T{timesteps}"
        journal = Journal(f"{options.name} T={timesteps}", name, options, ctx)
        trainer = Trainer(
            Stepper(network, options, objective, self.train, ctx.ranks, self._errors(network)),
            judge,
            ctx,
            store=self.store,
            stage=name,
            identity=self._identity(graph, timesteps),
            seed=(self.seed, timesteps),
            journal=journal,
            compression=compression,
        )
        try:
            standing = trainer.run()
        finally:
            journal.close()
        result = from_torch(network)
        result = result if compression is None else compression.marked(result)
        if result.fingerprint() != graph.fingerprint():
            result.meta.pop(EARLY_EXIT, None)  # it was calibrated for the network before
        return Trained(result, standing.chosen, tuple(standing.rows))

    def _errors(self, network: SpikingNetwork) -> TargetErrors | None:
        target = self.ctx.target
        if not self.options.target_errors or target is None:
            return None
        return TargetErrors(network, target)

    def _network(self, graph: Graph, timesteps: int) -> SpikingNetwork:
        options = self.options
        if options.augment != "none" and len(graph.type_of(graph.input).shape) != 3:
            raise PassError(f"augment={options.augment} is for images (C, H, W)")
        if options.prefixes == "all" and not prefixes_are_runs(graph):
            raise PassError("prefixes=all: some population waits, or the input is a latency code")
        return to_torch(
            graph,
            timesteps,
            surrogate=options.surrogate,
            learn=options.learned(),
            dropout=options.dropout,
            even=options.even_spikes,
        )

    def _identity(self, graph: Graph, timesteps: int) -> Mapping[str, Any]:
        teacher = self.ctx.ann if self.options.loss == "ann" else None
        return {
            "graph": graph.fingerprint(),
            "ann": None if teacher is None else teacher.fingerprint(),
            "options": self.options.as_numbers(),
            "timesteps": timesteps,
            "seed": self.seed,
            "target": self._target(),
            **self.data,
        }

    def _target(self) -> dict[str, Any] | None:
        """The target whose errors are learnt."""
        if not self.options.target_errors or self.ctx.target is None:
            return None
        return dict(self.ctx.target.limits)

    def metrics(self, graph: Graph, stages: list[Trained]) -> dict[str, Any]:
        """Metrics for the report, of all stages and of the final graph."""
        rows = [row for stage in stages for row in stage.rows]
        neurons = [(n.name, n.op) for n in graph.nodes if isinstance(n.op, AnyNeuron)]
        return {
            "timesteps": stages[-1].graph.meta["timesteps"],
            "precision": self.options.precision,
            "seconds_per_epoch": float(np.mean([row["seconds"] for row in rows])),
            "epochs": rows,
            "thresholds": {name: extent(graph.array(op.threshold)) for name, op in neurons},
            "leaks": {name: extent(graph.array(op.leak)) for name, op in neurons},
        }


def refuse_late(graph: Graph, timesteps: int) -> None:
    """Raise `PassError` for a window that ends before spikes of the input reach the output.

    Every population with the order fire-integrate adds a delay of one step.
    """
    delay: dict[str, int] = {}
    for node in graph.nodes:
        behind = min((delay[source] for source in graph.inputs_of(node.name)), default=0)
        late = isinstance(node.op, AnyNeuron) and node.op.order == "fire-integrate"
        steps = 1 if late and isinstance(node.op, AnyNeuron) and not node.op.wait else 0
        delay[node.name] = behind + steps
    behind = min(delay[name] for name in graph.outputs)
    if behind >= timesteps:
        raise PassError(
            f"no spike of the input reaches the output within T={timesteps}: {behind} populations "
            "in a row fire one step late (order=fire-integrate)",
            hint=f"-T {behind + 1} or more",
        )
