"""An activation times and plus constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.importing.site import Constant, ImportSite, RefusedError, Value
from snnc.ir import Ref, Scale


def exponential(x: Value) -> Value:
    """exp(x) of a log-softmax, which makes it a softmax. Raises `RefusedError` for others."""
    if x.softmax is None or not x.softmax.log:
        raise RefusedError("it takes an exponential", "train with ReLU")
    return replace(x, softmax=replace(x.softmax, log=False))


def logarithm(x: Value) -> Value:
    """log(x) of a softmax, which makes it a log-softmax. Raises `RefusedError` for others."""
    if x.softmax is None or x.softmax.log:
        raise RefusedError("it takes a logarithm", "train with ReLU")
    return replace(x, softmax=replace(x.softmax, log=True))


def scale(
    site: ImportSite, x: Value, factor: Constant | float = 1, bias: Constant | float = 0
) -> Value:
    """factor * x + bias; adds no node if that is x.

    Constants broadcast as in numpy, against the sample or a batch of one. Raises `RefusedError`
    for a constant that changes the shape.
    """
    times, plus = for_sample(factor, x), for_sample(bias, x)
    if x.rounding is not None and times.ndim == 0 and not np.any(plus):
        product = x.rounding.factor * float(times)
        return replace(x, rounding=replace(x.rounding, factor=product))
    if not np.any(plus) and np.all(times == 1):
        return x
    own = float(times) if times.ndim == 0 else stored(site, factor, times, "factor")
    ref = stored(site, bias, plus, "bias") if np.any(plus) else None
    return site.emit(Scale(factor=own, bias=ref), [x])


def stored(
    site: ImportSite, constant: Constant | float, array: NDArray[np.float32], name: str
) -> Ref:
    """Store `array`; under the name of the constant if it is used unchanged."""
    if isinstance(constant, Constant) and constant.shape == array.shape:
        return site.param(constant, name)
    return site.array(array, name)


def for_sample(constant: Constant | float, x: Value) -> NDArray[np.float32]:
    """A constant as a number, (C,), or of the sample's shape."""
    if not isinstance(constant, Constant):
        return np.asarray(constant, np.float32)
    array = constant.array
    if array.size == 1:
        return array.reshape(())
    if array.ndim == len(x.shape) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(x.shape) or not _broadcasts(array.shape, x.shape):
        raise RefusedError(
            f"a constant of shape {array.shape} changes the sample's shape {x.shape}",
            "use a number, one value per channel (C, 1, 1), or the sample's own shape",
        )
    array = array.reshape((1,) * (len(x.shape) - array.ndim) + array.shape)
    if all(n == 1 for n in array.shape[1:]) and array.shape[0] == x.shape[0]:
        return array.reshape(-1)
    return np.ascontiguousarray(np.broadcast_to(array, x.shape))


def _broadcasts(shape: tuple[int, ...], sample: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, sample) == sample
    except ValueError:
        return False
