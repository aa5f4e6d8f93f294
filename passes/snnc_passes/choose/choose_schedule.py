"""`choose-schedule`: the window and the waits for a given latency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.ir import AnyNeuron, Graph
from snnc.ir.walk import longest_path
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._context import ann_and_calibration
from snnc_passes._reference import Reference, network_outputs
from snnc_passes._samples import CHUNK, first
from snnc_passes.choose.late_readout import late_means
from snnc_passes.recipes.convert import Convert

FEWEST = 4
"""A window is not made shorter than this for waits."""
WINDOW_PART = 0.5
"""Nor shorter than this fraction of the latency."""
Batch = tuple[NDArray[np.float32], None]


@dataclass(frozen=True)
class Schedule:
    """A window of T steps, and how many steps every population waits that can."""

    timesteps: int
    wait: int

    def __str__(self) -> str:
        return f"T={self.timesteps} wait={self.wait}"


@dataclass(frozen=True, kw_only=True)
class ChooseSchedule(Pass):
    """Set window and waits so that the answer is there after `latency` steps.

    The latency is the window T plus the waits on the longest path. Steps spent on waits make the
    input of a layer more even, those spent on T its rates finer. Tried are waits of 0, 1, 2, 4, …
    steps for every population (but those with an input constant in time) with the window that they
    leave, if that is at least half of the latency and 4 steps. Each is fitted as by `convert`
    (threshold-balance, initialize-potential, calibrate) to `fitted` samples of the calibration
    data, its readout starts where it is best (see late-readout), and it is judged on the next
    `samples`: by agreement with the ANN, or by the squared error of outputs that are no classes.
    A wait has to be better by a sample. The network is left as it was but for window and waits: put
    the pass in front of threshold-balance.

    Attributes:
        latency: steps from the first input to the answer; none takes T of the compilation.
        fitted, samples: the largest numbers of samples to fit and to judge with; of few samples,
            half are for each.

    Metrics: `timesteps`, `wait`, `latency_timesteps`; `measured`, by schedule the fraction of
    samples that disagree, or the error; empty if there was nothing to choose.
    """

    name: ClassVar[str] = "choose-schedule"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "calibration"})
    latency: int | None = None
    fitted: int = 128
    samples: int = 512

    def __post_init__(self) -> None:
        for field in ("latency", "fitted", "samples"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"{field}={value} is not positive")

    def window_option(self) -> str | None:
        return None if self.latency is None else f"latency={self.latency}"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Choose. Raises `PassError` for networks that `calibrate` does not support."""
        latency = ctx.timesteps if self.latency is None else self.latency
        schedules = possible(graph, latency)
        measured: dict[Schedule, float] = {}
        if len(schedules) > 1:
            fitted, reference = self._split(ctx)
            for schedule in schedules:
                measured[schedule] = _measure(graph, schedule, ctx, fitted, reference)
        chosen = min(schedules, key=lambda schedule: measured.get(schedule, 0.0))
        apply(graph, chosen)
        metrics = {
            "timesteps": chosen.timesteps,
            "wait": chosen.wait,
            "latency_timesteps": latency,
            "measured": {str(schedule): value for schedule, value in measured.items()},
        }
        return PassResult(graph, metrics=metrics)

    def _split(self, ctx: PassContext) -> tuple[list[Batch], Reference]:
        """Samples to fit with, and others to judge by (the same one if there is only one)."""
        ann, calibration = ann_and_calibration(ctx)
        x = np.concatenate(list(first(calibration, self.fitted + self.samples)))
        size = min(self.fitted, (len(x) + 1) // 2)
        judged = x[size:] if len(x) > 1 else x
        data = _batches(judged)
        outputs = network_outputs(ann, data, len(judged), ctx).astype(np.float64)
        return _batches(x[:size]), Reference(data, None, outputs)


def possible(graph: Graph, latency: int) -> list[Schedule]:
    """The schedules of a latency, the one without waits first."""
    waiting = _waiting(graph)
    depth = max(longest_path(graph, lambda node: int(node.name in waiting)).values(), default=0)
    least = max(FEWEST, WINDOW_PART * latency)
    schedules, wait = [Schedule(latency, 0)], 1
    while depth and latency - depth * wait >= max(least, wait):
        schedules.append(Schedule(latency - depth * wait, wait))
        wait *= 2
    return schedules


def apply(graph: Graph, schedule: Schedule) -> None:
    """Set the window of a graph, and the waits of its populations."""
    waiting = _waiting(graph)
    for node in graph.nodes:
        op = node.op
        if isinstance(op, AnyNeuron):
            wait = schedule.wait if node.name in waiting else 0
            graph.replace_op(node.name, replace(op, wait=wait))
    graph.meta["timesteps"] = schedule.timesteps


def _waiting(graph: Graph) -> set[str]:
    """The populations that a wait can help: not those whose input is constant in time."""
    populations = [node for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    types = graph.types()
    return {node.name for node in populations if not types[node.inputs[0]].constant_in_time}


def _measure(
    graph: Graph,
    schedule: Schedule,
    ctx: PassContext,
    fitted: list[Batch],
    reference: Reference,
) -> float:
    """How far a fitted schedule is from the ANN where it is read best, see `Reference.loss`."""
    trial = graph.clone()
    apply(trial, schedule)
    own = replace(ctx, timesteps=schedule.timesteps, calibration=fitted, validation=None)
    for step in Convert().fitting():
        trial = step.run(trial, own).graph
    means = late_means(trial, own, reference)
    return reference.loss(means.outputs[means.best()])


def _batches(x: NDArray[np.float32]) -> list[Batch]:
    return [(x[i : i + CHUNK], None) for i in range(0, len(x), CHUNK)]
