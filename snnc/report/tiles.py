"""The tile map: every tile of the hardware and the cells of it that a layer uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from snnc.report.pictures import FULL, Picture
from snnc.report.svg import GRID, MUTED, SERIES, Size, label, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
MOST = 3_000
"""Largest number of tiles drawn; of every layer the same fraction."""
LEFT = 170.0
GAP = 0.22
"""Between two tiles, in tiles."""


@dataclass(frozen=True)
class _Band:
    """The drawn tiles of a layer, the total number of its tiles, and the line they start at."""

    layer: str
    tiles: Sequence[Json]
    total: int
    first_line: int


def tile_map(report: Json) -> Picture | None:
    """Each tile as a rectangle, filled as far as it is used; one colour per layer."""
    hardware = report.get("hardware") or {}
    tiles, shape = hardware.get("tiles"), hardware.get("tile_shape")
    if not tiles or not shape:
        return None
    columns = 32 if len(tiles) <= 600 else 48
    bands, lines = _bands(tiles, columns)
    drawn = sum(len(band.tiles) for band in bands)
    pitch = (FULL - LEFT) / columns
    ratio = min(3.0, max(0.34, shape[0] / shape[1]))
    title = "Tile map"
    count = len({tile["tile"] for tile in tiles})
    caption = (
        f"Each box is a tile of {shape[0]} rows × {shape[1]} columns, the filled part its used "
        f"cells; {count:,} tiles"
        + (f", a box for each of {len(tiles):,} parts" if count < len(tiles) else "")
        + (f", {drawn:,} of them drawn." if drawn < len(tiles) else ".")
    )

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-LEFT / pitch, columns)
        axes.set_ylim(lines * (ratio + GAP), 0)
        for number, band in enumerate(bands):
            _draw(axes, band, SERIES[number % len(SERIES)], columns, shape, ratio)

    height = max(40.0, lines * (ratio + GAP) * pitch)
    svg = picture("tiles", title, Size(FULL, round(height, 1)), draw)
    return Picture(title, caption, svg, wide=True)


def _bands(tiles: Sequence[Json], columns: int) -> tuple[list[_Band], int]:
    """The layers in order of their first tile, and the number of lines."""
    grouped: dict[str, list[Json]] = {}
    for tile in tiles:
        grouped.setdefault(str(tile["layer"]), []).append(tile)
    part = min(1.0, MOST / len(tiles))
    bands, line = [], 0
    for layer, own in grouped.items():
        shown = own[: max(1, int(len(own) * part))]
        bands.append(_Band(layer, shown, len(own), line))
        line += ceil(len(shown) / columns)
    return bands, line


def _draw(
    axes: Axes, band: _Band, colour: str, columns: int, shape: Sequence[int], ratio: float
) -> None:
    size = 1 - GAP
    outlines: list[tuple[float, float, float, float]] = []
    filled: list[tuple[float, float, float, float]] = []
    for place, tile in enumerate(band.tiles):
        x = place % columns + GAP / 2
        y = (band.first_line + place // columns) * (ratio + GAP) + GAP / 2
        outlines.append((x, y, size, ratio * size))
        wide, high = tile["cols"] / shape[1], tile["rows"] / shape[0]
        left, top = tile.get("left", 0) / shape[1], tile.get("top", 0) / shape[0]
        corner = (x + size * left, y + ratio * size * top)
        filled.append((*corner, size * min(1.0, wide), ratio * size * min(1.0, high)))
    axes.add_patch(_rectangles(filled, facecolor=colour, edgecolor="none"))
    axes.add_patch(_rectangles(outlines, facecolor="none", edgecolor=MUTED, linewidth=0.6))
    middle = band.first_line * (ratio + GAP) + GAP / 2 + ratio * size / 2
    text = f"{label(band.layer, 18)} · {band.total:,}"
    axes.text(-0.15, middle, text, ha="right", va="center", fontsize=10)
    top = band.first_line * (ratio + GAP)
    if band.first_line:
        axes.axhline(top, color=GRID, linewidth=0.6)


def _rectangles(boxes: Sequence[tuple[float, float, float, float]], **style: Any) -> Any:
    """Rectangles as one path, which keeps the file small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    parts = [
        Path([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], closed=True)
        for x, y, w, h in boxes
    ]
    return PathPatch(Path.make_compound_path(*parts), **style)
