"""Converters of activations: ReLU in all its spellings, bounded, and rounded to levels."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.frontends import importing
from snnc.frontends.importing import Constant, RefusedError, Value, need_value
from snnc.frontends.ops_pool import largest_and_index
from snnc.frontends.torch_site import (
    Converters,
    ModuleConverters,
    Result,
    TorchSite,
    all_equal,
    converters,
    without_module,
)

_COMPARES = ("it compares activations", "use nn.MaxPool2d, or ReLU")


def relu(site: TorchSite, input: Any, inplace: bool = False) -> Result:
    """Converter of every ReLU."""
    return importing.relu(site, need_value(input))


def relu6(site: TorchSite, input: Any, inplace: bool = False) -> Result:
    """Converter of `relu6`."""
    return importing.clip(site, need_value(input), 0, 6)


def clamp(site: TorchSite, input: Any, min: Any = None, max: Any = None) -> Result:
    """Converter of `clamp(0, b)`, `clip(0, b)`, and of `clamp(max=b)` behind a ReLU."""
    return importing.clip(site, need_value(input), _bound(site, min), _bound(site, max))


def clamp_max(site: TorchSite, input: Any, max: Any) -> Result:
    """Converter of `clamp_max` behind a ReLU."""
    return clamp(site, input, None, max)


def hardtanh(
    site: TorchSite, input: Any, min_val: Any = -1, max_val: Any = 1, inplace: bool = False
) -> Result:
    """Converter of `hardtanh` with a lower bound of 0."""
    return clamp(site, input, min_val, max_val)


def leaky_relu(
    site: TorchSite, input: Any, negative_slope: Any = 0.01, inplace: bool = False
) -> Result:
    """Converter of `leaky_relu`."""
    if isinstance(negative_slope, int | float):
        return importing.leaky_relu(site, need_value(input), negative_slope)
    raise RefusedError("its slope depends on the input", "use a fixed number")


def prelu(site: TorchSite, input: Any, weight: Any) -> Result:
    """Converter of `prelu`."""
    x, slope = need_value(input), site.constant(weight, "weight")
    rest = (1,) * (len(x.shape) - 1)
    return importing.leaky_relu(site, x, Constant(slope.array.reshape(-1, *rest)))


def threshold(
    site: TorchSite, input: Any, threshold: Any, value: Any, inplace: bool = False
) -> Result:
    """Converter of `threshold(x, 0, 0)`, which is a ReLU."""
    if all_equal(threshold, 0) and all_equal(value, 0):
        return relu(site, input)
    raise RefusedError("a neuron's rate follows max(x, 0), not this activation", "train with ReLU")


def maximum(site: TorchSite, input: Any, other: Any) -> Result:
    """Converter of the larger of two activations, and of `maximum(x, 0)`, which is a ReLU."""
    if isinstance(input, Value) and isinstance(other, Value):
        return importing.maximum(site, [input, other])
    x, bound = (input, other) if isinstance(input, Value) else (other, input)
    if isinstance(x, Value) and isinstance(bound, Tensor) and all_equal(bound, 0):
        importing.scale(site, x, 1, site.tensors.constant(bound))  # refuses what changes the shape
        return relu(site, x)
    raise RefusedError(*_COMPARES)


def largest(
    site: TorchSite, input: Any, other: Any = None, keepdim: bool = False, *, dim: Any = None
) -> Result:
    """Converter of `max`, of two activations or along an axis."""
    axis = other if dim is None else dim
    if isinstance(axis, int):
        return largest_and_index(site, input, axis, keepdim)
    return maximum(site, input, other)


def minimum(site: TorchSite, input: Any, other: Any = None, *args: Any, **kwargs: Any) -> Result:
    """Converter of `minimum(x, b)` behind a ReLU, with a constant b."""
    x, bound = (input, other) if isinstance(input, Value) else (other, input)
    if isinstance(x, Value) and isinstance(bound, Tensor):
        return importing.clip(site, x, None, site.tensors.constant(bound))
    raise RefusedError(*_COMPARES)


def floor(site: TorchSite, input: Any) -> Result:
    """Converter of `floor` in an activation of whole levels."""
    return importing.floor(site, need_value(input))


def round_half_even(site: TorchSite, input: Any, *, decimals: int = 0) -> Result:
    """Converter of `round` in an activation of whole levels."""
    if decimals:
        raise RefusedError("it rounds to decimals", "round to whole levels")
    return importing.round_half_even(site, need_value(input))


def _bound(site: TorchSite, value: Any) -> Constant | float | None:
    """A bound of `clamp`; None where there is none."""
    if isinstance(value, Tensor):
        return site.tensors.constant(value)
    if value is None or isinstance(value, int | float):
        return None if value is None or value == -math.inf else value
    raise RefusedError("its bound depends on the input", "use a fixed number")


FUNCTIONS: Converters = converters(
    (relu, (F.relu, torch.relu, torch.relu_, F.relu_)),
    (relu6, (F.relu6,)),
    (clamp, (torch.clamp, torch.clip, torch.clamp_min, torch.clamp_, torch.clip_)),
    (clamp_max, (torch.clamp_max, torch.clamp_max_)),
    (hardtanh, (F.hardtanh, F.hardtanh_)),
    (leaky_relu, (F.leaky_relu, F.leaky_relu_)),
    (prelu, (F.prelu, torch.prelu)),
    (threshold, (F.threshold, torch.threshold)),
    (maximum, (torch.maximum, torch.fmax)),
    (largest, (torch.max,)),
    (minimum, (torch.minimum, torch.fmin, torch.min)),
    (floor, (torch.floor,)),
    (round_half_even, (torch.round,)),
)
METHODS: Converters = converters(
    (prelu, ("prelu",)),
    (relu, ("relu", "relu_")),
    (clamp, ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_")),
    (clamp_max, ("clamp_max", "clamp_max_")),
    (maximum, ("maximum", "fmax")),
    (largest, ("max",)),
    (minimum, ("minimum", "fmin", "min")),
    (floor, ("floor", "floor_")),
    (round_half_even, ("round", "round_")),
)
MODULES: ModuleConverters = {
    nn.ReLU: without_module(relu),
    nn.ReLU6: without_module(relu6),
    nn.Hardtanh: lambda site, module, input: hardtanh(site, input, module.min_val, module.max_val),
    nn.LeakyReLU: lambda site, module, input: leaky_relu(site, input, module.negative_slope),
    nn.PReLU: lambda site, module, input: prelu(site, input, module.weight),
    nn.Threshold: lambda site, module, input: threshold(
        site, input, module.threshold, module.value
    ),
}
