"""`choose-timesteps`: the shortest window within an accuracy budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._reference import Reference
from snnc_passes._window import longest_wait, prefixes_are_runs, with_window
from snnc_passes.choose._classifier_reference import classifier_reference

ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class ChooseTimesteps(Pass):
    """Set the window T, and with it every `wait`, to the least within an accuracy budget.

    T is at most the window of the compilation. Measured is the accuracy on labelled validation
    data, else on labelled calibration data, relative to the ANN's accuracy; else the agreement with
    the ANN, relative to 100 %.

    If no population waits and the input has no latency encoding, the outputs of all shorter windows
    are prefixes of one run: all are measured, and the least T within the budget is chosen.
    Otherwise every window needs a run of its own: T is found by bisection, and no population waits
    longer than the window. Then the longest `wait` is reduced by bisection too. A smaller T that
    was not measured may also be within the budget.

    Thresholds, weights and potentials, fitted to the longer window, do not change.

    Attributes:
        budget: percentage points below the ANN's accuracy, or below 100 % agreement.
        samples: maximum number of samples.
        shorten_wait: whether `wait` is reduced after T has been chosen.

    Metrics: `timesteps`, `longest_wait`; `measure`, `samples`, the ANN's fraction `reference`, the
    fraction `value` at the T chosen, `within_budget`; `measured`, the fraction by T, and
    `measured_waits`, by longest wait, at the T chosen.
    """

    name: ClassVar[str] = "choose-timesteps"
    needs: ClassVar[frozenset[str]] = frozenset({"ann", "validation|calibration"})
    budget: float = 1.0
    samples: int = 1024
    shorten_wait: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.budget <= 100:
            raise ValueError(f"budget={self.budget} is not from 0 to 100 points")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Choose T. Raises `PassError` without an ANN or data, or if outputs are no classes."""
        if ctx.ann is None:
            raise PassError("needs the network before activations-to-neurons")
        reference = classifier_reference(graph, ctx, self.samples)
        assert reference.own_fraction is not None
        least = reference.own_fraction - self.budget / 100 - ROUNDING
        trial = _Trial(graph, ctx, reference, least)
        chosen = trial.window()
        within = trial.measured[chosen] >= trial.least
        longest = min(longest_wait(graph), chosen)
        if within and self.shorten_wait and longest:
            longest = trial.wait(chosen, longest)
        value = trial.waits.get(longest, trial.measured[chosen])
        self._warn(ctx, trial, chosen, value)
        if within:
            result = with_window(graph, chosen, longest)
        else:
            result = graph
            result.meta["timesteps"] = ctx.timesteps
        metrics = {
            "timesteps": chosen,
            "longest_wait": longest_wait(result),
            "measure": reference.measure,
            "samples": len(reference),
            "reference": reference.own_fraction,
            "value": value,
            "within_budget": within,
            "measured": {str(t): value for t, value in sorted(trial.measured.items())},
            "measured_waits": {str(w): value for w, value in sorted(trial.waits.items())},
        }
        return PassResult(result, metrics=metrics)

    def _warn(self, ctx: PassContext, trial: _Trial, chosen: int, value: float) -> None:
        """Warn if no window is within the budget, or a longer one than the chosen is not."""
        measure, own = trial.reference.measure, trial.reference.own_fraction or 0
        if trial.measured[chosen] < trial.least:
            ctx.log.warning(
                "choose-timesteps: T=%d stays: its %s is %.2f %%, %.2f points below %.2f %%, "
                "more than the budget of %g; compile with a larger -T",
                *(chosen, measure, 100 * value, 100 * (own - value)),
                *(100 * own, self.budget),
            )
        worse = [t for t, v in trial.measured.items() if t > chosen and v < trial.least]
        if worse:
            ctx.log.warning(
                "choose-timesteps: T=%d is within the budget, though T=%s is not",
                *(chosen, ", ".join(map(str, sorted(worse)))),
            )


@dataclass
class _Trial:
    """Measured fractions: by window, and by longest wait for the chosen window."""

    graph: Graph
    ctx: PassContext
    reference: Reference
    least: float
    measured: dict[int, float] = field(default_factory=dict[int, float])
    waits: dict[int, float] = field(default_factory=dict[int, float])

    def window(self) -> int:
        """The least T found within the budget; the largest T if none is."""
        largest = self.ctx.timesteps
        if prefixes_are_runs(self.graph):
            windows = range(1, largest + 1)
            self.measured = self.reference.fractions(self.graph, self.ctx, windows)
            good = [t for t, value in self.measured.items() if value >= self.least]
            return min(good, default=largest)

        def good_at(t: int) -> bool:
            self.measured[t] = self._alone(t, t)
            return self.measured[t] >= self.least

        return bisect(1, largest, good_at) if good_at(largest) else largest

    def wait(self, timesteps: int, longest: int) -> int:
        """The least longest wait found within the budget, for the chosen window."""

        def good_at(wait: int) -> bool:
            self.waits[wait] = self._alone(timesteps, wait)
            return self.waits[wait] >= self.least

        self.waits[longest] = self.measured[timesteps]
        return bisect(0, longest, good_at)

    def _alone(self, timesteps: int, wait: int) -> float:
        graph = with_window(self.graph, timesteps, wait)
        return self.reference.fractions(graph, self.ctx, (timesteps,))[timesteps]


def bisect(low: int, high: int, good: Callable[[int], bool]) -> int:
    """The least good integer of `low` to `high`, assuming that `good` is monotonic.

    `high` is assumed to be good and not tested; any other result has been tested.
    """
    while low < high:
        middle = (low + high) // 2
        if good(middle):
            high = middle
        else:
            low = middle + 1
    return high
