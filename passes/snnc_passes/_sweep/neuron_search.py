"""Search for threshold, starting potential and bias of one population on its own input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil

import numpy as np
import torch
from torch import Tensor

from snnc.errors import PassError
from snnc.interp import Population, for_sample
from snnc.ir import AnyNeuron, Graph, TwoSidedNeuron, waits_for_input
from snnc.memory import SEARCHED_VALUES, TRIAL_VALUES, rows_that_fit
from snnc.training.neuron_errors import error_sums
from snnc.training.packed_spikes import has_bits
from snnc.training.soft_reset import counts_at_once, sums_after
from snnc_passes._neuron_groups import staggered
from snnc_passes._sweep.paired_sweep import counterparts_missing

Values = tuple[Tensor, Tensor]
"""The input (T or 1, n, C, *rest) of a population, and its target (n, C, *rest)."""
EVEN = 0.5
"""The starting potential, in thresholds, that is best for an input constant in time: one-sided."""


@dataclass(frozen=True)
class Choices:
    """Candidates: factors of the threshold, and starting potentials in thresholds.

    Attributes:
        lag: weight of the errors before the end of the window, see `NeuronSearch.error`.
        rates: whether errors before the end are those of rates, so that early ones weigh more.
    """

    factors: Sequence[float]
    starts: Sequence[float]
    lag: float = 0.0
    rates: bool = False


LAG = 0.5
EVERY = 4
"""Steps between two errors before the end of the window."""
SYNCHRONOUS = Choices((0.8, 1.0, 1.3, 1.7, 2.2), (-1.5, -1.0, -0.6, -0.3, 0.0, 0.25, 0.5), LAG)
ANY_TIME = Choices((0.65, 0.8, 1.0, 1.3, 1.7), (0.0, 0.25, 0.5), 1.0, rates=True)
CORRECTED = Choices((0.85, 1.0, 1.15, 1.3), (0.25, 0.4, 0.5))
WAITING = Choices((0.8, 0.9, 1.0, 1.1), (0.4, 0.5, 0.6))
TWO_SIDED = Choices((0.65, 0.8, 1.0, 1.25, 1.6), (-0.5, -0.25, 0.0, 0.25, 0.5), LAG)
CONSTANT = Choices((0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25), (0.3, 0.4, 0.5, 0.6, 0.7))


def choices(op: AnyNeuron, timesteps: int, any_time: bool = False) -> Choices:
    """The candidates for a kind of neuron. Those that wait are late on purpose, without lag.

    With `any_time`, one-sided ones start at 0 or above, and errors of all rates so far count.
    """
    if any_time and not isinstance(op, TwoSidedNeuron) and not op.wait:
        return replace(CORRECTED, lag=1.0, rates=True) if op.signed else ANY_TIME
    if isinstance(op, TwoSidedNeuron):
        tried = TWO_SIDED
    elif waits_for_input(op, timesteps):
        tried = WAITING
    else:
        tried = CORRECTED if op.signed else SYNCHRONOUS
    return replace(tried, lag=0.0) if op.wait else tried


@dataclass(frozen=True)
class Settings:
    """Of one population, (C,) each: threshold, starting potential, and change of its bias."""

    threshold: Tensor
    start: Tensor
    bias: Tensor


def upper_of(graph: Graph, op: AnyNeuron, channels: int, device: torch.device) -> Tensor:
    """(C,) the largest threshold of each channel; infinite without a bound (S26)."""
    bound = np.inf if op.upper is None else graph.array(op.upper)
    return torch.from_numpy(np.array(np.broadcast_to(bound, (channels,)), np.float32)).to(device)


def settings_of(graph: Graph, op: AnyNeuron, channels: int, device: torch.device) -> Settings:
    """The settings of the graph, one value per channel; the change of the bias is 0."""
    threshold, start = (
        torch.from_numpy(np.array(np.broadcast_to(graph.array(value), (channels,)), np.float32))
        for value in (op.threshold, op.v_init)
    )
    return Settings(threshold.to(device), start.to(device), torch.zeros(channels, device=device))


def refuse_neurons(graph: Graph, ann: Graph, name: str) -> None:
    """Raise `PassError` for neurons that the pass `name` does not support.

    They leak, reset to zero, fire before they integrate, have a threshold or v_init per position,
    or no activation in the ANN.
    """
    if missing := counterparts_missing(graph, ann):
        raise PassError(f"the ANN has no activation {missing[0]} to compare with")
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, AnyNeuron):
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
    """Search for settings of a population whose output is closest to a target.

    Args:
        op: the population; without leak, reset by subtraction.
        current: input of the population, (T or 1, n, C, *rest).
        target: activation of the ANN, (n, C, *rest).
        timesteps: T.
        at_once: only the total of the input matters (the population waits for all of it).
        upper: (C,) the largest threshold of each channel; None for no bound.
        spread: whether settings are searched on some positions of all samples; False for all
            positions of the first ones.
        copies: how many neurons a group of the population has, with staggered starts; the output
            is the mean of theirs.
    """

    def __init__(
        self,
        op: AnyNeuron,
        current: Tensor,
        target: Tensor,
        timesteps: int,
        at_once: bool,
        upper: Tensor | None = None,
        spread: bool = False,
        copies: int = 1,
    ) -> None:
        self.op, self.timesteps, self.upper, self.copies = op, timesteps, upper, copies
        self.current, self.target = current, target
        self.at_once = at_once or (waits_for_input(op, timesteps) and not op.signed)
        steps = 1 if self.at_once else timesteps
        grid = _grid(target, steps) if spread else ()
        current, target = current[(slice(None), *grid)], target[grid]
        few = rows_that_fit(SEARCHED_VALUES, target[0].numel() * steps)
        self.searched = current[:, :few], target[:few]

    @property
    def compared(self) -> int:
        """How many values `error` compares."""
        return self.searched[1].numel()

    def search(self, settings: Settings, tried: Choices, biased: bool) -> Settings:
        """Threshold and starting potential with the least `error`, by channel.

        Coordinate search: factors, starts, factors again. A neuron that starts lower begins to fire
        later, when it has integrated more of an uneven input; if `biased`, the bias compensates
        for the lower start.
        """
        best, least = settings, self.error(settings, tried.lag, tried.rates)
        for moved in ("factor", "start", "factor"):
            fixed = best
            for value in tried.factors if moved == "factor" else tried.starts:
                if moved == "factor":
                    threshold = self.threshold(settings, value)
                    start = fixed.start * (threshold / fixed.threshold)
                else:
                    threshold, start = fixed.threshold, fixed.threshold * value
                trial = Settings(threshold, start, torch.zeros_like(start))
                trial = self.biased(trial) if biased else trial
                error = self.error(trial, tried.lag, tried.rates)
                best = _chosen(error < least, trial, best)
                least = torch.minimum(error, least)
        return best

    def threshold(self, settings: Settings, factor: float) -> Tensor:
        """(C,) the present thresholds times a factor, at most the bound of each channel."""
        threshold = settings.threshold * factor
        return threshold if self.upper is None else torch.minimum(threshold, self.upper)

    def balance(self, settings: Settings, rounds: int) -> Settings:
        """Add the mean error of the output to the bias of each channel, `rounds` times."""
        for _ in range(rounds):
            error = self._mean_error(settings, (self.current, self.target))
            settings = replace(settings, bias=settings.bias + error)
        return settings

    def biased(self, settings: Settings) -> Settings:
        """With a bias that compensates for the start and for the mean error of the output.

        Of one-sided neurons only for a low start.
        """
        if isinstance(self.op, TwoSidedNeuron):
            late = -settings.start / self.timesteps
        else:
            late = (EVEN * settings.threshold - settings.start).clamp(min=0) / self.timesteps
        settings = replace(settings, bias=late)
        return replace(settings, bias=late + self._mean_error(settings, self.searched))

    def _mean_error(self, settings: Settings, values: Values) -> Tensor:
        """(C,) mean of target minus output."""
        _, sums = self._sums(self.timesteps, settings, values)[-1]
        total = sums[:, 0].sum(0, dtype=torch.float64).to(settings.bias)
        return total / values[1][:, 0].numel()

    def error(self, settings: Settings, lag: float = 0.0, rates: bool = False) -> Tensor:
        """(C,) sum of squares of target minus output over the values of `searched`.

        With `lag`, that many times the mean over earlier steps, every `EVERY` of them (of a group,
        which has spikes enough in few steps, every quarter of the window at least), is added:
        the squares of t/T of the target minus the output of the first t steps. The output of a
        population that starts low is right at the end but late, which leaves those behind it
        fewer steps to fire.
        """
        every = self.timesteps
        if lag:
            every = EVERY if self.copies == 1 else min(EVERY, max(1, self.timesteps // 4))
        weight = lag / max(1, (self.timesteps - 1) // every)
        total = torch.zeros_like(settings.bias)
        for steps, sums in self._sums(every, settings, self.searched):
            squares = sums[:, 1].sum(0, dtype=torch.float64).to(total)
            early = weight * (self.timesteps / steps if rates else 1)
            total += squares if steps == self.timesteps else early * squares
        return total

    def weighted_sums(self, settings: Settings, weight: Tensor) -> Tensor:
        """(n, 2, C) sums over positions of target minus output, times `weight`, and of squares.

        `weight` is (n, C, *rest) for the first samples.
        """
        values = self.current[:, : len(weight)], self.target[: len(weight)]
        return self._sums(self.timesteps, settings, values, weight)[-1][1]

    def _sums(
        self, every: int, settings: Settings, values: Values, weight: Tensor | None = None
    ) -> list[tuple[int, Tensor]]:
        """t, and (n, 2, C) sums over positions of the errors of `_errors_after`, and of squares.

        Errors are multiplied by `weight` (n, C, *rest), if any.
        """
        if self._has_code(settings, values[0]):
            marks = self._marks(every)
            value = settings.threshold / self.timesteps
            neurons = settings.threshold, settings.start, settings.bias, value
            sums = error_sums(*values, neurons, marks, self.timesteps, weight)
            return [(t, sums[:, i]) for i, t in enumerate(marks)]
        parts: dict[int, list[Tensor]] = {}
        for steps, error in self._errors_after(every, settings, values):
            done = sum(map(len, parts.setdefault(steps, [])))
            if weight is not None:
                error = error * weight[done : done + len(error)]
            error = error.flatten(2) if error.ndim > 2 else error[..., None]
            parts[steps].append(torch.stack([error.sum(2), error.square().sum(2)], 1))
        return [(steps, torch.cat(some)) for steps, some in parts.items()]

    def _has_code(self, settings: Settings, current: Tensor) -> bool:
        """Whether there is machine code for the errors."""
        population = Population(self.op, settings.threshold, None, settings.start)
        return not self.at_once and self.copies == 1 and has_bits(population, current)

    def _marks(self, every: int) -> list[int]:
        """The numbers of steps after which errors count: every so many, and T."""
        return [*range(every, self.timesteps, every), self.timesteps]

    def _errors_after(
        self, every: int, settings: Settings, values: Values
    ) -> Iterator[tuple[int, Tensor]]:
        """t, and t/T of the target minus the output of t steps, for every `every`-th t and T.

        (n, C, *rest) of the samples of `values`, in chunks; only for T if `at_once`.
        """
        shape = tuple(values[1].shape[1:])
        threshold, start, bias = (
            for_sample(value, shape)
            for value in (settings.threshold, settings.start, settings.bias)
        )
        starts = staggered(start, threshold, self.copies)
        value = threshold / (self.timesteps * self.copies)
        size = rows_that_fit(TRIAL_VALUES, values[1][0].numel() * len(values[0]))
        for i in range(0, len(values[1]), size):
            current, target = (
                part.narrow(axis, i, min(size, len(values[1]) - i))
                for axis, part in ((1, values[0]), (0, values[1]))
            )
            if self.at_once:
                driven = current + bias
                counts = (counts_at_once(driven, threshold, u, self.timesteps) for u in starts)
                yield self.timesteps, target - reduce(torch.add, counts) * value
                continue
            trains = (
                sums_after(self._marks(every), current, threshold, u, self.op, self.timesteps, bias)
                for u in starts
            )
            for sums in zip(*trains, strict=True):
                steps, share = sums[0][0], target * (sums[0][0] / self.timesteps)
                for _, total in sums:
                    share.sub_(total * value)
                yield steps, share


def _grid(target: Tensor, steps: int) -> tuple[slice, ...]:
    """Every k-th position along each axis, so that `SEARCHED_VALUES` hold them of all samples.

    Positions of an image are alike, so that few of many images tell more than all of few images.
    """
    axes = target.shape[2:]
    if not axes:
        return ()
    every = max(1, ceil((target.numel() * steps / SEARCHED_VALUES) ** (1 / len(axes))))
    first = (min(every, size) // 2 for size in axes)
    return (slice(None), slice(None), *(slice(start, None, every) for start in first))


def _chosen(better: Tensor, trial: Settings, best: Settings) -> Settings:
    return Settings(
        torch.where(better, trial.threshold, best.threshold),
        torch.where(better, trial.start, best.start),
        torch.where(better, trial.bias, best.bias),
    )
