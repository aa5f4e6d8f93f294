"""One figure of several chips: means over their evaluations, and the spread of accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import mean, stdev

from snnc.analysis.evaluate import Evaluation, Window


def over_chips(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of several chips of one network on the same samples, at least one.

    Accuracy, agreement, errors, spikes, events and activity are means over the chips;
    `accuracy_std` is the standard deviation of the accuracy of single chips (n - 1), 0 for one
    chip. Figures of the early exit are left out.
    """
    first = evaluations[0]
    count = len(evaluations)
    windows = tuple(
        _window([each.windows[i] for each in evaluations]) for i in range(len(first.windows))
    )
    activity = {
        node: {k: round(mean(e.activity[node][k] for e in evaluations)) for k in counted}
        for node, counted in first.activity.items()
    }
    return replace(
        first,
        windows=windows,
        spikes_per_inference=mean(each.spikes_per_inference for each in evaluations),
        activity=activity,
        events={node: mean(each.events[node] for each in evaluations) for node in first.events},
        energy=first.energy if count == 1 else None,
        early_exit=None,
        chips=count,
    )


def _window(chips: Sequence[Window]) -> Window:
    def over(value: Callable[[Window], float | None]) -> list[float]:
        return [found for each in chips if (found := value(each)) is not None]

    accuracies, agreements = over(lambda w: w.accuracy), over(lambda w: w.agreement)
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    return replace(
        chips[0],
        accuracy=mean(accuracies) if accuracies else None,
        accuracy_std=spread if accuracies else None,
        agreement=mean(agreements) if agreements else None,
        errors={key: mean(each.errors[key] for each in chips) for key in chips[0].errors},
    )
