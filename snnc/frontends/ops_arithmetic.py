"""Converters of sums, and of products with constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.frontends.sites import RefusedError, Result, Site, Value, need_value, to_array
from snnc.ir import Add, Ref, Relu, Scale

Number = int | float


def add(site: Site, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `x + y`, of two activations or with a constant."""
    if isinstance(input, Value) and isinstance(other, Value):
        return _sum(site, input, _scaled(site, other, alpha))
    if isinstance(other, Value):
        return _affine(site, other, alpha, input)
    return _affine(site, need_value(input), 1, _times(other, alpha))


def subtract(site: Site, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `x - y`."""
    return add(site, input, other, alpha=-_number(alpha))


def reversed_subtract(site: Site, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `torch.rsub(x, y)`, which is `y - x`."""
    return subtract(site, other, input, alpha=alpha)


def multiply(site: Site, input: Any, other: Any) -> Result:
    """Converter of `x * y`; one of them a constant."""
    if isinstance(input, Value) and isinstance(other, Value):
        raise RefusedError(
            "it multiplies activations with each other", "use sums, or fixed weights"
        )
    x, factor = (input, other) if isinstance(input, Value) else (other, input)
    return _affine(site, need_value(x), factor, 0)


def divide(site: Site, input: Any, other: Any, *, rounding_mode: Any = None) -> Result:
    """Converter of `x / constant`."""
    if isinstance(other, Value) or rounding_mode is not None:
        raise RefusedError("it divides by an activation, or rounds", "divide by a constant")
    x = need_value(input)
    return _affine(site, x, 1 / other if isinstance(other, Tensor) else 1 / _number(other), 0)


def negate(site: Site, input: Any) -> Result:
    """Converter of `-x`."""
    return _affine(site, need_value(input), -1, 0)


def relu(site: Site, input: Any, inplace: bool = False) -> Result:
    """Converter of every ReLU."""
    x = need_value(input)
    return site.emit(Relu(), [x], x.shape)


def clamp(site: Site, input: Any, min: Any = None, max: Any = None) -> Result:
    """Converter of `clamp(min=0)`, which is a ReLU."""
    if isinstance(min, Number) and min == 0 and max is None:
        return relu(site, input)
    raise RefusedError(
        "a neuron's rate follows max(x, 0), not this activation", "use ReLU, or clamp(min=0)"
    )


def _sum(site: Site, x: Value, y: Value) -> Result:
    if x.shape != y.shape:
        raise RefusedError(
            f"it adds samples of different shapes {x.shape} and {y.shape}",
            "give both the same shape",
        )
    return site.emit(Add(), [x, y])


def _scaled(site: Site, x: Value, factor: Any) -> Value:
    factor = _number(factor)
    if factor == 1:
        return x
    return site.emit(Scale(factor=float(factor)), [x], x.shape, "scale")


def _times(constant: Any, factor: Any) -> Any:
    return constant * _number(factor)


def _number(value: Any) -> Number:
    if isinstance(value, Number) and not isinstance(value, bool):
        return value
    raise RefusedError("its constant depends on the batch", "use a fixed number")


def _affine(site: Site, x: Value, factor: Any, bias: Any) -> Result:
    """factor * x + bias; nothing at all when that is x."""
    scale, shift = _for_sample(factor, x, site), _for_sample(bias, x, site)
    if not np.any(shift) and np.all(scale == 1):
        return x
    stored: Ref | float = (
        float(scale) if scale.ndim == 0 else _stored(site, factor, scale, "factor")
    )
    ref = _stored(site, bias, shift, "bias") if np.any(shift) else None
    return site.emit(Scale(factor=stored, bias=ref), [x], x.shape)


def _stored(site: Site, constant: Any, array: NDArray[np.float32], name: str) -> Ref:
    """An array of the module keeps its state-dict key when it is used as it stands."""
    if isinstance(constant, Tensor) and tuple(constant.shape) == array.shape:
        ref = site.param(constant, name)
        if ref is not None and np.array_equal(site.graph.params[ref.name], array):
            return ref
    return site.array(array, name)


def _for_sample(constant: Any, x: Value, site: Site) -> NDArray[np.float32]:
    """A constant as a number, (C,), or of the sample's shape."""
    if not isinstance(constant, Tensor):
        return np.asarray(_number(constant), np.float32)
    if constant.numel() == 1:
        return to_array(constant).reshape(())
    shape = tuple(constant.shape)
    if len(shape) == len(x.shape) + 1 and shape[0] == 1:
        constant, shape = constant[0], shape[1:]
    try:
        fits = torch.broadcast_shapes(shape, x.shape) == x.shape and len(shape) <= len(x.shape)
    except RuntimeError:
        fits = False
    if not fits or site.result != x.shape:
        raise RefusedError(
            f"a constant of shape {shape} changes the sample's shape {x.shape}",
            "use a number, one value per channel (C, 1, 1), or the sample's own shape",
        )
    array = to_array(constant).reshape((1,) * (len(x.shape) - len(shape)) + shape)
    if all(n == 1 for n in array.shape[1:]) and array.shape[0] == x.shape[0]:
        return array.reshape(-1)
    return np.ascontiguousarray(np.broadcast_to(array, x.shape))
