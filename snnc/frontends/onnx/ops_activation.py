"""Converters of activations."""

from __future__ import annotations

from functools import reduce

import numpy as np

from snnc.frontends import importing
from snnc.frontends.importing import Constant, RefusedError
from snnc.frontends.onnx.ops_arithmetic import arranged
from snnc.frontends.onnx.ops_layers import Converter
from snnc.frontends.onnx.site import Known, OnnxSite, Result, Tensor, tensor_of
from snnc.output_function import OutputFunction

_COMPARES = ("it compares activations", "use MaxPool, or Relu")
LARGEST = np.finfo(np.float32).max


def relu(site: OnnxSite) -> Result:
    """Converter of `Relu`."""
    x = site.tensor()
    return Tensor(importing.relu(site, x.value), x.order)


def clip(site: OnnxSite) -> Result:
    """Converter of `Clip` from 0 to a bound, or to a bound alone behind a Relu."""
    low, high = (site.optional_constant(i, "bound") for i in (1, 2))
    low = None if low is None or np.all(low.array <= -LARGEST) else low
    high = None if high is None or np.all(high.array >= LARGEST) else high
    x = site.tensor()
    if low is None and high is None:
        return x
    return Tensor(importing.clip(site, x.value, _number(low), _number(high)), x.order)


def _number(bound: Constant | None) -> float | None:
    """The bound, which ONNX defines as one number."""
    return None if bound is None else float(bound.array.reshape(-1)[0])


def leaky_relu(site: OnnxSite) -> Result:
    """Converter of `LeakyRelu`."""
    x, slope = site.tensor(), float(site.attributes.get("alpha", 0.01))
    return Tensor(importing.leaky_relu(site, x.value, slope), x.order)


def prelu(site: OnnxSite) -> Result:
    """Converter of `PRelu`."""
    x = site.tensor()
    slope = arranged(x, site.known(1, "slope"))
    return Tensor(importing.leaky_relu(site, x.value, slope), x.order)


def maximum(site: OnnxSite) -> Result:
    """Converter of `Max`: the largest of activations, and a ReLU of it where 0 is among them."""
    tensors, bound = _with_bound(site, np.maximum)
    if bound is not None and np.any(bound.array):
        raise RefusedError(*_COMPARES)
    x = tensors[0]
    if len(tensors) > 1:
        x = tensor_of(importing.maximum(site, [site.moved(each) for each in tensors]))
    return x if bound is None else Tensor(importing.relu(site, x.value), x.order)


def minimum(site: OnnxSite) -> Result:
    """Converter of `Min` with a constant, behind a Relu."""
    (x, *others), bound = _with_bound(site, np.minimum)
    if others:
        raise RefusedError(*_COMPARES)
    if bound is None:
        return x
    high = arranged(x, Known(bound.array, bound.name))
    return Tensor(importing.clip(site, x.value, None, high), x.order)


def _with_bound(site: OnnxSite, combine: np.ufunc) -> tuple[list[Tensor], Constant | None]:
    """The inputs that are no constants, at least one, and all others combined, if there are."""
    tensors = [x for x in site.inputs if isinstance(x, Tensor)]
    bounds = [x.constant for x in site.inputs if isinstance(x, Known)]
    if not tensors:
        raise RefusedError(*_COMPARES)
    if len(bounds) < 2:
        return tensors, bounds[0] if bounds else None
    return tensors, Constant(reduce(combine, (bound.array for bound in bounds)))


def floor(site: OnnxSite) -> Result:
    """Converter of `Floor` in an activation of whole levels."""
    x = site.tensor()
    return Tensor(importing.floor(site, x.value), x.order)


def round_half_even(site: OnnxSite) -> Result:
    """Converter of `Round` in an activation of whole levels."""
    x = site.tensor()
    return Tensor(importing.round_half_even(site, x.value), x.order)


ACTIVATIONS: dict[str, Converter] = {
    "Clip": clip,
    "Floor": floor,
    "LeakyRelu": leaky_relu,
    "Max": maximum,
    "Min": minimum,
    "PRelu": prelu,
    "Relu": relu,
    "Round": round_half_even,
}
SQUASHING = {"Sigmoid": OutputFunction("sigmoid"), "Tanh": OutputFunction("tanh")}
"""Kept on outputs, as their function."""
