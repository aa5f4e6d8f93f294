"""The picture of a mesh or an H-tree: cores coloured by layer, links as wide as their packets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    columns, rows = _sides(placement)
    named = columns * rows <= NAMED
    side = min(SIDE * (2.2 if named else 1), FULL / (columns + 1))
    title = "Mesh" if "mesh" in placement else "H-tree"
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


def _sides(placement: Json) -> tuple[int, int]:
    """Columns and rows of sites; those of a tree fill a square."""
    if "mesh" in placement:
        columns, rows = placement["mesh"]
        return columns, rows
    side = round(placement["h_tree"] ** 0.5)
    return side, side


def _layers(cores: Sequence[Json], tiles: Sequence[Json]) -> dict[int, str]:
    """Per core the layer of most of its tiles."""
    layer_of = {tile["tile"]: str(tile["layer"]) for tile in tiles}
    named: dict[int, str] = {}
    for core in cores:
        counted = Counter(layer_of.get(tile, "") for tile in core["tiles"])
        named[core["core"]] = counted.most_common(1)[0][0] if counted else ""
    return named


def _links(axes: Axes, links: Json) -> None:
    lines = list(_tree_lines(links["levels"]) if "levels" in links else _mesh_lines(links))
    most = max((packets for _, _, packets in lines), default=0.0)
    for xs, ys, packets in lines:
        if packets > 0:
            width = 0.6 + 8 * (packets / most) ** 0.5
            axes.plot(xs, ys, color=MUTED, linewidth=width, zorder=1)


def _mesh_lines(links: Json) -> Iterator[tuple[list[float], list[float], float]]:
    """x and y of the ends of every link, and the packets over it."""
    for kind, (dx, dy) in (("across", (1, 0)), ("down", (0, 1))):
        for y, row in enumerate(links[kind]):
            for x, packets in enumerate(row):
                yield [x, x + dx], [y, y + dy], packets


def _tree_lines(
    levels: Sequence[Sequence[float]],
) -> Iterator[tuple[list[float], list[float], float]]:
    """The same of a tree: from the middle of a router's square up or down, then across."""
    for level, row in enumerate(levels):
        for node, packets in enumerate(row):
            x, y = _middle(node, level, len(levels))
            up_x, up_y = _middle(node // 4, level + 1, len(levels))
            yield [x, x, up_x], [y, up_y, up_y], packets


def _middle(node: int, level: int, levels: int) -> tuple[float, float]:
    """x and y of the middle of the square of a router, or of a core at level 0."""
    x = y = 0
    for k in range(levels - level):
        branch = node // 4**k % 4
        x, y = x + (branch % 2 << k), y + (branch // 2 << k)
    side = 2**level
    return x * side + (side - 1) / 2, y * side + (side - 1) / 2


def _square(x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.36, y - 0.36), 0.72, 0.72, facecolor=colour, edgecolor=MUTED, zorder=2)
