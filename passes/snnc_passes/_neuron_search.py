"""Thresholds, potentials and biases of one population, chosen on its own input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from snnc.errors import PassError
from snnc.interp import for_sample
from snnc.ir import Graph, Neuron
from snnc.memory import SEARCHED_VALUES, TRIAL_VALUES, rows_that_fit
from snnc.training.soft_reset import counts_at_once, firing
from snnc_passes._paired_sweep import counterparts_missing

EVEN = 0.5
"""Fraction of a threshold a potential starts at where the input is even."""


@dataclass(frozen=True)
class Choices:
    """What is tried: factors of the threshold, then starting potentials in thresholds."""

    factors: Sequence[float]
    starts: Sequence[float]


SYNCHRONOUS = Choices((0.8, 1.0, 1.3, 1.7, 2.2), (-1.5, -1.0, -0.6, -0.3, 0.0, 0.25, 0.5))
CORRECTED = Choices((0.85, 1.0, 1.15, 1.3), (0.25, 0.4, 0.5))
WAITING = Choices((0.8, 0.9, 1.0, 1.1), (0.4, 0.5, 0.6))
CONSTANT = Choices((0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25), (0.3, 0.4, 0.5, 0.6, 0.7))


def choices(op: Neuron, timesteps: int) -> Choices:
    """What to try for a kind of neuron."""
    if op.wait >= timesteps:
        return WAITING
    return CORRECTED if op.signed else SYNCHRONOUS


@dataclass(frozen=True)
class Settings:
    """Of one population, each (C,): threshold, starting potential, and what its bias gains."""

    threshold: Tensor
    start: Tensor
    bias: Tensor


def settings_of(graph: Graph, op: Neuron, channels: int, device: torch.device) -> Settings:
    """Those of the graph, one value per channel, without a correction."""
    threshold, start = (
        torch.from_numpy(np.array(np.broadcast_to(graph.array(value), (channels,)), np.float32))
        for value in (op.threshold, op.v_init)
    )
    return Settings(threshold.to(device), start.to(device), torch.zeros(channels, device=device))


def refuse_neurons(graph: Graph, ann: Graph, name: str) -> None:
    """Raise `PassError` for neurons that leak, reset to zero, or have no activation in the ANN.

    `name` is the pass that cannot take them.
    """
    if missing := counterparts_missing(graph, ann):
        raise PassError(f"the ANN has no activation {missing[0]} to compare with")
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, Neuron):
            continue
        leak = graph.array(op.leak)
        if np.any(leak != 1) or (op.reset, op.order) != ("subtract", "integrate-fire"):
            raise PassError(
                f"{node.name} at {node.loc} leaks, resets to zero or fires before it integrates",
                hint=f"{name} is for leak=1 reset=subtract order=integrate-fire",
            )
        if graph.array(op.threshold).ndim > 1 or graph.array(op.v_init).ndim > 1:
            raise PassError(f"{node.name} at {node.loc} has a threshold or v_init per position")


class NeuronSearch:
    """The search on a population's input for what its output should be.

    Args:
        op: the population; no leak, reset by subtraction.
        current: (T or 1, n, C, *rest) input.
        target: (n, C, *rest) activation of the ANN.
        timesteps: T.
        at_once: one step stands for all (the population waits for its whole input).
    """

    def __init__(
        self, op: Neuron, current: Tensor, target: Tensor, timesteps: int, at_once: bool
    ) -> None:
        self.op, self.timesteps = op, timesteps
        self.current, self.target = current, target
        self.at_once = at_once or (op.wait >= timesteps and not op.signed)
        self.others = (0, *range(2, target.ndim))
        steps = 1 if self.at_once else timesteps
        self.few = min(len(target), rows_that_fit(SEARCHED_VALUES, target[0].numel() * steps))

    def search(self, settings: Settings, tried: Choices, biased: bool) -> Settings:
        """The factor of the threshold and the start with the least mean squared error, by channel.

        One after the other, factors twice. A neuron that starts lower begins to fire later; where
        it may be `biased`, its bias gives back what it lacks, so that it has seen more of an uneven
        input by then.
        """
        best, least = settings, self.error(settings)
        for moved in ("factor", "start", "factor"):
            fixed = best
            for value in tried.factors if moved == "factor" else tried.starts:
                if moved == "factor":
                    threshold = settings.threshold * value
                    start = fixed.start * (threshold / fixed.threshold)
                else:
                    threshold, start = fixed.threshold, fixed.threshold * value
                trial = Settings(threshold, start, torch.zeros_like(start))
                trial = self.biased(trial) if biased else trial
                error = self.error(trial)
                best = _chosen(error < least, trial, best)
                least = torch.minimum(error, least)
        return best

    def balance(self, settings: Settings, rounds: int) -> Settings:
        """Add to the bias what the output lacks on average, by channel, again and again."""
        for _ in range(rounds):
            lacking = self._lacking(settings, len(self.target))
            settings = replace(settings, bias=settings.bias + lacking)
        return settings

    def biased(self, settings: Settings) -> Settings:
        """With the bias that makes up for a late start and for what the output lacks on average."""
        late = (EVEN * settings.threshold - settings.start).clamp(min=0) / self.timesteps
        settings = replace(settings, bias=late)
        return replace(settings, bias=late + self._lacking(settings, self.few))

    def _lacking(self, settings: Settings, samples: int) -> Tensor:
        """(C,) mean of target minus output."""
        total = torch.zeros_like(settings.bias)
        for error in self.errors(settings, samples):
            total += error.sum(self.others)
        return total / (samples * self.target[0, 0].numel())

    def error(self, settings: Settings) -> Tensor:
        """(C,) sum of squares of target minus output, of the first `few` samples."""
        total = torch.zeros_like(settings.bias)
        for error in self.errors(settings, self.few):
            total += error.square().sum(self.others)
        return total

    def errors(self, settings: Settings, samples: int) -> Iterator[Tensor]:
        """(n, C, *rest) target minus output, of the first `samples` samples, some at a time."""
        shape = tuple(self.target.shape[1:])
        threshold, start, bias = (
            for_sample(each, shape) for each in (settings.threshold, settings.start, settings.bias)
        )
        size = rows_that_fit(TRIAL_VALUES, self.target[0].numel())
        for i in range(0, samples, size):
            rows = slice(i, min(i + size, samples))
            current = self.current[:, rows]
            if self.at_once:
                counts = counts_at_once(current + bias, threshold, start, self.timesteps)
            else:
                counts = torch.zeros_like(self.target[rows])
                for fired in firing(current, threshold, start, self.op, self.timesteps, bias):
                    counts.add_(fired)
            yield self.target[rows] - counts * (threshold / self.timesteps)


def _chosen(where: Tensor, one: Settings, other: Settings) -> Settings:
    return Settings(
        torch.where(where, one.threshold, other.threshold),
        torch.where(where, one.start, other.start),
        torch.where(where, one.bias, other.bias),
    )
