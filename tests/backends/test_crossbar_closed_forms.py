"""Conductances, converters and gains of chips against closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc.testing import linear_layer
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.program import CrossbarProgram
from snnc_backends.crossbar.reading.physical import PhysicalProgram


@dataclass(frozen=True)
class OnOff:
    """Exact levels between `g_max_us` / `ratio` and `g_max_us`, not declared as ideal."""

    name: ClassVar[str] = "on-off"
    ratio: float = 10.0
    left: float = 1.0

    @property
    def facts(self) -> DeviceFacts:
        return DeviceFacts(g_max_us=50.0, g_min_us=50.0 / self.ratio)

    def program(self, levels: Any, largest: int, rng: np.random.Generator) -> Any:
        low = self.facts.g_min_us
        return (low + levels * ((50.0 - low) / largest)).astype(np.float32)

    def read(self, conductances_us: Any, rng: np.random.Generator, seconds: float) -> Any:
        return (conductances_us * self.left).astype(np.float32)


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize(("cell_bits", "ratio"), [(b, r) for b in range(1, 7) for r in (10, 100)])
def test_a_ratio_of_conductances_has_gain_one(cells: str, cell_bits: int, ratio: float) -> None:
    rng = np.random.default_rng(cell_bits)
    weights = rng.integers(-127, 128, (6, 40)).astype(np.int8)
    weights[0] = 127
    x = (rng.random((5, 40)) < 0.4).astype(np.float32)
    options = {"rows": 16, "cells": cells, "cell_bits": cell_bits}
    backend = CrossbarBackend(device=OnOff(ratio), **options)
    result = CrossbarProgram(linear_layer(weights), 1, backend.chip()).run(x)
    np.testing.assert_array_equal(result.readout, (x @ weights.T).astype(np.int64))


PAIRS = ("differential", "two-sided")


def levels_of_pairs(
    weights: NDArray[np.integer], cells: str, cell_bits: int
) -> list[tuple[int, NDArray[np.integer]]]:
    """(worth, levels) of every column of the weights."""
    top, found = (1 << cell_bits) - 1, []
    for sign in (1, -1):
        for i in range(-(-7 // cell_bits)):
            size = np.abs(weights.astype(np.int64)) >> (i * cell_bits) & top
            digit = sign * np.sign(weights) * size
            levels = np.maximum(digit, 0) if cells == "differential" else (top + digit) // 2
            found.append((sign << (i * cell_bits), levels))
    return found


@pytest.mark.parametrize("cells", PAIRS)
@pytest.mark.parametrize(("cell_bits", "ratio"), [(b, r) for b in range(1, 7) for r in (10, 100)])
def test_conductances_are_the_closed_form(cells: str, cell_bits: int, ratio: float) -> None:
    weights = np.arange(-127, 128).reshape(51, 5)
    chip = CrossbarBackend(cells=cells, cell_bits=cell_bits, device=OnOff(ratio)).chip()
    found = chip.conductances_us(weights, np.random.default_rng(0)).reshape(51, 5, -1)
    expected = levels_of_pairs(weights, cells, cell_bits)
    assert found.shape[2] == len(expected)
    unit = (50.0 - 50.0 / ratio) / ((1 << cell_bits) - 1)
    for column, (_, levels) in enumerate(expected):
        np.testing.assert_allclose(found[..., column], 50.0 / ratio + levels * unit, rtol=1e-6)
    if cells == "two-sided":
        pairs = found.reshape(51, 5, 2, -1).sum(2)
        middle = 50.0 + 50.0 / ratio
        assert pairs.max() <= middle * (1 + 1e-6) and pairs.min() >= (middle - unit) * (1 - 1e-6)


def converted(
    weights: NDArray[np.integer],
    x: NDArray[np.float32],
    columns: list[tuple[int, NDArray[np.integer]]],
    top: int,
    range_: float,
) -> tuple[NDArray[np.int64], int]:
    """A layer of tiles of 16 rows, with the ranges of all converters equal."""
    step = max(1.0, np.ceil(range_ * 1024 / top) / 1024)
    total, clipped = np.zeros((len(x), len(weights))), 0
    for start in range(0, weights.shape[1], 16):
        rows = slice(start, start + 16)
        for worth, levels in columns:
            codes = np.rint((x[:, rows] @ levels[:, rows].T) / step)
            clipped += int((codes > top).sum())
            total += worth * np.minimum(codes, top) * step
    return np.rint(total).astype(np.int64), clipped


def check_converters(
    cells: str, cell_bits: int, adc_bits: int, ratio: float, programs: tuple[type, ...]
) -> None:
    """A random layer on a chip beside the closed form."""
    rng = np.random.default_rng(adc_bits)
    weights = rng.integers(-127, 128, (9, 40)).astype(np.int8)
    x = (rng.random((8, 40)) < 0.7).astype(np.float32)
    backend = CrossbarBackend(
        rows=16, cells=cells, cell_bits=cell_bits, adc_bits=adc_bits, device=OnOff(ratio)
    )
    range_ = 97.3 + adc_bits  # no step is a round number: sums are never halfway
    table = np.full((3, 2 * -(-7 // cell_bits)), range_)
    columns = levels_of_pairs(weights, cells, cell_bits)
    expected, clipped = converted(weights, x, columns, (1 << adc_bits) - 1, range_)
    graph, ranges = linear_layer(weights), {"fc": table}
    for program in programs:
        given = (graph, matrices(graph)) if program is PhysicalProgram else (graph,)
        result = program(*given, 1, backend.chip(), ranges).run(x)
        np.testing.assert_array_equal(result.readout, expected)
        assert result.stats["activity"]["fc"]["clipped"] == clipped


@pytest.mark.parametrize("cells", PAIRS)
@pytest.mark.parametrize(
    ("cell_bits", "adc_bits"), [(4, 4), (6, 5), (5, 6), (6, 7), (6, 8), (3, 2), (1, 4), (2, 8)]
)
def test_converters_are_the_closed_form(cells: str, cell_bits: int, adc_bits: int) -> None:
    check_converters(cells, cell_bits, adc_bits, 10.0, (CrossbarProgram, PhysicalProgram))


@pytest.mark.parametrize(("cells", "ratio"), [(c, r) for c in PAIRS for r in (10, 100)])
def test_all_cells_and_converters_are_the_closed_form(cells: str, ratio: float) -> None:
    for cell_bits in range(1, 7):
        for adc_bits in range(4, 9):
            check_converters(cells, cell_bits, adc_bits, ratio, (PhysicalProgram,))


def test_sums_halfway_between_codes_are_rounded_to_even() -> None:
    weights = np.array([[1], [2], [3], [5], [7]], np.int8)
    backend = CrossbarBackend(cell_bits=7, adc_bits=2)
    table = {"fc": np.full((1, 2), 6.0)}  # a step of two levels, codes 0 to 3
    result = CrossbarProgram(linear_layer(weights), 1, backend.chip(), table).run(
        np.ones((1, 1), "f4")
    )
    assert result.readout.tolist() == [[0, 2, 4, 4, 6]]  # type: ignore[union-attr]
    # 7 / 2 is just within the range 0..3.5, so nothing is clipped.
    assert result.stats["activity"]["fc"]["clipped"] == 0


@pytest.mark.parametrize("compensation", ["layer", "column"])
def test_compensation_undoes_a_common_loss(compensation: str) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (6, 40)).astype(np.int8)
    x = (rng.random((5, 40)) < 0.4).astype(np.float32)
    device = OnOff(ratio=np.inf, left=0.5)
    lost, kept = (
        CrossbarProgram(
            linear_layer(weights), 1, CrossbarBackend(device=device, compensation=each).chip()
        ).run(x)
        for each in ("none", compensation)
    )
    exact = (x @ weights.T).astype(np.int64)
    np.testing.assert_array_equal(kept.readout, exact)
    assert np.abs(lost.readout - exact).max() > 20


def test_passes_read_compensated_weights() -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (40, 30))
    target = CrossbarBackend(device=OnOff(ratio=np.inf, left=0.5), compensation="layer")
    read = target.read_weights(weights, np.random.default_rng(0))
    np.testing.assert_allclose(read, weights, atol=1e-3)
