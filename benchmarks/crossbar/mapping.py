"""Tiles of networks on a crossbar, beside lower bounds, and their pipelines beside the optimum.

    python -m benchmarks.crossbar.mapping

Networks are given by the shapes of their layers; every weight counts as not zero. Per network,
cells of a weight and side of a tile: tiles without sharing, with sharing under both rules, lower
bounds on them, cells used of the tiles taken, the period of the pipeline with copies of layers in
twice the tiles, beside the shortest found by trying every period, and the seconds that a mapping
took.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown_table import table_of_columns
from benchmarks.repository import RESULTS
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.mapping.bounds import area_bound, simple_rectangle_bound
from snnc_backends.crossbar.mapping.mapping import Layout, layout_of
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.replication import Stage
from snnc_backends.crossbar.mapping.tiling import parts

SIDES = (64, 128, 256)
CELLS: dict[str, dict[str, Any]] = {
    "one column": {"cells": "offset", "cell_bits": 8},
    "differential": {},
}
COPIES = 2
"""Tiles of a pipeline with copies, in tiles of one without."""


@dataclass(frozen=True)
class Layer:
    """A layer: `groups` matrices of `rows` inputs and `outputs`, applied at `windows` positions."""

    groups: int
    rows: int
    outputs: int
    windows: int


def conv(inputs: int, outputs: int, kernel: int, size: int, groups: int = 1) -> Layer:
    """A convolution with `size` x `size` output positions."""
    return Layer(groups, inputs // groups * kernel**2, outputs // groups, size**2)


def vgg16(size: int, features: tuple[int, ...]) -> Iterator[Layer]:
    """Thirteen convolutions and the linear layers."""
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            yield conv(channels, width, 3, size)
            channels = width
        size //= 2
    inputs = channels * size**2
    for outputs in features:
        yield Layer(1, inputs, outputs, 1)
        inputs = outputs


def resnet18(size: int, stem: int, classes: int) -> Iterator[Layer]:
    """With 1 x 1 convolutions in the shortcuts; `size` that of the first stage."""
    yield conv(3, 64, stem, 2 * size if stem == 7 else size)
    channels = 64
    for width in (64, 128, 256, 512):
        size //= 1 if width == 64 else 2
        for _ in range(2):
            yield conv(channels, width, 3, size)
            yield conv(width, width, 3, size)
            if channels != width:
                yield conv(channels, width, 1, size)
            channels = width
    yield Layer(1, channels, classes, 1)


def resnet20() -> Iterator[Layer]:
    """For CIFAR-10, shortcuts without weights."""
    yield conv(3, 16, 3, 32)
    channels = 16
    for width, size in ((16, 32), (32, 16), (64, 8)):
        for _ in range(3):
            yield conv(channels, width, 3, size)
            yield conv(width, width, 3, size)
            channels = width
    yield Layer(1, channels, 10, 1)


def mobilenet_v2() -> Iterator[Layer]:
    """For 224 x 224 images, of width 1."""
    blocks = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    )  # fmt: skip
    size, channels = 112, 32
    yield conv(3, channels, 3, size)
    for expansion, width, count, stride in blocks:
        for i in range(count):
            inner = channels * expansion
            if expansion > 1:
                yield conv(channels, inner, 1, size)
            size //= stride if i == 0 else 1
            yield conv(inner, inner, 3, size, inner)
            yield conv(inner, width, 1, size)
            channels = width
    yield conv(channels, 1280, 1, size)
    yield Layer(1, 1280, 1000, 1)


NETWORKS = {
    "VGG16, 32x32": list(vgg16(32, (512, 512, 10))),
    "VGG16, 224x224": list(vgg16(224, (4096, 4096, 1000))),
    "ResNet-18, 32x32": list(resnet18(32, 3, 10)),
    "ResNet-18, 224x224": list(resnet18(56, 7, 1000)),
    "ResNet-20, 32x32": list(resnet20()),
    "MobileNet-v2, 224x224": list(mobilenet_v2()),
    "LeNet-5": [
        conv(1, 6, 5, 28), conv(6, 16, 5, 10), Layer(1, 400, 120, 1), Layer(1, 120, 84, 1),
        Layer(1, 84, 10, 1),
    ],
    "MLP 784-512-10": [Layer(1, 784, 512, 1), Layer(1, 512, 10, 1)],
}  # fmt: skip


def mapped(layers: list[Layer], **options: Any) -> tuple[Layout, float]:
    """The layout, and the seconds it took."""
    chip = CrossbarBackend(**options).chip()
    one = np.ones((), np.int8)
    matrices = [
        WeightMatrix(str(i), np.broadcast_to(one, (layer.groups, layer.rows, layer.outputs)))
        for i, layer in enumerate(layers)
    ]
    start = time.perf_counter()
    stages = {
        m.layer: Stage(m.layer, layer.windows, 1, sum(1 for _ in parts(m, chip)))
        for m, layer in zip(matrices, layers, strict=True)
    }
    found = layout_of(matrices, chip, stages)
    return found, time.perf_counter() - start


def shortest(stages: list[Stage], budget: int) -> int:
    """The shortest period, by trying every one, from the longest that can be."""
    period = max(stage.period(1) for stage in stages)
    while period > 1 and sum(s.copies(period - 1) * s.tiles for s in stages) <= budget:
        period -= 1
    return period


def row(name: str, cells: str, side: int) -> dict[str, Any]:
    """All figures of one line."""
    layers, options = NETWORKS[name], {"rows": side, "cols": side, **CELLS[cells]}
    size = (side, side)
    alone, _ = mapped(layers, **options)
    groups, _ = mapped(layers, packing="groups", **options)
    disjoint, disjoint_seconds = mapped(layers, packing="disjoint", **options)
    shared, seconds = mapped(layers, packing="time-multiplexed", **options)
    budget = COPIES * groups.tiles
    copied, _ = mapped(layers, packing="groups", replication="balanced", tiles=budget, **options)
    sizes = [(part.rows, part.cols) for part in shared.parts]
    area = sum(rows * cols for rows, cols in sizes)
    return {
        "network": name,
        "cells": cells,
        "side": side,
        "none": alone.tiles,
        "groups": groups.tiles,
        "area_bound": area_bound(area, size),
        "simple_bound": simple_rectangle_bound(sizes, size),
        "rectangle_bound": shared.bounds["rectangle"],
        "time_multiplexed": shared.tiles,
        "full": round(area / (shared.tiles * side**2), 4),
        "concurrency_bound": disjoint.bounds["concurrency"],
        "disjoint": disjoint.tiles,
        "budget": budget,
        "period_without_copies": groups.period,
        "period": copied.period,
        "shortest_period": shortest(list(groups.stages.values()), budget),
        "seconds": round(seconds, 2),
        "disjoint_seconds": round(disjoint_seconds, 2),
    }


COLUMNS = {
    "network": "network",
    "side": "tile",
    "none": "`none`",
    "groups": "`groups`",
    "time_multiplexed": "`time-multiplexed`",
    "rectangle_bound": "bound",
    "simple_bound": "simple bound",
    "full": "full",
    "disjoint": "`disjoint`",
    "concurrency_bound": "bound",
    "period": "period",
    "shortest_period": "shortest",
    "seconds": "s",
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    shown = ({**each, "full": f"{each['full']:.1%}"} for each in rows)
    return table_of_columns(COLUMNS, shown)


def main() -> None:
    """Compute every row and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_mapping.json")
    options = parser.parse_args()
    rows = [row(name, cells, side) for cells in CELLS for name in NETWORKS for side in SIDES]
    text = ",\n ".join(json.dumps(each) for each in rows)
    options.results.write_text(f"[\n {text}\n]\n", encoding="utf-8")
    for cells in CELLS:
        print(f"\n{cells}\n\n{table([each for each in rows if each['cells'] == cells])}")


if __name__ == "__main__":
    main()
