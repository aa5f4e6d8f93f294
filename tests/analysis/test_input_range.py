"""Inputs are compared with those of the calibration: by their moments, and by their range."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.input_range import InputRange, InputTally, leaves

X = np.random.default_rng(1).random((200, 2, 5), np.float32)


def tally(x: np.ndarray, within: InputRange | None = None) -> InputTally:
    seen = InputTally(within)
    for start in range(0, len(x), 33):
        seen.add(x[start : start + 33])
    return seen


CALIBRATED = tally(X).range()


def outside(x: np.ndarray) -> bool:
    return bool(leaves(CALIBRATED, tally(x.astype(np.float32), CALIBRATED)))


def test_the_range_is_that_of_all_values() -> None:
    x = np.concatenate([X, X * np.array([[5.0], [1.0]], np.float32)])
    found, wanted = tally(x).range(), (x.min(), x.max(), x.mean(), x.std())
    np.testing.assert_allclose([*found.report().values()], wanted, rtol=1e-5)
    means, deviations = tally(x).channels()
    np.testing.assert_allclose(means, x.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(deviations, x.std(axis=(0, 2)), rtol=1e-5)


def test_a_range_reads_back_and_nothing_else_does() -> None:
    assert InputRange.parse(CALIBRATED.report()) == CALIBRATED
    wrong = (
        None,
        3,
        {},
        {**CALIBRATED.report(), "high": "1"},
        {**CALIBRATED.report(), "low": 1e999},
    )
    assert [InputRange.parse(each) for each in wrong] == [None] * len(wrong)


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.5])
def test_data_of_the_same_kind_fit(factor: float) -> None:
    assert not outside(factor * X)
    assert not outside(0 * X[:1]) and not outside(X[:0])


@pytest.mark.parametrize(
    "x", [255 * X, 255 * X[:1], X / 255, (X - 0.5) / 0.29, 2 - X, 0 * X], ids=range(6)
)
def test_data_of_another_scale_do_not(x: np.ndarray) -> None:
    assert outside(x)


def test_one_sample_in_a_thousand_is_let_pass_and_one_in_ten_is_not() -> None:
    rare = np.tile(X, (5, 1, 1))
    rare[0] *= 4
    assert not outside(rare)
    rare[::10] *= 4
    assert outside(rare)


def test_constant_data_are_compared_by_their_value() -> None:
    constant = tally(np.full((50, 3), 2.0)).range()
    same, other = (tally(np.full((50, 3), value), constant) for value in (2.0, 3.0))
    assert not leaves(constant, same) and leaves(constant, other)
