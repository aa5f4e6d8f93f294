"""Counts of values in bins, in machine code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from snnc.training.bin_counts import count_bins

BINS = 50


@pytest.fixture(params=[1, 2])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("size", [1, 16, 37])
def test_every_value_is_counted_in_its_bin(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(7, 3, size, generator=generator)
    values[0, 0, 0], values[1, 2, 0], values[2, 1, -1] = 4 / 16, 1e30, float("nan")
    scales = torch.tensor([16.0, 4.0, 64.0])
    counts = torch.ones(3, BINS + 1, dtype=torch.int32)
    count_bins(values, scales, counts)
    places = (values * scales[:, None]).nan_to_num(0).ceil().clamp(0, BINS).long()
    expected = [torch.bincount(places[:, g].flatten(), minlength=BINS + 1) for g in range(3)]
    assert torch.equal(counts, torch.stack(expected).int() + 1)


def test_values_may_lie_anywhere() -> None:
    values = torch.rand(5, 4, 40)
    scales = torch.full((4,), float(BINS))
    counts, same = (torch.zeros(4, BINS + 1, dtype=torch.int32) for _ in range(2))
    count_bins(values, scales, counts)
    count_bins(values.permute(2, 0, 1).contiguous().permute(1, 2, 0), scales, same)
    assert torch.equal(same, counts)
    assert int(counts.sum()) == values.numel()
