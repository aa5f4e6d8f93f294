"""Figures and tables of `conversion.py`, from the outputs of the networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.markdown_table import markdown_table

TIMESTEPS = (4, 8, 16, 32, 64, 128)
READOUTS: tuple[Readout, ...] = ("all", "within", "after")

Readout = Literal["all", "within", "after"]
Labels = NDArray[np.int64]
Outputs = NDArray[np.float32]
Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """A recipe, T and readout with the delay that the training images choose.

    Attributes:
        draw, recipe, timesteps, readout, delay: what is to be measured.
        agreement: with the ANN on the images that chose the delay, 0 … 1.
    """

    draw: int
    recipe: str
    timesteps: int
    readout: Readout
    delay: int
    agreement: float

    @property
    def latency(self) -> int:
        """Steps until the answer."""
        return steps_read(self.timesteps, self.readout, self.delay)[1]


@dataclass(frozen=True)
class Judged:
    """A choice on the test images, image by image.

    Attributes:
        choice: what was measured.
        lost: on the exact images, ANN right minus SNN right, (N,) of −1, 0, 1.
        accuracy: of the SNN on the exact images, 0 … 1.
        agrees: whether SNN and ANN give the same class, (images of the sample,), or None.
    """

    choice: Choice
    lost: Labels
    accuracy: float
    agrees: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Truth:
    """What the outputs are compared with.

    Attributes:
        ann: the ANN's classes of `exact`, and of `rest` if not all images are exact.
        labels: of `exact`, (N,).
        sampled: which of `exact` belong, with all of `rest`, to the sample of the agreement, (N,).
    """

    ann: Mapping[str, Labels]
    labels: Labels
    sampled: NDArray[np.bool_]


def steps_read(timesteps: int, readout: Readout, delay: int) -> tuple[int, int]:
    """First step of the mean, and the one after the last."""
    return delay, timesteps + (delay if readout == "after" else 0)


def running_sums(outputs: Outputs) -> Sums:
    """(steps, N, classes) -> (steps + 1, N, classes), of which the first is 0."""
    sums = np.zeros((len(outputs) + 1, *outputs.shape[1:]))
    np.cumsum(outputs, axis=0, out=sums[1:])
    return sums


def classes(sums: Sums, timesteps: int, readout: Readout, delay: int) -> Labels:
    """The SNN's classes, (N,)."""
    first, stop = steps_read(timesteps, readout, delay)
    return (sums[stop] - sums[first]).argmax(1)


def choose(draw: int, recipe: str, outputs: Outputs, ann: Labels) -> list[Choice]:
    """Per T and readout the smallest delay of greatest agreement with the ANN's classes.

    Args:
        draw, recipe: what put it out.
        outputs: on the training images that choose, (steps, N, classes).
        ann: the ANN's classes of the same, (N,).
    """
    sums = running_sums(outputs)
    choices: list[Choice] = []
    for readout in READOUTS:
        for timesteps in (t for t in TIMESTEPS if t < len(sums)):
            longest = {"all": 0, "within": timesteps - 1, "after": len(sums) - 1 - timesteps}
            rates = [
                float((classes(sums, timesteps, readout, delay) == ann).mean())
                for delay in range(longest[readout] + 1)
            ]
            delay = int(np.argmax(rates))
            choices.append(Choice(draw, recipe, timesteps, readout, delay, rates[delay]))
    return choices


def best(choices: Iterable[Choice]) -> list[Choice]:
    """For each draw, readout and T the recipe of greatest agreement; of equals the first."""
    groups: dict[tuple[int, Readout, int], list[Choice]] = {}
    for c in choices:
        groups.setdefault((c.draw, c.readout, c.timesteps), []).append(c)
    return [max(group, key=lambda c: c.agreement) for group in groups.values()]


def steps_needed(chosen: Iterable[Choice]) -> dict[tuple[int, str], int]:
    """How long each draw's recipe has to run, for all that is read of it."""
    steps: dict[tuple[int, str], int] = {}
    for c in chosen:
        steps[c.draw, c.recipe] = max(c.latency, steps.get((c.draw, c.recipe), 0))
    return steps


def judge(choice: Choice, outputs: Mapping[str, Outputs | None], truth: Truth) -> Judged | None:
    """The choice on the test images; None while `exact` is not through.

    Args:
        choice: what to judge.
        outputs: of `exact` and `rest`, (steps, N, classes), or None.
        truth: what they should be.
    """
    sums = {name: running_sums(x) for name, x in outputs.items() if x is not None}
    if "exact" not in sums:
        return None
    read = choice.timesteps, choice.readout, choice.delay
    agrees = {name: classes(x, *read) == truth.ann[name] for name, x in sums.items()}
    hit = (classes(sums["exact"], *read) == truth.labels).astype(np.int64)
    lost = (truth.ann["exact"] == truth.labels) - hit
    sample = None
    if agrees.keys() == truth.ann.keys():
        rest = [agrees["rest"]] if "rest" in agrees else []
        sample = np.concatenate([agrees["exact"][truth.sampled], *rest])
    return Judged(choice, lost, float(hit.mean()), sample)


def interval(values: NDArray[Any]) -> tuple[float, float]:
    """Mean of (N,) and half its 95 % interval, both times 100."""
    return 100 * float(values.mean()), 196 * float(values.std(ddof=1)) / len(values) ** 0.5


# -- JSON ----------------------------------------------------------------------------------


def document(
    choices: Sequence[Choice], judged: Sequence[Judged], about: Mapping[str, Any]
) -> dict[str, Any]:
    """`about`, all choices on training images, the best of them on test images; in percent."""
    groups: dict[tuple[int, str, Readout], list[Choice]] = {}
    for c in choices:
        groups.setdefault((c.draw, c.recipe, c.readout), []).append(c)
    training = [
        {
            "draw": draw,
            "recipe": recipe,
            "readout": readout,
            "timesteps": [c.timesteps for c in of],
            "delay": [c.delay for c in of],
            "agreement": [_rounded(100 * c.agreement) for c in of],
        }
        for (draw, recipe, readout), of in groups.items()
    ]
    return {**about, "training_images": training, "test_images": [_figures(j) for j in judged]}


def _figures(j: Judged) -> dict[str, Any]:
    c = j.choice
    gap, gap_interval = interval(j.lost)
    figures: dict[str, Any] = {
        "draw": c.draw,
        "recipe": c.recipe,
        "timesteps": c.timesteps,
        "readout": c.readout,
        "delay": c.delay,
        "latency": c.latency,
        "accuracy": _rounded(100 * j.accuracy),
        "gap": _rounded(gap),
        "gap_interval": _rounded(gap_interval),
    }
    if j.agrees is not None:
        mean, half = interval(j.agrees)
        figures["agreement"] = _rounded(mean)
        figures["agreement_interval"] = _rounded(half)
        figures["agreement_images"] = len(j.agrees)
    return figures


def _rounded(number: float) -> float:
    return round(number, 3)


# -- Markdown ------------------------------------------------------------------------------


def tables(choices: Sequence[Choice], judged: Sequence[Judged], recipes: Sequence[str]) -> str:
    """Both tables: the best on test images, all recipes on training images."""
    return "\n\n".join(
        [
            "Test images, with the recipe and the D that the training images choose",
            best_table(judged),
            "Training images that choose: agreement with the ANN in percent, mean of the draws",
            training_table(choices, recipes),
        ]
    )


def best_table(judged: Sequence[Judged]) -> str:
    """A row per readout and T; draws side by side where they differ."""
    head = ["readout", "T", "latency", "D", "recipe", "gap (points)", "agreement (%)"]
    lines: list[list[str]] = []
    for readout in READOUTS:
        for timesteps in TIMESTEPS:
            of = [
                j for j in judged if (j.choice.readout, j.choice.timesteps) == (readout, timesteps)
            ]
            if not of:
                continue
            agreements = [
                f"{_interval_text(j.agrees)} ({len(j.agrees)} images)"
                for j in of
                if j.agrees is not None
            ]
            columns = [
                _side_by_side([j.choice.latency for j in of]),
                _side_by_side([j.choice.delay for j in of]),
                _side_by_side([j.choice.recipe for j in of]),
                " · ".join(_interval_text(j.lost) for j in of),
            ]
            lines.append([readout, str(timesteps), *columns, " · ".join(agreements)])
    return markdown_table(head, lines, text_columns=(0, 4))


def training_table(choices: Sequence[Choice], recipes: Sequence[str]) -> str:
    """A row per recipe and readout."""
    lines: list[list[str]] = []
    for recipe in recipes:
        for readout in READOUTS:
            of = [c for c in choices if (c.recipe, c.readout) == (recipe, readout)]
            cells = [[c.agreement for c in of if c.timesteps == t] for t in TIMESTEPS]
            if of:
                means = [f"{100 * float(np.mean(x)):.1f}" if x else "" for x in cells]
                lines.append([recipe, readout, *means])
    heads = ["recipe", "readout", *(f"T={t}" for t in TIMESTEPS)]
    return markdown_table(heads, lines, text_columns=range(2))


def _interval_text(values: NDArray[Any]) -> str:
    mean, half = interval(values)
    return f"{mean:.2f} ± {half:.2f}"


def _side_by_side(values: Sequence[object]) -> str:
    return " · ".join(map(str, values if len(set(values)) > 1 else values[:1]))
