"""Cells with a list of levels: what is stored is near to the weight, and exact where it can be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import SpecError
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import linear_layer
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.devices.level_list import LevelList
from snnc_backends.crossbar.level_table import level_table, whole_top
from snnc_backends.crossbar.program import CrossbarProgram

LISTS = st.lists(st.integers(1, 99), min_size=0, max_size=6, unique=True).map(
    lambda inner: (0.0, *map(float, sorted(inner)), 100.0)
)


def stored(levels_us: tuple[float, ...], slices: int, cell_bits: int, bits: int):
    """Of every number: what its cells add up to."""
    table = level_table(LevelList(levels_us).facts, slices, cell_bits, bits)
    assert table.levels.shape == (1 << bits, slices)
    worth = 2.0 ** (np.arange(slices) * cell_bits)
    return table, (table.values[table.levels] * worth).sum(1)


@given(levels_us=LISTS, bits=st.integers(1, 8))
def test_a_whole_weight_takes_the_nearest_level(levels_us: tuple[float, ...], bits: int) -> None:
    table, found = stored(levels_us, 1, bits, bits)
    values = np.array(levels_us) / 100 * (2**bits - 1)
    numbers = np.arange(1 << bits)
    least = np.abs(values[:, None] - numbers).min(0)
    np.testing.assert_allclose(np.abs(found - numbers), least, atol=1e-6)
    assert table.exact == (least < 1e-6).all()


@pytest.mark.parametrize(
    "levels_us", [(0, 10, 25, 60, 100), (0, 2, 50, 51, 53, 100), (5, 6, 9, 12)]
)
@pytest.mark.parametrize(("slices", "cell_bits"), [(2, 2), (3, 2), (2, 1)])
def test_slices_together_are_near_to_the_number(
    levels_us: tuple[float, ...], slices: int, cell_bits: int
) -> None:
    _, found = stored(levels_us, slices, cell_bits, slices * cell_bits)
    unit = (levels_us[-1] - levels_us[0]) / (2**cell_bits - 1)
    values = [(g - levels_us[0]) / unit for g in levels_us]
    sums = [
        sum(v * 2 ** (i * cell_bits) for i, v in enumerate(picked))
        for picked in product(values, repeat=slices)
    ]
    numbers = np.arange(len(found))
    best = np.abs(np.array(sums)[:, None] - numbers).min(0)
    error = np.abs(found - numbers)
    assert (error >= best - 1e-6).all()
    assert error.max() <= best.max() + 1e-6 and error.mean() <= 1.3 * best.mean() + 1e-6


def test_a_list_with_every_spaced_level_is_exact() -> None:
    target = CrossbarBackend(device=LevelList((2.0, 3.0, 4.0, 4.5, 5.0)), cell_bits=2)
    assert not target.inexact
    weights = np.arange(-127, 128).reshape(5, 51)
    np.testing.assert_allclose(
        target.read_weights(weights, np.random.default_rng(0)), weights, atol=1e-3
    )


def test_weights_of_the_list_are_computed_exactly() -> None:
    levels = np.array([0, 13, 32, 76, 127])
    target = CrossbarBackend(
        device=LevelList(tuple((levels / 2.0).tolist())), cell_bits="list", rows=16
    )
    assert target.inexact == "some weights lie between the levels of level-list"
    assert len(target.chip().code.columns) == 2, "one cell a sign"
    rng = np.random.default_rng(0)
    weights = (rng.choice(levels, (6, 40)) * rng.choice([-1, 1], (6, 40))).astype(np.int8)
    x = (rng.random((5, 40)) < 0.4).astype(np.float32)
    result = CrossbarProgram(linear_layer(weights), 1, target.chip()).run(x)
    np.testing.assert_array_equal(result.readout, (x @ weights.T).astype(np.int64))
    between = weights + np.sign(weights) * (np.abs(weights) < 127)
    result = CrossbarProgram(linear_layer(between), 1, target.chip()).run(x)
    np.testing.assert_array_equal(result.readout, (x @ weights.T).astype(np.int64))


@pytest.mark.parametrize(
    ("levels_us", "most", "top"),
    [
        ((0, 10, 25, 60, 100), 127, 120),
        ((0.1, 0.3, 0.7), 127, 126),
        ((0, 100), 7, 7),
        ((0, 13, 127), 127, 127),
        ((0, 38.2, 100), 10, 8),  # 3.06 of 8: less off than 2.67 of 7, 3.82 of 10, 1.91 of 5
    ],
)
def test_levels_are_whole_numbers_or_near_to_them(
    levels_us: tuple[float, ...], most: int, top: int
) -> None:
    assert whole_top(LevelList(levels_us).facts, most) == top


def test_passes_read_the_levels() -> None:
    device = LevelList((1.0, 2.0, 7.0, 9.0))
    limits = CrossbarBackend(device=device, cell_bits="list").limits
    assert limits["levels_us"] == device.us and limits["device_levels"] == 4
    assert limits["largest_weight"] == 120
    spaced = CrossbarBackend(cell_bits=2).limits
    np.testing.assert_allclose(spaced["levels_us"], [0, 100 / 3, 200 / 3, 100])
    assert "largest_weight" not in spaced


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("device=level-list{us=[0 1 7]} cell-bits=2", "needs 4 levels, a cell of level-list has 3"),
        ("cell-bits=list", "needs a device with a list, ideal has none"),
        ("device=level-list cell-bits=list cells=offset", "needs cells=differential"),
        ("device=level-list cell-bits=1 cells=two-sided", "two-sided needs evenly spaced levels"),
        ("device=level-list cell-bits=list weight-bits=10", "needs weight-bits up to 9, not 10"),
        ("device=level-list{us=[0 3 2]}", "from the least to the largest"),
        ("device=level-list{us=[3]}", "two or more"),
        ("device=level-list{us=[-1 3]}", "not negative"),
        ("device=level-list{us=[0 inf]}", "finite"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(options: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
