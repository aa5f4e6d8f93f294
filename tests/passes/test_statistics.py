"""Statistics of the samples of a stream: chunks and histograms."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.errors import DataError
from snnc_passes._samples import chunks
from snnc_passes._statistics import BINS, Histogram


def test_chunks_do_not_depend_on_batches() -> None:
    x = np.arange(150, dtype=np.float32).reshape(150, 1)
    one = list(chunks([(x, None)]))
    many = list(chunks([(part, None) for part in np.array_split(x, 11)]))
    assert [len(c) for c in one] == [64, 64, 22]
    assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))
    with pytest.raises(DataError):
        list(chunks([]))


@pytest.mark.parametrize("percent", [0.5, 37.0, 90.0, 99.9, 100.0])
def test_percentiles_are_right_to_one_bin(percent: float) -> None:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.normal(size=(4, 20_000)), 0) * [[1], [10], [0.1], [0]]
    top = values.max(axis=1)
    histogram = Histogram.over(top)
    for part in np.array_split(values, 7, axis=1):
        histogram.add(part)
    found = histogram.percentile(percent)
    exact = np.percentile(values, percent, axis=1)
    assert np.all(np.abs(found - exact) <= 2 * top / BINS + 1e-12)
    assert np.all(found[exact == 0] == 0)
