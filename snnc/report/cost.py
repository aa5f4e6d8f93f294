"""The section of a page on the cost of an inference: energy, time and area; "" without it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from snnc.report.markup import cell, facts, number, table, words
from snnc.report.pictures import BAR, FULL, Picture
from snnc.report.sections import folded, notes
from snnc.report.svg import SERIES, Size, label, picture, quiet
from snnc.report.units import energy_parts, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
PROXY = "arithmetic_45nm_proxy_pj"
SKIPPED = ("components", "area_of_parts", "layers", "counts", "events", "table", "notes")
MOST = 40
"""Layers drawn: those of most energy."""


def totals(report: Json) -> str:
    """Every figure of an inference, and what is left out of them."""
    cost = report.get("cost")
    if not cost:
        return ""
    headline = (
        f"<p><b>{quantity(cost['energy_pj'], 'pj')} an inference</b> in "
        f"{escape(str(cost['technology']))}: {energy_parts(cost)}. "
        f"Counts: {escape(str(cost['basis']))}.</p>"
    )
    shown = {k: v for k, v in cost.items() if k not in SKIPPED} | cost.get("components", {})
    shown |= {f"area of {k}": v for k, v in cost.get("area_of_parts", {}).items()}
    pairs = ((words(key), cell(key, value)) for key, value in shown.items())
    return "\n".join([headline, facts(pairs), notes(cost.get("notes") or [])])


def layers(report: Json) -> str:
    """Energy and time of every layer; the arithmetic proxy in a column of its own."""
    rows = (report.get("cost") or {}).get("layers")
    if not rows:
        return ""
    keys = sorted(
        dict.fromkeys(key for row in rows.values() for key in row),
        key=lambda key: (key == PROXY, key != "energy_pj", key == "step_ns"),
    )
    body = [
        [escape(node), *(cell(key, row[key]) if key in row else "" for key in keys)]
        for node, row in rows.items()
    ]
    return folded("Cost by layer", table(["layer", *map(words, keys)], body))


def technology(report: Json) -> str:
    """The technology table with its sources."""
    entries = (report.get("cost") or {}).get("table")
    if not entries:
        return ""
    units = {"energy": "pJ", "power": "mW", "time": "ns", "area": "µm²"}
    rows = [
        [
            escape(str(entry["name"])),
            f"{entry['value']:.4g} {units.get(str(entry['name']).partition('.')[0], '')}",
            number(entry["node_nm"]),
            escape(str(entry["source"])),
            escape(str(entry["scaled"])),
        ]
        for entry in entries
    ]
    columns = ("entry", "value", "node (nm)", "source", "scaled")
    return folded("Technology table", table(columns, rows, text=(0, 3, 4), minor=(3, 4)))


def energy_by_component(report: Json) -> Picture | None:
    """Stacked bars: the energy of every layer, by component."""
    rows: Mapping[str, Json] = (report.get("cost") or {}).get("layers") or {}
    chosen = sorted(rows, key=lambda node: -rows[node]["energy_pj"])[:MOST]
    drawn = [node for node in rows if node in chosen and rows[node]["energy_pj"] > 0]
    if not drawn:
        return None
    other = ("energy_pj", PROXY)
    parts = dict.fromkeys(
        key for node in drawn for key in rows[node] if key.endswith("_pj") and key not in other
    )
    title = "Energy by layer and component"
    caption = (
        "Dynamic and input/output energy of an inference; static energy is of the whole chip. "
        + (f"The {len(drawn)} layers of most energy." if len(drawn) < len(rows) else "")
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places, left = range(len(drawn)), [0.0] * len(drawn)
        for colour, part in zip(SERIES, parts, strict=False):
            widths = [rows[node].get(part, 0.0) / 1e3 for node in drawn]
            name = part.removesuffix("_pj").replace("_", " ")
            axes.barh(places, widths, height=0.66, left=left, color=colour, label=name)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(places, labels=[label(node) for node in drawn])
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlabel("energy (nJ)")
        figure.legend(loc="outside right upper")
        quiet(axes, grid="x")

    size = Size(FULL, max(220.0, len(drawn) * BAR + 62))
    return Picture(title, caption.strip(), picture("energy", title, size, draw), wide=True)
