"""Figures and tables as HTML. Text from a model or a target is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

UNITS: Mapping[str, str] = {
    "pj": "pJ", "nj": "nJ", "uj": "µJ", "mj": "mJ", "uw": "µW", "mw": "mW",
    "um2": "µm²", "mm2": "mm²", "ps": "ps", "ns": "ns", "us": "µs", "ms": "ms",
    "seconds": "s", "bytes": "bytes", "bits": "bits", "timesteps": "steps",
}  # fmt: skip
"""Units by the suffix of a key."""
FRACTIONS = ("utilisation", "fraction", "rate", "silent", "saturated")


def words(key: str) -> str:
    """The heading of a key: `energy (pJ)` for `energy_pj`; not escaped."""
    head, _, unit = key.rpartition("_")
    if head and unit in UNITS:
        return f"{head.replace('_', ' ')} ({UNITS[unit]})"
    return key.replace("_", " ")


def number(value: Any) -> str:
    """Integers with commas, real numbers with four digits; other values are escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int) or (isinstance(value, float) and 1e3 <= abs(value) < 1e15):
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return escape(", ".join(str(item) for item in value))
    return escape(str(value))


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as a percentage; "" for None."""
    return "" if fraction is None else f"{100 * fraction:.{digits}f} %"


def cell(key: str, value: Any) -> str:
    """The text of a value; fractions, by the name of the key, as percentages."""
    part = isinstance(value, float) and key.rpartition("_")[2] in FRACTIONS
    return percent(value) if part else number(value)


def span(low: float, high: float) -> str:
    """A range, or a single value if both ends read alike."""
    first, last = number(low), number(high)
    return first if first == last else f"{first} – {last}"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: Sequence[int] = (0,),
    minor: Sequence[int] = (),
    aside: Iterable[bool] | None = None,
) -> str:
    """A table that scrolls in a narrow window.

    Args:
        columns: headings, unescaped.
        rows: cells, escaped.
        text: indices of text columns; the others are right-aligned.
        minor: indices of columns in small print.
        aside: per row, whether it is in the muted colour.
    """
    listed = list(rows)
    sides = list(aside) if aside is not None else [False] * len(listed)
    classes = [
        " ".join([*([] if i in text else ["n"]), *(["minor"] if i in minor else [])])
        for i in range(len(columns))
    ]
    attributes = [f' class="{name}"' if name else "" for name in classes]
    head = "".join(f"<th{a}>{escape(c)}</th>" for c, a in zip(columns, attributes, strict=True))
    body = "\n".join(
        ('<tr class="aside">' if side else "<tr>")
        + "".join(f"<td{a}>{c}</td>" for c, a in zip(row, attributes, strict=True))
        + "</tr>"
        for row, side in zip(listed, sides, strict=True)
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A table of names (unescaped) and values (escaped), one pair per row."""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="wrap">{value}</td></tr>'
        for name, value in pairs
    )
    return f'<table class="facts"><tbody>\n{rows}\n</tbody></table>'


def by_node(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of nodes; its columns are their keys, in order of appearance."""
    keys = list(dict.fromkeys(key for row in figures.values() for key in row))
    words_only = [
        i
        for i, key in enumerate(keys, 1)
        if all(isinstance(row.get(key, ""), str) for row in figures.values())
    ]
    rows = [
        [escape(name), *(cell(key, row[key]) if key in row else "" for key in keys)]
        for name, row in figures.items()
    ]
    return table(["layer", *map(words, keys)], rows, text=(0, *words_only))
