"""Converters of operations that move elements within spatial axes, or between them and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from snnc.frontends import importing
from snnc.frontends.importing import RefusedError, need_value
from snnc.frontends.ops_shape import sample_axis
from snnc.frontends.torch_site import (
    Converter,
    Converters,
    ModuleConverter,
    ModuleConverters,
    Result,
    TorchSite,
    converters,
)
from snnc.ir import Upsample


def flip(site: TorchSite, input: Any, *dims: Any) -> Result:
    """Converter of `flip` along axes other than the batch."""
    x = need_value(input)
    turned = {sample_axis(x, dim) for dim in _integers(dims)}
    bounds = [(n - 1, -1, -1) if i in turned else (0, n, 1) for i, n in enumerate(x.shape)]
    return importing.take(site, x, bounds)


def roll(site: TorchSite, input: Any, shifts: Any, dims: Any = ()) -> Result:
    """Converter of `roll` along axes other than the batch."""
    x = need_value(input)
    axes = _integers((dims,))
    if not axes:
        raise RefusedError("it rolls over the samples of the batch", "name the axes: dims=(2, 3)")
    for dim, shift in zip(axes, _integers((shifts,)), strict=True):
        x = importing.roll(site, x, sample_axis(x, dim), shift)
    return x


def _integers(given: tuple[Any, ...]) -> tuple[int, ...]:
    """The numbers of `f(1, 2)` or of `f((1, 2))`. Raises `RefusedError` for the batch size."""
    numbers = tuple(given[0]) if given and isinstance(given[0], Sequence) else given
    if not all(type(n) is int for n in numbers):
        raise RefusedError("it depends on the size of the batch", "use fixed numbers")
    return numbers


def pixel_shuffle(site: TorchSite, input: Any, upscale_factor: int) -> Result:
    """Converter of `pixel_shuffle`: channels become positions."""
    x, r = need_value(input), upscale_factor
    importing.check_spatial(x, 2, "pixel shuffle")
    _, height, width = x.shape
    split = (site.result[0], r, r, height, width)
    return importing.regroup(site, x, split, (0, 3, 1, 4, 2), site.result)


def pixel_unshuffle(site: TorchSite, input: Any, downscale_factor: int) -> Result:
    """Converter of `pixel_unshuffle`: positions become channels."""
    x, r = need_value(input), downscale_factor
    importing.check_spatial(x, 2, "pixel shuffle")
    _, height, width = site.result
    split = (x.shape[0], height, r, width, r)
    return importing.regroup(site, x, split, (0, 2, 4, 1, 3), site.result)


def channel_shuffle(site: TorchSite, input: Any, groups: int) -> Result:
    """Converter of `channel_shuffle`: channel i of group j becomes channel j of group i."""
    x = need_value(input)
    channels, *spatial = x.shape
    axes = (1, 0, *range(2, len(spatial) + 2))
    return importing.regroup(site, x, (groups, channels // groups, *spatial), axes, x.shape)


def pad(site: TorchSite, input: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Result:
    """Converter of `F.pad` with a number or with elements; negative padding becomes a slice."""
    x, number = need_value(input), 0 if value is None else value
    if not all(type(p) is int for p in pad):
        raise RefusedError("its size depends on the batch", "pad by fixed numbers")
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    if len(pairs) > len(x.shape):
        raise RefusedError("it pads the batch axis", "pad the axes after the batch")
    padding = (*[(0, 0)] * (len(x.shape) - len(pairs)), *pairs[::-1])
    if mode == "constant":
        if not isinstance(number, int | float):
            raise RefusedError("its value depends on the input", "pad with a fixed number")
        return importing.pad(site, x, padding, number)
    return importing.pad_with_elements(site, x, padding, mode)  # torch refuses other modes


def pad_with(mode: str) -> Converter:
    """Converter of an operator of torch.export that pads with elements of the sample."""
    return lambda site, input, padding: pad(site, input, padding, mode)


def interpolate(
    site: TorchSite,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Result:
    """Converter of `F.interpolate` that repeats every element a whole number of times."""
    x, shape = need_value(input), site.result
    if mode not in ("nearest", "nearest-exact"):
        raise RefusedError(f"mode={mode!r} mixes neighbours", "use mode='nearest'")
    factors = [after // before for after, before in zip(shape[1:], x.shape[1:], strict=True)]
    wanted = factors if scale_factor is None else scale_factor
    wanted = list(wanted) if isinstance(wanted, Sequence) else [wanted] * len(factors)
    grown = (x.shape[0], *(n * f for n, f in zip(x.shape[1:], factors, strict=True)))
    if shape != grown or wanted != factors:
        raise RefusedError("it repeats elements unevenly", "enlarge by a whole number")
    if set(factors) == {1}:
        return x
    return site.emit(Upsample(factors=tuple(factors)), [x])


def _upsample_module(site: TorchSite, module: Any, input: Any) -> Result:
    return interpolate(site, input, module.size, module.scale_factor, module.mode)


def _pad_module(site: TorchSite, module: Any, input: Any) -> Result:
    return pad(site, input, module.padding, value=module.value)


def _pad_module_with(mode: str) -> ModuleConverter:
    return lambda site, module, input: pad(site, input, module.padding, mode)


FUNCTIONS: Converters = converters(
    (flip, (torch.flip,)),
    (roll, (torch.roll,)),
    (pixel_shuffle, (F.pixel_shuffle,)),
    (pixel_unshuffle, (F.pixel_unshuffle,)),
    (channel_shuffle, (F.channel_shuffle,)),
    (pad, (F.pad,)),
    (interpolate, (F.interpolate,)),
)
METHODS: Converters = converters((flip, ("flip",)), (roll, ("roll",)))
MODULES: ModuleConverters = {
    nn.Upsample: _upsample_module,
    nn.PixelShuffle: lambda site, module, input: pixel_shuffle(site, input, module.upscale_factor),
    nn.PixelUnshuffle: lambda site, module, input: pixel_unshuffle(
        site, input, module.downscale_factor
    ),
    nn.ChannelShuffle: lambda site, module, input: channel_shuffle(site, input, module.groups),
    nn.ZeroPad1d: _pad_module,
    nn.ZeroPad2d: _pad_module,
    nn.ConstantPad1d: _pad_module,
    nn.ConstantPad2d: _pad_module,
    nn.ReflectionPad1d: _pad_module_with("reflect"),
    nn.ReflectionPad2d: _pad_module_with("reflect"),
    nn.ReplicationPad1d: _pad_module_with("replicate"),
    nn.ReplicationPad2d: _pad_module_with("replicate"),
    nn.CircularPad1d: _pad_module_with("circular"),
    nn.CircularPad2d: _pad_module_with("circular"),
}
