"""Converters of operations that move elements within spatial axes, or between them and channels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from snnc.frontends import importing
from snnc.frontends.importing import RefusedError
from snnc.frontends.onnx.ops_layers import Converter
from snnc.frontends.onnx.site import OnnxSite, Result, Tensor, tensor_of
from snnc.frontends.onnx.windows import check_size, nearest, resized
from snnc.ir import Upsample

MODES: Mapping[str, importing.Mode] = MappingProxyType(
    {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
)
"""Modes of `Pad` that pad with elements."""


def pad(site: OnnxSite) -> Result:
    """Converter of `Pad` with a number or with elements; negative padding crops."""
    x, amounts = site.tensor(), site.integers(1, "padding") or []
    mode = site.text("mode", "constant")
    if mode not in ("constant", *MODES):
        raise RefusedError(f"mode={mode!r} is none of ONNX", f"use {', '.join(MODES)} or constant")
    rank = len(x.shape) + 1
    axes = [axis % rank for axis in site.integers(3, "axes") or range(rank)]
    if len(amounts) != 2 * len(axes):
        raise RefusedError("its padding is not two numbers per axis", "fix it")
    pairs = dict(zip(axes, zip(amounts, amounts[len(axes) :], strict=False), strict=True))
    if pairs.pop(0, (0, 0)) != (0, 0):
        raise RefusedError("it pads the batch axis", "pad the axes after the batch")
    each = tuple(pairs.get(axis, (0, 0)) for axis in range(1, rank))
    check_size(1, [n + max(sum(pair), 0) for n, pair in zip(x.shape, each, strict=True)])
    padding = tuple(x.stored(each))
    if mode == "constant":
        return Tensor(importing.pad(site, x.value, padding, _number(site)), x.order)
    return Tensor(importing.pad_with_elements(site, x.value, padding, MODES[mode]), x.order)


def _number(site: OnnxSite) -> float:
    """What `Pad` puts in; it may be minus infinity, which other constants may not."""
    value = site.known(2, "value")
    if value is None or value.array.size != 1:
        return 0.0
    number = float(value.array.reshape(()))
    if math.isnan(number) or number == math.inf:
        raise RefusedError(f"it pads with {number}", "pad with a number")
    return number


def resize(site: OnnxSite) -> Result:
    """Converter of `Resize` to the nearest neighbour that repeats elements evenly."""
    x, mode = site.tensor(), site.text("mode", "nearest")
    if mode != "nearest":
        raise RefusedError(f"mode={mode!r} mixes neighbours", "use mode='nearest'")
    scales = site.known(2, "scales")
    given = None if scales is None or not scales.array.size else scales.array.tolist()
    dims = [site.batch, *x.shape]
    result, wanted = resized(dims, site.attributes, given, site.integers(3, "sizes"))
    factors = [after // before for before, after in zip(dims, result, strict=True)]
    even = all(
        n == m * f and (nearest(m, n, s, site.attributes) == np.arange(n) // max(f, 1)).all()
        for m, n, f, s in zip(dims[1:], result[1:], factors[1:], wanted[1:], strict=True)
    )
    stored = x.stored(factors[1:])
    if not even or factors[0] != 1 or stored[0] != 1:
        raise RefusedError("it repeats elements unevenly", "enlarge by a whole number")
    if set(stored) == {1}:
        return x
    return Tensor(site.emit(Upsample(factors=tuple(stored[1:])), [x.value]), x.order)


def depth_to_space(site: OnnxSite) -> Result:
    """Converter of `DepthToSpace`: channels become blocks of positions."""
    x, block = site.value(), site.attributes["blocksize"]
    if len(x.shape) != 3 or block < 1 or x.shape[0] % block**2:
        raise RefusedError(f"blocks of {block} in a sample of shape {x.shape}", "fix them")
    channels, height, width = x.shape[0] // block**2, *x.shape[1:]
    by_row = site.text("mode", "DCR") == "DCR"
    grid = (block, block, channels) if by_row else (channels, block, block)
    order = (2, 3, 0, 4, 1) if by_row else (0, 3, 1, 4, 2)
    result = (channels, height * block, width * block)
    return tensor_of(importing.regroup(site, x, (*grid, height, width), order, result))


def space_to_depth(site: OnnxSite) -> Result:
    """Converter of `SpaceToDepth`: blocks of positions become channels."""
    x, block = site.value(), site.attributes["blocksize"]
    if len(x.shape) != 3 or block < 1 or any(n % block for n in x.shape[1:]):
        raise RefusedError(f"blocks of {block} in a sample of shape {x.shape}", "fix them")
    channels, height, width = x.shape[0], x.shape[1] // block, x.shape[2] // block
    split, result = (channels, height, block, width, block), (channels * block**2, height, width)
    return tensor_of(importing.regroup(site, x, split, (2, 4, 0, 1, 3), result))


SPATIAL: dict[str, Converter] = {
    "DepthToSpace": depth_to_space,
    "Pad": pad,
    "Resize": resize,
    "SpaceToDepth": space_to_depth,
}
