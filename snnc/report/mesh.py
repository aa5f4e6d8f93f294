"""The picture of a mesh: cores coloured by layer, links as wide as the packets over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snnc.report.pictures import FULL, Picture
from snnc.report.svg import GRID, INK, MUTED, SERIES, Size, label, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
SIDE = 46.0
"""Pixels of a core with its gap, at most."""
NAMED = 64
"""Most cores that are labelled with their layer."""


def mesh_map(report: Json) -> Picture | None:
    """The cores of a placement and the packets between them."""
    hardware = report.get("hardware") or {}
    placement = hardware.get("placement")
    if not placement or not placement.get("cores"):
        return None
    layers = _layers(placement["cores"], hardware.get("tiles") or ())
    columns, rows = placement["mesh"]
    named = columns * rows <= NAMED
    side = min(SIDE * (2.2 if named else 1), FULL / (columns + 1))
    title = "Mesh"
    caption = (
        f"{len(placement['cores'])} cores on {columns} × {rows} sites, coloured by layer; a link "
        "is as wide as the square root of the packets over it. "
        f"{placement['hops']:,.0f} hops an inference ({placement['rates']})."
    )
    order = list(dict.fromkeys(layers.values()))

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-0.6, columns - 0.4)
        axes.set_ylim(rows - 0.4, -0.6)
        _links(axes, placement["links"])
        used = {(core["x"], core["y"]): core["core"] for core in placement["cores"]}
        for x in range(columns):
            for y in range(rows):
                name = layers.get(used.get((x, y), -1))
                colour = GRID if name is None else SERIES[order.index(name) % len(SERIES)]
                axes.add_patch(_square(x, y, colour))
                if named and name is not None:
                    axes.text(
                        x, y, label(name, 12), ha="center", va="center", color=INK, fontsize=9
                    )

    size = Size(round(columns * side + side / 5, 1), round(rows * side + side / 5, 1))
    return Picture(title, caption, picture("mesh", title, size, draw), wide=True)


def _layers(cores: Sequence[Json], tiles: Sequence[Json]) -> dict[int, str]:
    """Per core the layer of most of its tiles."""
    layer_of = {tile["tile"]: str(tile["layer"]) for tile in tiles}
    named: dict[int, str] = {}
    for core in cores:
        counted = Counter(layer_of.get(tile, "") for tile in core["tiles"])
        named[core["core"]] = counted.most_common(1)[0][0] if counted else ""
    return named


def _links(axes: Axes, links: Json) -> None:
    most = max((n for rows in links.values() for row in rows for n in row), default=0.0)
    if not most:
        return
    for kind, (dx, dy) in (("across", (1, 0)), ("down", (0, 1))):
        for y, row in enumerate(links[kind]):
            for x, packets in enumerate(row):
                if packets > 0:
                    width = 0.6 + 8 * (packets / most) ** 0.5
                    axes.plot([x, x + dx], [y, y + dy], color=MUTED, linewidth=width, zorder=1)


def _square(x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.36, y - 0.36), 0.72, 0.72, facecolor=colour, edgecolor=MUTED, zorder=2)
