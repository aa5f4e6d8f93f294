"""The picture of the sweeps of `table.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.robustness.plan import SWEEP_EPS, WINDOW
from benchmarks.robustness.report import KINDS, figure

Row = Mapping[str, Any]
COLOURS = {
    "ann": "#444444",
    "converted": "#1f5a96",
    "direct": "#b5482a",
    "poisson": "#3c7d3c",
    "robust": "#7a4a9c",
}
LINES = {"fgsm": ":", "minimum": "-"}
DATASET = "mnist"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Accuracy on MNIST by T, leak and eps, under FGSM (dotted) and the strongest attack.

    The ANN, which has neither steps nor leak, is a line without marks.
    """
    own = [
        row
        for row in rows
        if row["dataset"] == DATASET and row["experiment"] not in ("full", "draws")
    ]
    if not own:
        return
    at_eps = [row for row in own if row["eps"] == SWEEP_EPS[DATASET]]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 8}):
        panels = Figure(figsize=(10, 3.2), layout="constrained")
        steps, leak, eps = panels.subplots(1, 3)
        steps.set_xscale("log", base=2)
        plain = [row for row in at_eps if row["leak"] == 1 and row["changed"] is None]
        _panel(steps, [row for row in plain if row["timesteps"]], "timesteps", "T")
        window = WINDOW[DATASET]
        leaky = [r for r in at_eps if r["timesteps"] == window and r["changed"] is None]
        trained = [row for row in leaky if row["kind"] in ("direct", "poisson")]
        _panel(leak, trained, "leak", "leak, trained with it (1: none)")
        sizes = [row for row in own if row["timesteps"] in (0, window) and row["seed"] == 0]
        _panel(eps, [r for r in sizes if r["leak"] == 1 and r["changed"] is None], "eps", "eps")
        for axes in (steps, leak):
            for attack, line in LINES.items():
                ann = [figure(row, attack) for row in at_eps if row["kind"] == "ann"]
                axes.axhline(float(np.mean(ann)), color=COLOURS["ann"], linestyle=line)
        for axes in (steps, eps):
            axes.legend(fontsize=6)
        panels.savefig(path, metadata={"Date": None})


def _panel(axes: Axes, rows: Sequence[Row], by: str, label: str) -> None:
    for kind, colour in COLOURS.items():
        own = [row for row in rows if row["kind"] == kind]
        values = sorted({row[by] for row in own})
        for attack, line in LINES.items():
            found = [[figure(row, attack) for row in own if row[by] == value] for value in values]
            mean = [float(np.mean(each)) for each in found]
            spread = [float(np.std(each, ddof=1)) if len(each) > 1 else 0.0 for each in found]
            title = KINDS[kind] if attack == "minimum" and values else None
            style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3}
            axes.errorbar(values, mean, spread, capsize=2, linewidth=1, label=title, **style)
    ticks = sorted({row[by] for row in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy (%)")
