"""Rates, silence, saturation and errors from sums."""

import numpy as np
import pytest

from snnc.memory import rows_that_fit
from snnc.tallies import ErrorTally, FiringTally, squares_of


def test_firing_over_two_batches_by_hand() -> None:
    tally = FiringTally()
    for counts in (np.array([[0, 1, 4], [0, 0, 4]]), np.array([[0, 2, 0]])):
        full = int((counts == 4).sum())
        tally.add(int(counts.sum()), counts.size, len(counts), (counts > 0).any(0), full)
    assert tally.rate == 11 / 9
    assert tally.per_sample == 11 / 3
    assert tally.silent == pytest.approx(1 / 3)
    assert tally.saturation == 2 / 9


def test_what_was_never_counted() -> None:
    assert (FiringTally().rate, FiringTally().silent) == (0.0, 1.0)
    assert ErrorTally().relative is None


def test_an_error_is_relative_to_what_should_be() -> None:
    tally, wanted = ErrorTally(), np.array([3.0, 4.0], np.float32)
    tally.add(np.array([0.0, 5.0], np.float32), squares_of(wanted))
    assert tally.relative == 1.0
    silent = ErrorTally()
    silent.add(np.ones(2), squares_of(np.zeros(2)))
    assert silent.relative is None


def test_rows_that_fit_into_a_budget() -> None:
    assert [rows_that_fit(100, each) for each in (0, 7, 100, 101)] == [100, 14, 1, 1]
