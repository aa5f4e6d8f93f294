"""Tables and a picture of the rows of `speed.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

OURS = ("snnc, 8 bits", "snnc, grid", "snnc, float", "snnc, 8 bits, avx2")
PEERS = ("SpikingJelly", "snnTorch", "sinabs")
"""The spiking frameworks."""
PAIRS = {
    "framework / 8 bits": ("framework", "snnc, 8 bits"),
    "framework / grid": ("framework", "snnc, grid"),
    "framework / float": ("framework", "snnc, float"),
    "framework / avx2": ("framework", "snnc, 8 bits, avx2"),
    "ANN fp32 / 8 bits": ("ANN, fp32", "snnc, 8 bits"),
    "ANN fp32 / float": ("ANN, fp32", "snnc, float"),
    "ANN int8 / 8 bits": ("ANN, int8", "snnc, 8 bits"),
}
"""Quotients of medians: how many times as long the first takes; `framework` is the fastest."""


def clock(row: Mapping[str, Any]) -> str:
    """Which time a row is judged by."""
    return "processor_ms" if row["threads"] == 1 else "clock_ms"


def median(row: Mapping[str, Any], tool: str) -> float | None:
    """Milliseconds of a tool; None where it was not measured."""
    found = row["tools"].get(tool)
    return None if found is None else found[clock(row)]["median"]


def framework(row: Mapping[str, Any]) -> str | None:
    """The fastest of the spiking frameworks."""
    there = [name for name in PEERS if name in row["tools"]]
    return min(there, key=lambda name: median(row, name) or 0, default=None)


def ratios(row: Mapping[str, Any]) -> dict[str, float]:
    """Quotients of medians, by the names of `PAIRS`."""
    found = dict[str, float]()
    for name, (first, second) in PAIRS.items():
        over = median(row, (framework(row) or "") if first == "framework" else first)
        under = median(row, second)
        if over and under:
            found[name] = round(over / under, 2)
    return found


def tables(rows: Mapping[str, Any]) -> str:
    """Markdown: milliseconds, then quotients."""
    tools = list(dict.fromkeys(tool for row in rows.values() for tool in row["tools"]))
    times = [[name, *(_cell(row, tool) for tool in tools)] for name, row in rows.items()]
    quotients = list[list[str]]()
    for name, row in rows.items():
        found = ratios(row)
        fastest = framework(row) or ""
        quotients.append([name, fastest, *(str(found.get(pair, "")) for pair in PAIRS)])
    return "\n".join(
        (
            *_markdown(["milliseconds, median (half of the rounds)", *tools], times),
            "",
            *_markdown(["how many times as long", "fastest framework", *PAIRS], quotients),
        )
    )


def _cell(row: Mapping[str, Any], tool: str) -> str:
    found = row["tools"].get(tool)
    if found is None:
        return ""
    times = found[clock(row)]
    spread = f"{times['quarter']:.3g} to {times['three_quarters']:.3g}"
    mark = " ≠" if found.get("equal") is False and tool != "snnc, float" else ""
    return f"{times['median']:.3g} ({spread}){mark}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|---" + "|---:" * (len(header) - 1) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def plotted(rows: Mapping[str, Any], stem: Path) -> None:
    """Write the rows with their quotients to `stem`.json, and a picture to `stem`.svg."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    stem.parent.mkdir(parents=True, exist_ok=True)
    told = {name: {**row, "ratios": ratios(row)} for name, row in rows.items()}
    stem.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    mpl.rcParams |= {"svg.hashsalt": "snnc", "svg.fonttype": "none"}
    across = min(3, len(rows))
    down = -(-len(rows) // across)
    figure, grid = plt.subplots(down, across, figsize=(4.4 * across, 3.4 * down), squeeze=False)
    for axes in grid.flat[len(rows) :]:
        axes.axis("off")
    for axes, (name, row) in zip(grid.flat, rows.items(), strict=False):
        _times(axes, name, row)
    figure.tight_layout()
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def _times(axes: Any, name: str, row: Mapping[str, Any]) -> None:
    for tool in reversed(row["tools"]):
        times = row["tools"][tool][clock(row)]
        colour = "C0" if tool in OURS else "C7" if tool.startswith("ANN") else "C1"
        axes.plot([times["quarter"], times["three_quarters"]], [tool, tool], color=colour)
        axes.plot(times["median"], tool, "o", color=colour, markersize=5)
        text = f"  {times['median']:.3g}"
        axes.annotate(text, (times["three_quarters"], tool), va="center", fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_xlabel("ms")
    axes.set_title(name, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.grid(axis="x", linewidth=0.3)
