"""Tables and picture of the rows of `sweep.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.crossbar.sweep_networks import ORIGINAL

Row = Mapping[str, Any]
CONFIDENT = 1.96
"""Half of a 95 % interval, in standard errors."""
LABELS: Mapping[str, str] = {
    "cell-bits": "bits of a cell (gaussian, sigma=0.02)",
    "adc-bits": "bits of a converter (ideal 4-bit cells)",
    "sigma": "sigma of programming, of g_max (4-bit cells)",
    "stuck": "cells stuck on, and as many off (4-bit cells)",
    "wire-ohm": "ohm of a wire from cell to cell (4-bit cells)",
    "seconds": "seconds after programming (PCM, 1-bit cells)",
}
ORDER = ("ideal", *LABELS, "day")
LINEAR = ("cell-bits", "adc-bits")
COLUMNS = (
    "factor", "value", "chips", "accuracy (%)", "loss, points", "clipped (%)",
    "chip (uJ)", "tiles (uJ)", "no read skipped", "ANN (uJ)",
)  # fmt: skip


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: a table for every network and number of images, a line for every value.

    Losses are against the ideal chip of the network as it was converted, on the same images.
    """
    for network, images in dict.fromkeys((row["network"], row["images"]) for row in rows):
        own = [row for row in rows if (row["network"], row["images"]) == (network, images)]
        of_images = [row for row in rows if row["images"] == images]
        reference = [r for r in chosen(of_images, "ideal", None) if r["network"] == ORIGINAL]
        yield f"{network}, {images} images\n"
        yield f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
        values = dict.fromkeys((row["factor"], row["value"]) for row in own)
        for factor, value in sorted(values, key=_rank):
            chips = chosen(own, factor, value)
            yield f"| {' | '.join(_line(chips, reference))} |"
        yield ""


def _rank(of: tuple[str, Any]) -> tuple[int, float]:
    """Factors in their order, numbers from small to large."""
    factor, value = of
    return ORDER.index(factor), value if isinstance(value, float | int) else 0.0


def chosen(rows: Sequence[Row], factor: str, value: Any) -> list[Row]:
    """The chips of a value."""
    return [row for row in rows if (row["factor"], row["value"]) == (factor, value)]


def spread(chips: Sequence[Row]) -> tuple[float, float]:
    """Mean and standard deviation of the accuracy over chips, in per cent."""
    found = [100 * row["accuracy"] for row in chips]
    return float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else 0.0


def loss(chips: Sequence[Row], ideal: Row) -> tuple[float, float]:
    """Mean loss over chips, in points, and half of its 95 % interval from the images in pairs."""
    difference = np.zeros(ideal["images"])
    for row in chips:
        difference[row["wrong"]] += 100 / len(chips)
    difference[ideal["wrong"]] -= 100
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean()), float(CONFIDENT * error)


def _line(chips: Sequence[Row], ideal: Sequence[Row]) -> Iterator[str]:
    mean, deviation = spread(chips)
    lost = "{:.2f} ± {:.2f}".format(*loss(chips, ideal[0])) if ideal else ""
    yield chips[0]["factor"]
    yield "" if chips[0]["value"] is None else str(chips[0]["value"])
    yield str(len(chips))
    yield f"{mean:.1f} ± {deviation:.1f}" if len(chips) > 1 else f"{mean:.1f}"
    yield lost
    yield f"{100 * np.mean([row['clip_rate'] for row in chips]):.2g}"
    for name in ("energy_nj", "tiles_nj", "dense_tiles_nj", "ann_tiles_nj"):
        found = [row[name] for row in chips if name in row]
        yield f"{np.mean(found) / 1e3:.1f}" if found else ""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Accuracy by value, a picture for every factor; nothing where there are no rows."""
    present = [name for name in LABELS if any(row["factor"] == name for row in rows)]
    if not present:
        return
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 8}):
        figure = Figure(figsize=(10, 5.2), layout="constrained")
        for axes, factor in zip(np.ravel(figure.subplots(2, 3)), LABELS, strict=True):
            _panel(axes, rows, factor)
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: Axes, rows: Sequence[Row], factor: str) -> None:
    values = sorted({row["value"] for row in rows if row["factor"] == factor})
    points = [spread(chosen(rows, factor, value)) for value in values]
    mean, deviation = zip(*points, strict=True) if points else ((), ())
    axes.errorbar(values, mean, deviation, marker="o", markersize=3, capsize=3, color="#1f5a96")
    for row in chosen(rows, "ideal", None):
        axes.axhline(100 * row["accuracy"], color="#888888", linestyle="--", linewidth=0.8)
    if factor not in LINEAR:
        axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel(LABELS[factor])
    axes.set_ylabel("accuracy (%)")
