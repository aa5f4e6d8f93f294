"""Figures and tables of `spikingjelly_conversion.py`, from what the networks put out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TIMESTEPS = (4, 8, 16, 32, 64)
LONGEST_DELAY = 32
READOUTS: tuple[Readout, ...] = ("all", "after", "within")

Readout = Literal["all", "after", "within"]
Labels = NDArray[np.int64]
Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """One draw, recipe, T and readout, image by image.

    Attributes:
        draw, recipe, timesteps, readout, delay: what was measured.
        chosen_by: agreement with the ANN on the training images that chose the delay, 0 … 1.
        lost: on the exact test images, ANN right minus SNN right, (N,) of −1, 0, 1.
        accuracy: of the SNN on the exact test images, 0 … 1.
        agrees: whether SNN and ANN give the same class, all test images, or None.
    """

    draw: int
    recipe: str
    timesteps: int
    readout: Readout
    delay: int
    chosen_by: float
    lost: Labels
    accuracy: float
    agrees: NDArray[np.bool_] | None

    @property
    def latency(self) -> int:
        """Steps until the answer is there."""
        return steps_read(self.timesteps, self.readout, self.delay)[1]


def steps_read(timesteps: int, readout: Readout, delay: int) -> tuple[int, int]:
    """First step of the mean, and the one after the last."""
    return delay, timesteps + (delay if readout == "after" else 0)


def running_sums(outputs: NDArray[np.float32]) -> Sums:
    """(steps, N, classes) -> (steps + 1, N, classes), of which the first is 0."""
    sums = np.zeros((len(outputs) + 1, *outputs.shape[1:]))
    np.cumsum(outputs, axis=0, out=sums[1:])
    return sums


def classes(sums: Sums, timesteps: int, readout: Readout, delay: int) -> Labels:
    """The SNN's classes, (N,)."""
    first, stop = steps_read(timesteps, readout, delay)
    return (sums[stop] - sums[first]).argmax(1)


def choose_delay(sums: Sums, ann: Labels, timesteps: int, readout: Readout) -> tuple[int, float]:
    """The smallest delay of greatest agreement with the ANN's classes, and that agreement."""
    longest = {"all": 0, "after": len(sums) - 1 - timesteps, "within": timesteps - 1}[readout]
    rates = [
        float((classes(sums, timesteps, readout, delay) == ann).mean())
        for delay in range(min(longest, LONGEST_DELAY) + 1)
    ]
    return int(np.argmax(rates)), max(rates)


def judge(
    draw: int,
    recipe: str,
    outputs: Mapping[str, NDArray[np.float32] | None],
    ann: Mapping[str, Labels],
    labels: Labels,
) -> list[Judged]:
    """All T and readouts of a recipe; none while `selection` or `exact` is not through.

    Args:
        draw, recipe: what put it out.
        outputs: of `selection`, `exact` and `rest`, (steps, N, classes), or None.
        ann: the ANN's classes of the same.
        labels: of `exact`.
    """
    sums = {name: running_sums(x) for name, x in outputs.items() if x is not None}
    if "selection" not in sums or "exact" not in sums:
        return []
    right = (ann["exact"] == labels).astype(np.int64)
    results: list[Judged] = []
    for readout in READOUTS:
        for timesteps in (t for t in TIMESTEPS if t < len(sums["exact"])):
            delay, rate = choose_delay(sums["selection"], ann["selection"], timesteps, readout)
            snn = {name: classes(x, timesteps, readout, delay) for name, x in sums.items()}
            hit = (snn["exact"] == labels).astype(np.int64)
            agrees = None
            if "rest" in snn:
                agrees = np.concatenate([snn[name] == ann[name] for name in ("exact", "rest")])
            results.append(
                Judged(
                    draw,
                    recipe,
                    timesteps,
                    readout,
                    delay,
                    rate,
                    right - hit,
                    float(hit.mean()),
                    agrees,
                )
            )
    return results


def best(results: Sequence[Judged]) -> list[Judged]:
    """For each draw, T and readout the recipe that the training images choose."""
    groups: dict[tuple[int, Readout, int], list[Judged]] = {}
    for r in results:
        groups.setdefault((r.draw, r.readout, r.timesteps), []).append(r)
    return [max(group, key=lambda r: r.chosen_by) for group in groups.values()]


def interval(values: NDArray[Any]) -> tuple[float, float]:
    """Mean of (N,) and half its 95 % interval, both times 100."""
    return 100 * float(values.mean()), 196 * float(values.std(ddof=1)) / len(values) ** 0.5


def document(results: Sequence[Judged], about: Mapping[str, Any]) -> dict[str, Any]:
    """Every draw's figures, in points."""
    chosen = [
        {"draw": r.draw, "readout": r.readout, "timesteps": r.timesteps, "recipe": r.recipe}
        for r in best(results)
    ]
    return {**about, "rows": [_figures(r) for r in results], "best": chosen}


def _figures(r: Judged) -> dict[str, Any]:
    gap, gap_interval = interval(r.lost)
    figures: dict[str, Any] = {
        "draw": r.draw,
        "recipe": r.recipe,
        "timesteps": r.timesteps,
        "readout": r.readout,
        "delay": r.delay,
        "latency": r.latency,
        "selection_agreement": 100 * r.chosen_by,
        "accuracy": 100 * r.accuracy,
        "gap": gap,
        "gap_interval": gap_interval,
    }
    if r.agrees is not None:
        figures["agreement"], figures["agreement_interval"] = interval(r.agrees)
    return figures


def tables(results: Sequence[Judged], recipes: Sequence[str]) -> str:
    """Both tables in Markdown: means over the draws, intervals over the images."""
    gaps = "Gap to the ANN in points on the exact test images (±: paired 95 % interval)"
    agreements = "Agreement with the ANN in percent on all test images (±: 95 % interval)"
    return "\n\n".join(
        [
            gaps,
            _table(results, recipes, lambda r: r.lost),
            agreements,
            _table(results, recipes, lambda r: r.agrees),
        ]
    )


Values = Callable[[Judged], NDArray[Any] | None]


def _table(results: Sequence[Judged], recipes: Sequence[str], values: Values) -> str:
    lines = [_row(["recipe", "readout", *(f"T={t}" for t in TIMESTEPS)])]
    lines.append(_row(["---", "---", *["---:"] * len(TIMESTEPS)]))
    named = {name: [r for r in results if r.recipe == name] for name in recipes}
    for name, own in {**named, "best": best(results)}.items():
        for readout in READOUTS:
            rows = [r for r in own if r.readout == readout]
            cells = [_cell([r for r in rows if r.timesteps == t], values) for t in TIMESTEPS]
            if any(cells):
                lines.append(_row([name, readout, *cells]))
    return "\n".join(lines)


def _cell(draws: Sequence[Judged], values: Values) -> str:
    found = [x for x in map(values, draws) if x is not None]
    if not found or len(found) < len(draws):
        return ""
    mean, half = interval(np.mean(found, axis=0))
    text = f"{mean:.2f} ± {half:.2f}"
    if draws[0].readout == "all":
        return text
    delays, latencies = _span([r.delay for r in draws]), _span([r.latency for r in draws])
    return f"{text} (D={delays}, latency {latencies})"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}…{high}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
