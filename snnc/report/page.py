"""`report.html`: one file, drawn from `report.json` alone; no network, no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from snnc.report import cost, diagnosis, pictures, sections, verdict
from snnc.report.mesh import mesh_map
from snnc.report.tiles import tile_map
from snnc.report.variation import by_value


def render(report: Mapping[str, Any]) -> str:
    """The HTML page of a report; the same report gives the same bytes.

    Args:
        report: the content of `report.json`, keys as in docs/report.md; any may be missing.

    Raises `ImportError` without matplotlib.
    """
    page = Template(_resource("page.html"))
    title = escape(f"{sections.subject(report)} · snnc {report.get('kind', 'report')}")
    return page.substitute(title=title, style=_resource("page.css"), body=_joined(*_body(report)))


def _body(report: Mapping[str, Any]) -> list[str]:
    """The parts of the page from top to bottom; empty where the report has nothing for one."""
    figures = sections.figures
    return [
        sections.heading(report),
        sections.summary(report),
        figures([pictures.windows(report), by_value(report), pictures.spikes(report)]),
        _section(
            "Comparison with the reference",
            verdict.verdict(report),
            verdict.counts(report),
            verdict.nodes(report),
        ),
        _section("Findings", diagnosis.findings(report)),
        _section(
            "Errors",
            diagnosis.layer_errors(report),
            diagnosis.layer_errors_note(report),
            figures([diagnosis.parts_by_layer(report), diagnosis.output_over_window(report)]),
        ),
        _section("Layers", sections.layer_table(report), sections.layer_note(report)),
        _section("Spikes", figures([pictures.raster(report), pictures.scatter(report)])),
        _section(
            "Hardware",
            sections.hardware(report),
            figures([tile_map(report), mesh_map(report)]),
            sections.hardware_layers(report),
            sections.activity(report),
        ),
        _section(
            "Cost of an inference",
            cost.totals(report),
            figures([cost.energy_by_component(report)]),
            cost.layers(report),
            cost.technology(report),
        ),
        _section("Compilation", sections.passes(report), figures([pictures.seconds(report)])),
        _section("Provenance", sections.provenance(report)),
    ]


def _section(title: str, *parts: str) -> str:
    shown = _joined(*parts)
    return f"<section>\n<h2>{escape(title)}</h2>\n{shown}\n</section>" if shown else ""


def _joined(*parts: str) -> str:
    return "\n".join(filter(None, parts))


def _resource(name: str) -> str:
    return (files("snnc.report") / name).read_text(encoding="utf-8")
