"""Known stuck cells: what is left of their errors, beside the least there can be."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS, WeightCode
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.placed_order import PlacedOrder
from snnc_backends.crossbar.reading.programmed import programmed
from snnc_backends.crossbar.remapping import levels_around, rows_around


def stuck(
    rng: np.random.Generator, shape: tuple[int, ...], rate: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    drawn = rng.random(shape)
    return drawn < rate, drawn >= 1 - rate


def sums(levels: NDArray[np.integer], code: WeightCode) -> NDArray[np.int64]:
    worth = np.array([column.polarity * column.significance for column in code.columns])
    return levels.astype(np.int64) @ worth


@pytest.mark.parametrize("cells", ["differential", "two-sided", "offset"])
def test_other_cells_make_up_for_stuck_ones(cells: str) -> None:
    code, rng = CELLS[cells](5, 2), np.random.default_rng(0)
    numbers = np.arange(-15, 16) + code.shift
    every = np.array(list(product(range(4), repeat=len(code.columns))))
    for _ in range(60):
        pattern = stuck(rng, (1, len(code.columns)), 0.3)
        on, off = (np.repeat(each, len(numbers), 0) for each in pattern)
        levels, lacking = levels_around(numbers, on, off, code, 2)
        assert (levels[on] == 3).all() and (levels[off] == 0).all() and levels.max() <= 3
        np.testing.assert_array_equal(numbers - sums(levels, code), lacking)
        able = ((every == 3) | ~pattern[0]).all(1) & ((every == 0) | ~pattern[1]).all(1)
        best = np.abs(numbers[:, None] - sums(every[able], code)).min(1)
        np.testing.assert_array_equal(np.abs(lacking), best)


def test_without_stuck_cells_levels_are_the_usual_ones() -> None:
    chip = CrossbarBackend(cell_bits=3).chip()
    numbers, none = np.arange(-127, 128), np.zeros((255, 6), bool)
    levels, lacking = levels_around(numbers, none, none, chip.code, 3)
    assert not lacking.any()
    np.testing.assert_array_equal(levels, chip.levels(numbers[:, None]))


def test_rows_lie_where_the_least_is_lacking() -> None:
    code, rng = CELLS["differential"](5, 2), np.random.default_rng(1)
    for _ in range(10):
        numbers = rng.integers(-15, 16, (7, 3)) * (rng.random((7, 3)) < 0.6)
        on, off = stuck(rng, (7, 3, 4), 0.2)
        spans = [slice(0, 4), slice(4, 7)]
        found = rows_around(numbers, on, off, spans, code, 2)

        for span in spans:
            rows = np.arange(7)[span]
            assert set(found[span]) == set(rows)
            costs = [
                np.square(
                    levels_around(numbers[list(order)], on[span], off[span], code, 2)[1]
                ).sum()
                for order in (found[span], *permutations(rows))
            ]
            assert costs[0] == min(costs)


@pytest.mark.parametrize(
    "options", [{}, {"packing": "groups"}, {"cells": "offset"}, {"cells": "two-sided"}]
)
def test_weights_are_nearer_than_without(options: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    weights = np.rint(rng.laplace(0, 18, (2, 60, 20))).clip(-127, 127).astype(np.int64)
    weights[:, ::7] = 0
    matrix = WeightMatrix("fc", weights)
    errors: list[float] = []
    for remap in (False, True):
        backend = CrossbarBackend(
            rows=32, stuck_on=0.02, stuck_off=0.05, remap=remap, chip_seed=3, **options
        )  # type: ignore[arg-type]
        chip = backend.chip()
        layer = programmed(matrix, chip, None)
        found = chip.matrix(20).weights(layer.cells / 1024)
        (order,) = layer.orders
        expected = order.of_cells(weights)
        errors.append(float(np.square(found - expected)[order.placed].mean()))
        base = PlacedOrder.of(matrix, chip)
        for group in range(2):
            for start in range(0, int(base.placed[group].sum()), 32):
                span = slice(start, start + 32)
                rows = order.all_rows[group][span][order.placed[group][span]]
                of_base = base.all_rows[group][span][base.placed[group][span]]
                assert set(rows) == set(of_base), "rows stay in their block"
    limit = 0.6 if "cells" in options else 0.05
    assert errors[1] < limit * errors[0]


def test_lists_of_levels_are_refused() -> None:
    from snnc_backends.crossbar.devices.level_list import LevelList

    with pytest.raises(ValueError, match="remap needs evenly spaced levels"):
        CrossbarBackend(device=LevelList((0.0, 1.0, 5.0, 9.0)), cell_bits=2, remap=True)
