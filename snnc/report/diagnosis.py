"""The sections of a diagnosis: findings, errors of the layers, output error over T."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from snnc.report.markup import percent, span, table
from snnc.report.pictures import HALF, Picture
from snnc.report.svg import INK, SERIES, Size, label, picture, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
PARTS = ("inherited", "clipping", "quantisation", "unevenness")
COLUMNS = ("error", *PARTS, "rounding", "silent", "saturated")
BAR = 19.0


def findings(report: Json) -> str:
    """Faults with their remedies, then notes."""
    entries = report.get("findings")
    if entries is None:
        return ""
    faults = [finding for finding in entries if finding.get("severity") == "fault"]
    notes = [finding for finding in entries if finding.get("severity") != "fault"]
    parts = [_fault(finding) for finding in faults] or ["<p>No fault found.</p>"]
    if notes:
        listed = "".join(f"<li>{_where(note)}: {_text(note, 'text')}</li>" for note in notes)
        parts.append(f"<h3>Notes</h3>\n<ul>{listed}</ul>")
    return "\n".join(parts)


def _fault(finding: Json) -> str:
    return (
        f"<h3>{_where(finding)}: {_text(finding, 'cause')}</h3>\n"
        f"<p>{_text(finding, 'text')}</p>\n"
        f'<p class="note">Try: {_text(finding, "remedy").replace("`", "")}.</p>'
    )


def _where(finding: Json) -> str:
    layer, node = _text(finding, "layer"), _text(finding, "node")
    return layer if node in ("", layer) else f"{layer} ({node})"


def _text(finding: Json, key: str) -> str:
    return escape(str(finding.get(key) or ""))


def layer_errors(report: Json) -> str:
    """Table of the errors of every population."""
    rows = report.get("layer_errors") or []
    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    if not rows:
        return ""
    return table(
        ("layer", *shown, "correlation", "threshold"),
        [
            [
                escape(str(row["name"])),
                *(percent(row.get(key), 1) for key in shown),
                f"{row['correlation']:.3f}" if "correlation" in row else "",
                span(*row["threshold"]) if "threshold" in row else "",
            ]
            for row in rows
        ],
    )


def layer_errors_note(report: Json) -> str:
    """Legend of the table."""
    if not report.get("layer_errors"):
        return ""
    return (
        '<p class="note">Root mean squares relative to that of the ANN\'s activation. Error: rate '
        "× threshold against the activation. Its parts: inherited from the layers in front; "
        "clipping above the threshold; quantisation into T + 1 values; unevenness of the input in "
        "time. Silent: neurons that never fired. Saturated: neurons and samples that fired at "
        "every step.</p>"
    )


def parts_by_layer(report: Json) -> Picture | None:
    """Plot of the error of every layer and its parts, in the order of the network."""
    rows = [row for row in report.get("layer_errors") or [] if "error" in row]
    if not rows:
        return None
    title = "Error of the layers"
    caption = "Relative to the ANN's activation; the parts add as values, not as these figures."
    names = [str(row["name"]) for row in rows]
    places = range(len(rows))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for key, colour in zip(PARTS, SERIES, strict=False):
            values = [100 * row.get(key, 0.0) for row in rows]
            axes.plot(values, places, "o", color=colour, markersize=4, label=key)
        total = [100 * row["error"] for row in rows]
        axes.plot(total, places, "-", color=INK, linewidth=1.4, label="error")
        axes.set_yticks(list(places), labels=[label(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("relative error (%)")
        axes.legend(loc="best")
        quiet(axes, grid="x")

    size = Size(HALF, max(280.0, 70 + BAR * len(rows)))
    return Picture(title, caption, picture("parts", title, size, draw))


def output_over_window(report: Json) -> Picture | None:
    """Plot of the output's relative error and agreement with the ANN over the window."""
    rows = report.get("over_t") or []
    keys = [key for key in ("error", "agreement") if rows and all(key in row for row in rows)]
    if len(rows) < 2 or "error" not in keys:
        return None
    title = "Output over the window"
    samples = report.get("samples", "")
    caption = f"{samples} samples against the ANN; windows are prefixes of one run."
    steps = [row["timesteps"] for row in rows]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for key, colour in zip(keys, SERIES, strict=False):
            values = [100 * row[key] for row in rows]
            axes.plot(steps, values, "o-", color=colour, markersize=4, linewidth=1.6, label=key)
        axes.set_xscale("log", base=2)
        ticks = [t for t in steps if t & (t - 1) == 0 or t == steps[-1]]
        axes.set_xticks(ticks, labels=[str(t) for t in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("window T (time steps)")
        axes.set_ylabel("relative error, agreement (%)")
        axes.legend(loc="best")
        quiet(axes)

    return Picture(title, caption, picture("overwindow", title, Size(HALF, 280), draw))
