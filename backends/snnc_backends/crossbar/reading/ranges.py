"""The ranges of converters of finite resolution: chosen from data, stored in the artifact."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import ArtifactError, one_line
from snnc.ir import Graph
from snnc.jsontext import parse_json
from snnc.target import Artifact
from snnc.transform import PassContext
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.converters import Converter
from snnc_backends.crossbar.devices.ideal import Ideal
from snnc_backends.crossbar.imperfections import Imperfections
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.placed_order import PlacedOrder
from snnc_backends.crossbar.reading.physical import PhysicalProgram
from snnc_backends.crossbar.reading.programmed import block_sums, converted_rows

MEMBER = "crossbar/converters.json"
SAMPLES = 16
"""Calibration samples whose column sums are looked at."""
CANDIDATES = 64
"""Ranges that are compared."""

Ranges = Mapping[str, NDArray[np.float64]]
"""Per layer, (conversions, terms of an output): the sum in levels at the largest code."""


def chosen_ranges(
    graph: Graph, layers: Sequence[WeightMatrix], chip: Chip, ctx: PassContext, source: str
) -> Ranges:
    """The ranges of the converters of every layer.

    Args:
        source: "data": of the range 2^bits - 1, and of larger ones up to the largest sum, the one
            with the least squared error of conversion over the first `SAMPLES` samples of the
            calibration data, on an ideal chip. Without data, and for "worst": the largest sum that
            any events can cause.
    """
    if source == "worst" or ctx.calibration is None or ctx.trial:
        return {layer.layer: _largest(layer, chip) for layer in layers}
    histograms = _histograms(graph, layers, chip, ctx)
    top = chip.converter.top
    found: dict[str, NDArray[np.float64]] = {}
    for layer in layers:
        found[layer.layer] = np.ones(_shape(layer, chip))
        for block, term in np.ndindex(*_shape(layer, chip)):
            histogram = histograms[layer.layer, block, term]
            found[layer.layer][block, term] = _least_error(histogram, top)
    return found


def _shape(layer: WeightMatrix, chip: Chip) -> tuple[int, int]:
    """Conversions of an output's column, and terms of an output."""
    placed = PlacedOrder.of(layer, chip).placed.shape[1]
    return len(converted_rows(placed, chip)), len(chip.matrix(layer.outputs).terms)


def _largest(layer: WeightMatrix, chip: Chip) -> NDArray[np.float64]:
    cells = PlacedOrder.of(layer, chip).of_cells(chip.values(layer.weights))
    sums = block_sums(cells, converted_rows(cells.shape[1], chip)).max(0)
    terms = chip.matrix(layer.outputs).terms
    return np.maximum(np.stack([sums[:, places].max(1) for _, places in terms], 1), 1)


def _histograms(
    graph: Graph, layers: Sequence[WeightMatrix], chip: Chip, ctx: PassContext
) -> dict[tuple[str, int, int], NDArray[np.int64]]:
    """How often each sum occurs, by layer, conversion and term of an output."""
    found: dict[tuple[str, int, int], NDArray[np.int64]] = defaultdict(
        lambda: np.zeros(1, np.int64)
    )
    terms = {
        layer.layer: [np.unique(places) for _, places in chip.matrix(layer.outputs).terms]
        for layer in layers
    }

    def observe(layer: str, block: int, sums: Tensor) -> None:
        for term, places in enumerate(terms[layer]):
            own = sums[:, :, torch.from_numpy(places)].reshape(-1)
            counts = torch.bincount(own.to(torch.int64)).numpy()
            before = found[layer, block, term]
            longer = np.zeros(max(len(before), len(counts)), np.int64)
            longer[: len(before)] += before
            longer[: len(counts)] += counts
            found[layer, block, term] = longer

    ideal = replace(chip, device=Ideal(), converter=Converter(), imperfections=Imperfections())
    program = PhysicalProgram(graph, layers, ctx.timesteps, ideal, observe=observe)
    for sample in _first_samples(ctx):
        program.run(sample[None])
    return found


def _first_samples(ctx: PassContext) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    count = 0
    for x, _ in ctx.calibration or ():
        parts.append(x[: SAMPLES - count])
        count += len(parts[-1])
        if count >= SAMPLES:
            break
    return np.concatenate(parts)


def _least_error(histogram: NDArray[np.int64], top: int) -> float:
    """The range from `top` up to the largest sum with the least squared error of conversion."""
    sums = np.arange(len(histogram), dtype=np.float64)
    largest = max(top, len(histogram) - 1)
    best = (np.inf, float(top))
    for span in np.unique(np.linspace(top, largest, CANDIDATES)):
        step = span / top
        errors = np.minimum(np.rint(sums / step), top) * step - sums
        best = min(best, (float(histogram @ errors**2), float(span)))
    return best[1]


def written(ranges: Ranges) -> bytes:
    """The content of the member."""
    layers = {name: table.tolist() for name, table in ranges.items()}
    return json.dumps({"range": layers}, separators=(",", ":"), allow_nan=False).encode()


def stored_ranges(artifact: Artifact, layers: Sequence[WeightMatrix], chip: Chip) -> Ranges:
    """The ranges in an artifact. Raises `ArtifactError` for a wrong shape or a number <= 0."""
    content = parse_json(artifact.read(MEMBER), MEMBER)
    try:
        tables = content["range"]
        ranges = {layer.layer: np.array(tables[layer.layer], np.float64) for layer in layers}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{MEMBER} has no usable ranges: {one_line(error)}") from None
    for layer in layers:
        table = ranges[layer.layer]
        shape = _shape(layer, chip)
        if table.shape != shape or not np.isfinite(table).all() or (table <= 0).any():
            raise ArtifactError(f"{MEMBER}: the ranges of {layer.layer} are not {shape} numbers")
    return ranges
