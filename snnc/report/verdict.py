"""The section of a page on the comparison of a target with the reference."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from snnc.report.markup import number, percent, table

Json = Mapping[str, Any]

SENTENCES = {
    "equal": "Every value compared equals the reference's.",
    "within tolerance": "Within tolerance: in a network of real values spikes may differ at ties.",
    "not judged": "Not judged: the target does not promise equality.",
    "differs": "The target differs from the reference.",
}


def verdict(report: Json) -> str:
    """The result as a sentence; "" for reports without one."""
    if "verdict" not in report:
        return ""
    said = str(report["verdict"])
    sentence = escape(SENTENCES.get(said, said))
    if report.get("inexact"):
        sentence += f" {escape(str(report['inexact']))}."
    passed = report.get("passed") is not False
    opening = "<p>" if passed else '<p class="alarm" role="alert">'
    return f"{opening}<b>{'Passed' if passed else 'Failed'}.</b> {sentence}</p>"


def counts(report: Json) -> str:
    """Number of values compared, and of differing ones, per kind."""
    compared, differing = report.get("compared") or {}, report.get("differing") or {}
    rows = [
        [escape(kind), number(total), number(differing.get(kind, 0)), _rate(differing, kind, total)]
        for kind, total in compared.items()
        if total
    ]
    columns = ("values", "compared", "differ", "fraction")
    return table(columns, rows, text=(0,)) if rows else ""


def nodes(report: Json) -> str:
    """Number of differing spikes per population."""
    found = report.get("differing_nodes") or {}
    rows = [[escape(str(node)), number(count)] for node, count in found.items()]
    return table(("population", "spikes that differ"), rows, text=(0,)) if rows else ""


def _rate(differing: Json, kind: str, total: int) -> str:
    return percent(differing.get(kind, 0) / total, 3)
