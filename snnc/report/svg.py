"""Pictures as inline SVG, drawn by matplotlib and coloured by the page's style sheet."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = tuple(f"#0400{number:02x}" for number in range(8))
"""Placeholders for the colours of the style sheet, which differ between light and dark mode."""
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES)},
}
FONT_SIZE = 10.5
LABEL = 26
"""Longest label in a picture, in characters."""

_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<defs>\s*</defs>", re.DOTALL)
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_UNUSED_ID = re.compile(r' id="[a-z]+(?:\.[a-z]+)?_\d+"')
_PATH = re.compile(r'(?<= d=")[^"]*')
_DIGITS = re.compile(r"(\.\d\d)\d+")
_SPACES = re.compile(r">\s*\n\s*<")


@dataclass(frozen=True)
class Size:
    """Size of a picture in CSS pixels."""

    width: float
    height: float


def picture(name: str, title: str, size: Size, draw: Callable[[Figure], None]) -> str:
    """An `<svg>` element; the same drawing gives the same bytes.

    Args:
        name: unique on the page; letters only.
        title: description for screen readers.
        draw: draws on the empty figure.

    Raises `ImportError` without matplotlib.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = StringIO()
    with rc_context(cast(Any, _settings(name))), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the measuring font lacks; browsers have more
        inches = (size.width / 72, size.height / 72)
        figure = Figure(figsize=inches, dpi=72, layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA, facecolor="none")
    return _inline(buffer.getvalue(), name, title, size)


def _settings(name: str) -> dict[str, Any]:
    return {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "text.parse_math": False,  # a name may hold a dollar sign
        "font.size": FONT_SIZE,
        "font.family": ["DejaVu Sans"],
        "axes.titlesize": FONT_SIZE,
        "axes.titlelocation": "left",
        "axes.titlecolor": INK,
        "axes.titlepad": 8,
        "axes.labelsize": FONT_SIZE,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": GRID,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": False,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "xtick.color": GRID,
        "ytick.color": GRID,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": FONT_SIZE - 0.5,
        "ytick.labelsize": FONT_SIZE - 0.5,
        "text.color": INK,
        "legend.frameon": False,
        "legend.fontsize": FONT_SIZE - 0.5,
        "legend.labelcolor": INK,
        "path.simplify": False,
    }


def _inline(text: str, name: str, title: str, size: Size) -> str:
    """The SVG without prologue, metadata and superfluous digits, with the page's colours."""
    body = text[text.index("<svg") :]
    body = _DROPPED.sub("", body[body.index(">") + 1 :])
    body = _PATH.sub(lambda path: _DIGITS.sub(r"\1", " ".join(path[0].split())), body)
    body = _UNUSED_ID.sub("", body)
    body = _ID.sub(rf"\g<1>{name}-", body).replace("xlink:href", "href")
    body = _SPACES.sub("><", body.strip())
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    box = f"0 0 {size.width:g} {size.height:g}"
    spoken = escape(title, quote=True)
    widths = f"min-width:{0.66 * size.width:.0f}px;max-width:{1.18 * size.width:.0f}px"
    return f'<svg viewBox="{box}" style="{widths}" role="img" aria-label="{spoken}">{body}'


def label(text: object, longest: int = LABEL) -> str:
    """A name shortened to `longest` characters on one line, by omitting its middle."""
    shown = "".join(c if c.isprintable() else "·" for c in str(text))
    if len(shown) <= longest:
        return shown
    head = longest // 3
    return f"{shown[:head]}…{shown[head + 1 - longest :]}"


def quiet(axes: Axes, *, grid: str = "y") -> None:
    """Remove tick marks and draw a thin grid along `grid`: "x", "y", "both" or "none"."""
    axes.tick_params(length=0)
    if grid in ("x", "y", "both"):
        axes.grid(axis=grid)  # pyright: ignore[reportArgumentType]
