"""Statistics of the samples of a stream: chunks and histograms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

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


def samples() -> Tensor:
    """(64, 5, 2000): groups of very different ranges that grow, zeros among them."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 5, 2000, generator=generator).clamp(min=-0.1)
    grown = torch.linspace(0.01, 1, 64)[:, None, None]
    return values * grown * torch.tensor([1, 10, 1e-6, 0, 1e20])[:, None]


def histogram_of(values: Tensor, parts: int) -> Histogram:
    histogram = Histogram(values.shape[1])
    for part in torch.tensor_split(values, parts):
        histogram.add(part)
    return histogram


@pytest.mark.parametrize("percent", [0.5, 37.0, 90.0, 99.9, 100.0])
@pytest.mark.parametrize("shape", [(64, 2000), (64, 20)], ids=["counted", "held"])
def test_percentiles_are_right_to_one_bin(percent: float, shape: tuple[int, int]) -> None:
    values = samples()[: shape[0], :, : shape[1]]
    histogram = histogram_of(values, 7)
    rows = values.clamp(min=0).movedim(1, 0).flatten(1).double().numpy()
    found, exact = histogram.percentile(percent), np.percentile(rows, percent, 1, method="lower")
    assert np.array_equal(histogram.top, rows.max(axis=1))
    active = histogram.top > 0
    assert np.all((histogram.widths * BINS)[active] < 2 * histogram.top[active])
    assert np.all(np.abs(found - exact)[active] <= histogram.widths[active])
    assert np.all(found[exact == 0] == 0)


@pytest.mark.parametrize("parts", [2, 7, 64])
def test_histograms_do_not_depend_on_chunks_or_their_order(parts: int) -> None:
    values = samples()
    whole = histogram_of(values, 1)
    for other in (values, values.flip(0)):
        divided = histogram_of(other, parts)
        assert torch.equal(divided.counts, whole.counts)
        assert np.array_equal(divided.widths, whole.widths)
        assert np.array_equal(divided.least_squares(8), whole.least_squares(8))
        assert np.array_equal(divided.percentile(99.9), whole.percentile(99.9))


def test_bins_count_the_values_in_them() -> None:
    values = samples()
    histogram = histogram_of(values, 64)
    for group, row in enumerate(values.movedim(1, 0).flatten(1)):
        edges = np.arange(BINS + 1) * histogram.widths[group]
        places = np.searchsorted(edges, row[row > 0].double().numpy()) - 1
        assert np.array_equal(histogram.counts[group], np.bincount(places, minlength=BINS))
