"""Converters of the nodes of NIR that hold no state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from snnc.errors import ModelError
from snnc.frontends import importing
from snnc.frontends.importing import Constant, ImportSite, RefusedError, Value
from snnc.frontends.nir.convention import Convention

Converter = Callable[[ImportSite, Any, Value, Convention], Value]
"""Adds one node of the model, of one input, to the graph."""


def affine(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `Affine`: weight x + bias."""
    return importing.linear(
        site, x, constant(site, node.weight, "weight"), constant(site, node.bias, "bias")
    )


def linear(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `Linear`: weight x."""
    return importing.linear(site, x, constant(site, node.weight, "weight"))


def scale(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `Scale`: element by element."""
    return importing.scale(site, x, constant(site, node.scale, "scale"))


def convolution(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `Conv1d` and `Conv2d`."""
    weight, bias = constant(site, node.weight, "weight"), constant(site, node.bias, "bias")
    rank = len(weight.shape) - 2
    kernel = weight.shape[2:]
    stride, dilation = sizes(node.stride, rank), sizes(node.dilation, rank)
    if isinstance(node.padding, str):
        padding = _named_padding(node.padding, kernel, stride, dilation)
    else:
        padding = tuple((n, n) for n in sizes(node.padding, rank))
    return importing.conv(
        site,
        x,
        weight,
        bias if np.any(bias.array) else None,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(node.groups),
    )


def _named_padding(
    name: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """`same` and `valid` as torch has them: the larger half comes after."""
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if name != "same" or set(stride) != {1}:
        raise RefusedError(f"padding {name!r} with stride {stride}", "write it as numbers")
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((span // 2, span - span // 2) for span in spans)


def sum_pool(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `SumPool2d`."""
    padding = tuple((n, n) for n in sizes(node.padding, 2))
    kernel, stride = sizes(node.kernel_size, 2), sizes(node.stride, 2)
    wide = any(2 * n > k for (n, _), k in zip(padding, kernel, strict=True))
    if min(*kernel, *stride) < 1 or wide:
        raise RefusedError("windows that are empty, or all of padding", "give other sizes")
    return importing.sum_pool(site, x, kernel=kernel, stride=stride, padding=padding)


def average_pool(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `AvgPool2d`: a sum over the size of the window, padding counted."""
    total = sum_pool(site, node, x, how)
    return importing.scale(site, total, 1 / math.prod(sizes(node.kernel_size, 2)))


def flatten(site: ImportSite, node: Any, x: Value, how: Convention) -> Value:
    """Converter of `Flatten`; its axes are those of the sample, or of a batch in some dialects."""
    rank, first, last = len(x.shape), int(node.start_dim), int(node.end_dim)
    if how.batch_axis:
        first, last = (n - 1 if n > 0 else n for n in (first, last))
    first, last = (n + rank if n < 0 else n for n in (first, last))
    if not 0 <= first <= last < rank:
        raise RefusedError(f"it flattens axes {first} to {last} of {rank}", "count without batch")
    flat = math.prod(x.shape[first : last + 1])
    return importing.reshape(site, x, (*x.shape[:first], flat, *x.shape[last + 1 :]))


def constant(site: ImportSite, array: Any, name: str) -> Constant:
    """An array of the model in float32. Raises `ModelError` for NaN and infinity."""
    found = np.asarray(array)
    if not np.isfinite(found).all():
        raise ModelError(f"{site.loc}: {name} holds NaN or infinity")
    return Constant(np.ascontiguousarray(found, np.float32).reshape(found.shape))


def sizes(value: Any, rank: int) -> tuple[int, ...]:
    """One number per spatial axis. Raises `RefusedError`."""
    numbers = [int(n) for n in np.ravel(np.asarray(value))]
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank or min(numbers) < 0:
        raise RefusedError(f"sizes {numbers} for {rank} axes", "give one number per axis")
    return tuple(numbers)


OPERATORS: Mapping[str, Converter] = {
    "Affine": affine,
    "AvgPool2d": average_pool,
    "Conv1d": convolution,
    "Conv2d": convolution,
    "Flatten": flatten,
    "Linear": linear,
    "Scale": scale,
    "SumPool2d": sum_pool,
}
"""By type of the node."""
