"""The picture of what an option of the target does to the accuracy, such as errors of cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snnc.report.pictures import HALF, Picture
from snnc.report.svg import MUTED, SERIES, Size, label, picture, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.])")
MEASURES = ("accuracy", "agreement")
WIDE = 20.0
"""Ratio of the largest to the smallest value from which on the axis is logarithmic."""


def by_value(report: Json) -> Picture | None:
    """Accuracy by the value of the option that was varied; else agreement with the ANN."""
    varied = report.get("varied") or {}
    rows = varied.get("values") or []
    measure = next((key for key in MEASURES if rows and all(key in row for row in rows)), None)
    if measure is None:
        return None
    numbers, name = axis([str(row["value"]) for row in rows])
    option = name or str(varied["option"])
    title = f"{measure.capitalize()} against {option}"
    chips = report.get("chips")
    caption = f"{report.get('samples')} samples; the line is the target as it was compiled for." + (
        f" Mean and standard deviation over {chips} chips." if chips else ""
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = list(range(len(rows))) if numbers is None else numbers
        means = [100 * row[measure] for row in rows]
        spread = [100 * row.get(f"{measure}_std", 0.0) for row in rows]
        line = "none" if numbers is None else "-"
        axes.errorbar(
            places, means, spread if any(spread) else None, fmt="o", linestyle=line, capsize=3,
            color=SERIES[0], markersize=4, linewidth=1.6,
        )  # fmt: skip
        if measure in report:
            axes.axhline(100 * report[measure], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        if numbers is not None and min(numbers) > 0 and max(numbers) > WIDE * min(numbers):
            axes.set_xscale("log")
        axes.set_xticks(places, labels=[label(text) for text in _ticks(rows, numbers)])
        axes.minorticks_off()
        if numbers is None:
            axes.tick_params(axis="x", rotation=20)
            axes.margins(x=0.2)
        axes.set_xlabel(option)
        axes.set_ylabel("samples (%)")
        axes.margins(y=0.12)
        quiet(axes)

    return Picture(title, caption, picture("varied", title, Size(HALF, 280), draw))


def axis(texts: Sequence[str]) -> tuple[list[float] | None, str]:
    """The numbers in which texts differ, if that is one in each and all, and what they are of.

    `gaussian{sigma=0.01}` and `gaussian{sigma=0.1}` give 0.01 and 0.1, "sigma of gaussian"; plain
    numbers have no name. Other texts give None and "".
    """
    shapes = {NUMBER.sub("#", text) for text in texts}
    columns = list(zip(*(NUMBER.findall(text) for text in texts), strict=False))
    differing = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(shapes) > 1 or len(differing) != 1:
        return None, ""
    (place,) = differing
    before = NUMBER.sub("#", texts[0]).split("#")[: place + 1]
    words = re.findall(r"[^\W\d][\w-]*", "".join(before))
    name = f"{words[-1]} of {words[0]}" if len(words) > 1 else ""
    return [float(text) for text in columns[place]], name


def _ticks(rows: Sequence[Json], numbers: Sequence[float] | None) -> list[str]:
    return [str(row["value"]) for row in rows] if numbers is None else [f"{n:g}" for n in numbers]
