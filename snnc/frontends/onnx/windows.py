"""Spatial attributes of ONNX operations: strides, dilations, padding, nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.importing import Pairs, RefusedError

LIMIT = 1 << 28
"""Largest number of elements of one sample of a tensor, and of all folded constants together."""


def per_axis(attributes: Mapping[str, Any], name: str, rank: int) -> tuple[int, ...]:
    """A number per spatial axis, 1 if not given. Raises `RefusedError` for another count."""
    values = tuple(attributes.get(name) or (1,) * rank)
    if len(values) != rank or min(values, default=1) < 1:
        raise RefusedError(f"its {name} {values} are not {rank} positive numbers", "fix them")
    return values


def check_size(channels: int, spatial: Sequence[int]) -> None:
    """Raise `RefusedError` if a sample of so many channels and positions is too large."""
    elements = channels * math.prod(spatial)
    if elements > LIMIT:
        raise RefusedError(f"with its padding it takes {elements} elements", "pad less")


def padding(
    attributes: Mapping[str, Any],
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """(before, after) per spatial axis, from `pads` or `auto_pad`."""
    rank, auto = len(kernel), bytes(attributes.get("auto_pad", b"NOTSET"))
    if auto == b"NOTSET":
        pads = tuple(attributes.get("pads") or (0,) * (2 * rank))
        if len(pads) != 2 * rank:
            raise RefusedError(f"its pads {pads} are not two per spatial axis", "fix them")
        return tuple(zip(pads[:rank], pads[rank:], strict=True))
    if auto == b"VALID":
        return ((0, 0),) * rank
    if auto not in (b"SAME_UPPER", b"SAME_LOWER"):
        raise RefusedError("its auto_pad is not known", "give pads")
    pairs: list[tuple[int, int]] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        less, more = total // 2, total - total // 2
        pairs.append((less, more) if auto == b"SAME_UPPER" else (more, less))
    return tuple(pairs)


def transposed_padding(
    attributes: Mapping[str, Any],
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[Pairs, tuple[int, ...]]:
    """Of `ConvTranspose`: what is cut off (before, after), and added behind, per spatial axis."""
    rank, auto = len(kernel), bytes(attributes.get("auto_pad", b"NOTSET"))
    more = tuple(attributes.get("output_padding") or (0,) * rank)
    wanted = attributes.get("output_shape")
    if wanted is None and auto in (b"SAME_UPPER", b"SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if len(more) != rank or min(more) < 0:
        raise RefusedError(f"its output_padding {more} is not one per spatial axis", "fix it")
    if wanted is None:
        return padding(attributes, size, kernel, stride, dilation), more
    wanted = tuple(wanted)[-rank:]
    pairs: list[tuple[int, int]] = []
    added: list[int] = []
    for n, k, s, d, m, target in zip(size, kernel, stride, dilation, more, wanted, strict=True):
        total = (n - 1) * s + m + d * (k - 1) + 1 - target
        less, rest = max(total, 0) // 2, -(-max(total, 0) // 2)
        pairs.append((less, rest) if auto == b"SAME_UPPER" else (rest, less))
        added.append(m + max(-total, 0))
    return tuple(pairs), tuple(added)


def nearest(
    size: int, result: int, scale: float, attributes: Mapping[str, Any]
) -> NDArray[np.int64]:
    """Which input position `Resize` takes for each of `result` output positions of an axis.

    Raises `RefusedError` for a way to round that is not known.
    """
    at = np.arange(result, dtype=np.float64)
    mode = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    centre = (at + 0.5) / scale - 0.5
    positions = {
        "asymmetric": at / scale,
        "half_pixel": centre,
        "half_pixel_symmetric": centre + (size - result / scale) / 2,
        "pytorch_half_pixel": centre if result > 1 else np.zeros_like(at),
        "align_corners": at * (size - 1) / max(result - 1, 1),
    }
    rounded = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    how = attributes.get("nearest_mode", b"round_prefer_floor").decode()
    if mode not in positions or how not in rounded:
        raise RefusedError(f"it takes neighbours by {mode}, {how}", "use mode='nearest'")
    return np.clip(rounded[how](positions[mode]), 0, size - 1).astype(np.int64)


def resized(
    shape: Sequence[int],
    attributes: Mapping[str, Any],
    scales: Sequence[float] | None,
    sizes: Sequence[int] | None,
) -> tuple[list[int], list[float]]:
    """Shape of the result of `Resize`, and the factor of every axis. Raises `RefusedError`."""
    given: list[float] = [*(scales or sizes or ())]
    axes = [a % len(shape) for a in attributes.get("axes") or range(len(shape))]
    stretched = attributes.get("keep_aspect_ratio_policy", b"stretch") == b"stretch"
    if len(given) != len(axes) or not stretched or min(given, default=1) <= 0:
        raise RefusedError("its scales and sizes are not one per axis", "fix them")
    result, factors = list(shape), [1.0] * len(shape)
    for axis, wanted in zip(axes, given, strict=True):
        factors[axis] = float(wanted) if scales else wanted / shape[axis]
        result[axis] = math.floor(shape[axis] * wanted) if scales else int(wanted)
    if math.prod(result[1:]) > LIMIT:
        raise RefusedError(f"its result has {math.prod(result[1:])} elements", "make it smaller")
    return result, factors
