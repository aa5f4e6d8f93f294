"""Where the elements of a sample stand: channels first in the graph, channels last in buffers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Op, Pad, Permute, Reshape, Slice

Array = NDArray[Any]


def channels_last(sample: Array) -> Array:
    """A sample with its channel axis (the first) moved to the end."""
    return np.moveaxis(sample, 0, -1) if sample.ndim else sample


def plane(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a sample of shape (C,), (C, L) or (C, H, W)."""
    spatial = shape[1:]
    if len(spatial) == 2:
        return spatial[0], spatial[1]
    return 1, prod(spatial)


def spread(
    arrays: Mapping[str, Array], shape: tuple[int, ...]
) -> tuple[int, int, dict[str, Array]]:
    """Parameters of a sample (scalar, (C,) or full) as `channels` values each.

    Returns:
        (positions, channels, arrays): positions * channels is the size of a sample; with a
        parameter of the full shape there is one position, and every element is a channel.
    """
    size = prod(shape)
    full = len(shape) > 1 and any(array.shape == shape for array in arrays.values())
    channels = shape[0] if shape else 1
    if not full:
        flat = {name: np.broadcast_to(a.reshape(-1), (channels,)) for name, a in arrays.items()}
        return size // channels, channels, flat
    ones = (1,) * (len(shape) - 1)
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        whole = array if array.shape in ((), shape) else array.reshape(-1, *ones)
        found[name] = channels_last(np.broadcast_to(whole, shape)).reshape(-1)
    return 1, size, found


def moved_positions(op: Op, shape: tuple[int, ...]) -> Array:
    """For each element of the result in its buffer, where in the input's buffer it comes from.

    -1 where it is zero. `op` is a Reshape, Permute, Slice or Pad of a sample of `shape`.
    """
    last = (*shape[1:], *shape[:1])
    positions = np.arange(prod(shape), dtype=np.int32).reshape(last)
    first = np.moveaxis(positions, -1, 0) if shape else positions
    if isinstance(op, Reshape):
        moved = first.reshape(op.shape)
    elif isinstance(op, Permute):
        moved = first.transpose(op.axes)
    elif isinstance(op, Slice):
        moved = first[op.slices()]
    elif isinstance(op, Pad):
        moved = np.pad(first, op.padding, constant_values=-1)
    else:
        raise TypeError(f"{op.mnemonic} does not move elements")
    return channels_last(moved).reshape(-1)
