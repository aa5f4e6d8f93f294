"""The tables of `table.py`, from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown_table import markdown_table

START, STOP = "<!-- learning-tables -->", "<!-- /learning-tables -->"
TITLES = {
    "together": "Weights, thresholds and leaks at T = 5",
    "ladder": "One time step",
    "hybrid": "STDB behind conversion, Poisson input, T = 25",
    "anytime": "One network for T = 1 to 5",
    "resnet20": "The given ResNet-20, fine-tuned",
    "all-images": "ResNet-20, all 50,000 images",
}
EXPENSES = (
    "spikes per neuron",
    "energy: ANN/SNN",
    "of it layer 1 (%)",
    "first layer every step",
    "membrane accesses (10⁶)",
    "crossbar (µJ)",
)
"""Columns of what an inference takes."""
Rows = Sequence[Mapping[str, Any]]


def write_tables(page: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the tables of all rows between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(STOP)[1]
    tables = "\n\n".join(_tables([*rows.values()]))
    page.write_text(f"{before}{START}\n\n{tables}\n\n{STOP}{after}", encoding="utf-8")


def _tables(rows: Rows) -> Iterator[str]:
    for experiment, title in TITLES.items():
        own = [row for row in rows if row["experiment"] == experiment]
        for dataset in dict.fromkeys(row["dataset"] for row in own):
            yield f"### {title}: {dataset}"
            yield _table([row for row in own if row["dataset"] == dataset])
            if learnt := list(_parameters([row for row in own if row["dataset"] == dataset])):
                yield "\n".join(learnt)


def _table(rows: Rows) -> str:
    parts = list(dict.fromkeys(part for row in rows for part in row["accuracy"]))
    heads = ["", "T", *(f"accuracy, {part} (%)" for part in parts)]
    held = any("agreement" in row for row in rows)
    more = ["gap (points)", "agreement, all (%)", "latency"] if held else []
    lines: list[list[str]] = []
    for arm, drawn in _arms(rows):
        accuracies = [_spread([100 * row["accuracy"][part] for row in drawn]) for part in parts]
        against = _against(drawn, rows) if held else []
        steps = str(drawn[0].get("timesteps", ""))
        lines.append([arm, steps, *accuracies, *against, *_expenses(drawn)])
    return markdown_table([*heads, *more, *EXPENSES], lines)


def _against(drawn: Rows, rows: Rows) -> list[str]:
    """Points below the ANN on the first part, agreement with it, latency; "" what is not kept."""
    if drawn[0]["arm"] == "ANN":
        return [""] * 3
    part = next(iter(drawn[0]["accuracy"]))
    ann = next(row["accuracy"][part] for row in rows if row["arm"] == "ANN")
    gap = _spread([100 * (ann - row["accuracy"][part]) for row in drawn])
    agreed = [100 * row["agreement"] for row in drawn if "agreement" in row]
    latency = drawn[0].get("latency_timesteps", "")
    return [gap, _spread(agreed) if agreed else "", str(latency)]


def _arms(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Arms with their seeds."""
    for arm in sorted({row["arm"] for row in rows}, key=_order):
        yield arm, sorted((r for r in rows if r["arm"] == arm), key=lambda r: r["seed"])


def _order(arm: str) -> tuple[int, int, str]:
    """The ANN, what is converted, what learns: longer windows first, more that learns last."""
    window = int(arm.rpartition("T=")[2]) if "T=" in arm else 0
    direct = arm.startswith(("ANN to", "scratch"))
    first = 0 if arm == "ANN" else 1 if "convert" in arm else 3 if direct else 2
    return first + arm.startswith("calibrated"), -window or len(arm), arm


def _parameters(rows: Rows) -> Iterator[str]:
    """What was learnt besides weights, layer by layer."""
    for arm, drawn in _arms(rows):
        learnt = [row["learnt"] for row in drawn if row.get("learnt")]
        if not learnt:
            continue
        for what in ("thresholds", "leaks"):
            means = {
                node: np.mean([parameters[what][node]["mean"] for parameters in learnt])
                for node in learnt[0][what]
            }
            if what == "leaks" and set(means.values()) == {1.0}:
                continue
            shown = ", ".join(f"{value:.3g}" for value in means.values())
            yield f"- {arm}: {what} of the layers, mean of the seeds: {shown}"


def _expenses(drawn: Rows) -> list[str]:
    """Cells below `EXPENSES`; "" what is not kept."""
    if "energy" not in drawn[0]:
        return [""] * len(EXPENSES)
    on_chip = [row["crossbar_uj"] for row in drawn if "crossbar_uj" in row]
    accesses = next((row["membrane_accesses"] for row in drawn if "crossbar_uj" in row), None)
    return [
        _spread([row["spikes_per_neuron"] for row in drawn]),
        _gain(drawn, "energy_pj"),
        _spread([100 * _first_layer(row["energy"]) for row in drawn]),
        _gain(drawn, "energy_first_layer_every_step_pj"),
        "" if accesses is None else f"{accesses / 1e6:.2f}",
        _spread(on_chip) if on_chip else "",
    ]


def _first_layer(energy: Mapping[str, float]) -> float:
    """Its share in the energy, computed once; no other layer multiplies."""
    return 1 - energy["ac_pj"] * energy["ac_per_inference"] / energy["energy_pj"]


def _gain(rows: Rows, key: str) -> str:
    return _spread([r["energy"]["ann_energy_pj"] / r["energy"][key] for r in rows])


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    mean = f"{np.mean(values):.2f}"
    return f"{mean} ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else mean
