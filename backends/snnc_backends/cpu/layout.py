"""Memory layout of samples: channels first in the graph, channels last in buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnc.ir import Rearrange

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
    flattened: dict[str, Array] = {}
    for name, array in arrays.items():
        wide = array if array.shape in ((), shape) else array.reshape(-1, *ones)
        flattened[name] = channels_last(np.broadcast_to(wide, shape)).reshape(-1)
    return 1, size, flattened


def moved_positions(op: Rearrange, shapes: Sequence[tuple[int, ...]]) -> NDArray[np.int32]:
    """Per element of the result's buffer, its position in the inputs' buffers.

    Positions count through the buffers of the inputs, samples of `shapes`, one after the other;
    -1 for a padded zero.
    """
    starts = np.cumsum([0, *map(prod, shapes)])
    buffers = [
        np.arange(start, start + prod(shape), dtype=np.int32).reshape((*shape[1:], *shape[:1]))
        for start, shape in zip(starts[:-1], shapes, strict=True)
    ]
    samples = [np.moveaxis(b, -1, 0) if b.ndim else b for b in buffers]
    return channels_last(op.move(samples, -1)).reshape(-1)
