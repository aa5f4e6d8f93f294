"""Windows and divisors are torch's, for every size, kernel, stride, padding and mode."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.frontends.importing.windows import PooledAxis, adaptive_axis, pooled_axis, whole_axis


@st.composite
def poolings(draw: st.DrawFn) -> tuple[int, int, int, int, bool]:
    kernel = draw(st.integers(1, 6))
    padding = draw(st.integers(0, kernel // 2))
    size = draw(st.integers(max(kernel - 2 * padding, 1), 14))
    return size, kernel, draw(st.integers(1, 7)), padding, draw(st.booleans())


def summed(x: torch.Tensor, axis: PooledAxis) -> torch.Tensor:
    return torch.stack([x[start:stop].sum() for start, stop in axis.windows])


@settings(max_examples=300, deadline=None)
@given(poolings())
def test_pooling_is_torchs(case: tuple[int, int, int, int, bool]) -> None:
    size, kernel, stride, padding, ceil_mode = case
    x = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    axis = pooled_axis(size, kernel, stride, (padding, padding), ceil_mode)
    maximum = F.max_pool1d(x[None, None], kernel, stride, padding, ceil_mode=ceil_mode)[0, 0]
    assert torch.equal(torch.stack([x[a:b].max() for a, b in axis.windows]), maximum)
    for include, divisors in ((True, axis.padded), (False, axis.sizes)):
        wanted = F.avg_pool1d(x[None, None], kernel, stride, padding, ceil_mode, include)[0, 0]
        got = summed(x, axis) / torch.tensor(divisors)
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(1, 24))
def test_adaptive_bins_are_torchs(size: int, bins: int) -> None:
    x = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    axis = adaptive_axis(size, bins)
    wanted = F.adaptive_avg_pool1d(x[None, None], bins)[0, 0]
    got = summed(x, axis) / torch.tensor(axis.sizes)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_a_window_that_starts_in_the_right_padding_is_dropped() -> None:
    assert pooled_axis(4, 2, 3, (1, 1), True).windows == ((0, 1), (2, 4))
    assert pooled_axis(5, 2, 2, (0, 0), True).windows == ((0, 2), (2, 4), (4, 5))


def test_the_padding_of_both_sides_may_differ() -> None:
    axis = pooled_axis(4, 3, 1, (0, 2), False)
    assert axis.windows == ((0, 3), (1, 4), (2, 4), (3, 4)) and axis.padded == (3, 3, 3, 3)
    assert pooled_axis(4, 3, 2, (1, 0), False).windows == ((0, 2), (1, 4))


@pytest.mark.parametrize("size", [1, 5])
def test_whole_axis(size: int) -> None:
    assert whole_axis(size) == adaptive_axis(size, 1)
