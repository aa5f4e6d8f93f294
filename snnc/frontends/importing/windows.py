"""Pooling windows by torch's conventions, one spatial axis at a time. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

Axis = tuple[tuple[int, int], ...]
Pairs = tuple[tuple[int, int], ...]
"""Padding (before, after) per axis."""


@dataclass(frozen=True, slots=True)
class PooledAxis:
    """One spatial axis of a pooling.

    Attributes:
        windows: per output position, the (start, stop) of the inputs it covers, clipped.
        padded: per output position, how many positions torch counts, padding included.
    """

    windows: Axis
    padded: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Per output position, how many inputs it covers."""
        return tuple(stop - start for start, stop in self.windows)


def output_size(
    size: int, kernel: int, stride: int, padding: tuple[int, int], ceil_mode: bool
) -> int:
    """Number of windows along an axis; one that starts in the right padding is dropped."""
    span = size + sum(padding) - kernel
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding[0]:
        count -= 1
    return count


def pooled_axis(
    size: int, kernel: int, stride: int, padding: tuple[int, int], ceil_mode: bool
) -> PooledAxis:
    """The windows of an axis of `size` inputs with `padding` before and after it.

    `padded` stops at the end of the padding after it, as torch's divisor does with
    `count_include_pad`.
    """
    before, after = padding
    count = output_size(size, kernel, stride, padding, ceil_mode)
    starts = [i * stride - before for i in range(count)]
    windows = tuple((max(s, 0), min(s + kernel, size)) for s in starts)
    return PooledAxis(windows, tuple(min(s + kernel, size + after) - s for s in starts))


def adaptive_axis(size: int, bins: int) -> PooledAxis:
    """Bin i of an axis: from floor(i*size/bins) to ceil((i+1)*size/bins)."""
    windows = tuple((i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins))
    return PooledAxis(windows, tuple(stop - start for start, stop in windows))


def whole_axis(size: int) -> PooledAxis:
    """One window over all of the axis."""
    return PooledAxis(((0, size),), (size,))


def each_position(size: int) -> PooledAxis:
    """A window of one for every position: the axis is not pooled."""
    return PooledAxis(tuple((i, i + 1) for i in range(size)), (1,) * size)
