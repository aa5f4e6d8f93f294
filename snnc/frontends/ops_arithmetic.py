"""Converters of sums, and of products with constants."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.frontends import importing
from snnc.frontends.importing import Constant, RefusedError, Value, need_value
from snnc.frontends.torch_site import (
    Converters,
    ModuleConverters,
    Result,
    TorchSite,
    converters,
    without_module,
)

Number = int | float


def add(site: TorchSite, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `x + y`, of two activations or with a constant."""
    if isinstance(input, Value) and isinstance(other, Value):
        return importing.add(site, input, other, _number(alpha))
    if isinstance(other, Value):
        return _affine(site, other, alpha, input)
    return _affine(site, need_value(input), 1, other * _number(alpha))


def subtract(site: TorchSite, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `x - y`."""
    return add(site, input, other, alpha=-_number(alpha))


def reversed_subtract(site: TorchSite, input: Any, other: Any, *, alpha: Any = 1) -> Result:
    """Converter of `torch.rsub(x, y)`, which is `y - x`."""
    return subtract(site, other, input, alpha=alpha)


def multiply(site: TorchSite, input: Any, other: Any) -> Result:
    """Converter of `x * y`; one of them a constant."""
    if isinstance(input, Value) and isinstance(other, Value):
        raise RefusedError(
            "it multiplies activations with each other", "use sums, or fixed weights"
        )
    x, factor = (input, other) if isinstance(input, Value) else (other, input)
    return _affine(site, need_value(x), factor, 0)


def divide(site: TorchSite, input: Any, other: Any, *, rounding_mode: Any = None) -> Result:
    """Converter of `x / constant`."""
    if isinstance(other, Value) or rounding_mode is not None:
        raise RefusedError("it divides by an activation, or rounds", "divide by a constant")
    x = need_value(input)
    return _affine(site, x, 1 / other if isinstance(other, Tensor) else 1 / _number(other), 0)


def negate(site: TorchSite, input: Any) -> Result:
    """Converter of `-x`."""
    return _affine(site, need_value(input), -1, 0)


def power(site: TorchSite, input: Any, exponent: Any) -> Result:
    """Converter of `x ** 1`, which is x."""
    if not isinstance(input, Value) or not _all(exponent, 1):
        raise RefusedError("it raises an activation to a power", "use sums, or fixed weights")
    return input


def relu(site: TorchSite, input: Any, inplace: bool = False) -> Result:
    """Converter of every ReLU."""
    return importing.relu(site, need_value(input))


_NO_RELU = "a neuron's rate follows max(x, 0), not this activation"


def clamp(site: TorchSite, input: Any, min: Any = None, max: Any = None) -> Result:
    """Converter of `clamp(min=0)`, which is a ReLU."""
    if _all(min, 0) and (max is None or _all(max, math.inf)):
        return relu(site, input)
    raise RefusedError(_NO_RELU, "use ReLU, or clamp(min=0)")


def hardtanh(
    site: TorchSite, input: Any, min_val: Any = -1, max_val: Any = 1, inplace: bool = False
) -> Result:
    """Converter of `hardtanh`; of 0 and infinity it is a ReLU."""
    if _all(min_val, 0) and _all(max_val, math.inf):
        return relu(site, input)
    raise RefusedError(_NO_RELU, "train with ReLU; at the end of the network, return the logits")


def leaky_relu(
    site: TorchSite, input: Any, negative_slope: Any = 0.01, inplace: bool = False
) -> Result:
    """Converter of `leaky_relu`; of slope 0 it is a ReLU."""
    if _all(negative_slope, 0):
        return relu(site, input)
    raise RefusedError(_NO_RELU, "train with ReLU")


def threshold(
    site: TorchSite, input: Any, threshold: Any, value: Any, inplace: bool = False
) -> Result:
    """Converter of `threshold(x, 0, 0)`, which is a ReLU."""
    if _all(threshold, 0) and _all(value, 0):
        return relu(site, input)
    raise RefusedError(_NO_RELU, "train with ReLU")


def maximum(site: TorchSite, input: Any, other: Any = None, *args: Any, **kwargs: Any) -> Result:
    """Converter of `maximum(x, 0)`, which is a ReLU."""
    x, bound = (input, other) if isinstance(input, Value) else (other, input)
    if isinstance(x, Value) and isinstance(bound, Tensor) and _all(bound, 0):
        importing.scale(site, x, 1, site.tensors.constant(bound))  # refuses what changes the shape
        return relu(site, x)
    raise RefusedError("it compares activations", "use nn.MaxPool2d, or ReLU")


def exponential(site: TorchSite, input: Any) -> Result:
    """Converter of `exp` of a final log-softmax."""
    return importing.exponential(need_value(input))


def logarithm(site: TorchSite, input: Any) -> Result:
    """Converter of `log` of a final softmax."""
    return importing.logarithm(need_value(input))


def _all(value: Any, number: float) -> bool:
    """Whether `value`, a number or a tensor, is `number` everywhere."""
    if isinstance(value, Tensor):
        return bool((value == number).all())
    return isinstance(value, Number) and value == number


def _affine(site: TorchSite, x: Value, factor: Any, bias: Any) -> Result:
    return importing.scale(site, x, _operand(site, factor), _operand(site, bias))


def _operand(site: TorchSite, value: Any) -> Constant | float:
    return site.tensors.constant(value) if isinstance(value, Tensor) else _number(value)


def _number(value: Any) -> Number:
    if isinstance(value, Number) and not isinstance(value, bool):
        return value
    raise RefusedError("its constant depends on the batch", "use a fixed number")


FUNCTIONS: Converters = converters(
    (relu, (F.relu, torch.relu, torch.relu_, F.relu_)),
    (clamp, (torch.clamp, torch.clip, torch.clamp_min)),
    (hardtanh, (F.hardtanh, F.hardtanh_)),
    (leaky_relu, (F.leaky_relu, F.leaky_relu_)),
    (threshold, (F.threshold, torch.threshold)),
    (maximum, (torch.maximum, torch.fmax, torch.max)),
    (exponential, (torch.exp,)),
    (logarithm, (torch.log,)),
    (add, (operator.add, operator.iadd, torch.add)),
    (subtract, (operator.sub, operator.isub, torch.sub, torch.subtract)),
    (reversed_subtract, (torch.rsub,)),
    (multiply, (operator.mul, operator.imul, torch.mul, torch.multiply)),
    (
        divide,
        (operator.truediv, operator.itruediv, torch.div, torch.divide, torch.true_divide),
    ),
    (negate, (operator.neg, torch.neg, torch.negative)),
    (power, (operator.pow, operator.ipow, torch.pow)),
)
METHODS: Converters = converters(
    (relu, ("relu", "relu_")),
    (maximum, ("maximum", "fmax", "max")),
    (exponential, ("exp",)),
    (logarithm, ("log",)),
    (clamp, ("clamp", "clamp_", "clip", "clamp_min", "clamp_min_")),
    (add, ("add", "add_")),
    (subtract, ("sub", "sub_", "subtract")),
    (multiply, ("mul", "mul_", "multiply")),
    (divide, ("div", "div_", "divide", "true_divide")),
    (negate, ("neg", "neg_", "negative")),
    (power, ("pow", "pow_")),
)
MODULES: ModuleConverters = {
    nn.ReLU: without_module(relu),
    nn.Hardtanh: lambda site, module, input: hardtanh(site, input, module.min_val, module.max_val),
    nn.LeakyReLU: lambda site, module, input: leaky_relu(site, input, module.negative_slope),
    nn.Threshold: lambda site, module, input: threshold(
        site, input, module.threshold, module.value
    ),
}
