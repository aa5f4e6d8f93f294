"""Converters of sums, and of products with constants."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from snnc.frontends import importing
from snnc.frontends.importing import FINE_TUNE, Constant, RefusedError, Value, need_value
from snnc.frontends.torch_site import (
    Converters,
    Result,
    TorchSite,
    all_equal,
    converters,
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
            "it multiplies activations with each other (a gate, as in squeeze-and-excitation), and "
            "a neuron only sums them",
            f"leave the gate out, or add instead, and {FINE_TUNE}",
        )
    x, factor = (input, other) if isinstance(input, Value) else (other, input)
    return _affine(site, need_value(x), factor, 0)


def divide(site: TorchSite, input: Any, other: Any, *, rounding_mode: Any = None) -> Result:
    """Converter of `x / constant`, also rounded down."""
    if isinstance(other, Value) or rounding_mode not in (None, "floor"):
        raise RefusedError("it divides by an activation, or truncates", "divide by a constant")
    x = need_value(input)
    result = _affine(site, x, 1 / other if isinstance(other, Tensor) else 1 / _number(other), 0)
    return result if rounding_mode is None else importing.floor(site, result)


def floor_divide(site: TorchSite, input: Any, other: Any) -> Result:
    """Converter of `x // constant`."""
    return divide(site, input, other, rounding_mode="floor")


def negate(site: TorchSite, input: Any) -> Result:
    """Converter of `-x`."""
    return _affine(site, need_value(input), -1, 0)


def power(site: TorchSite, input: Any, exponent: Any) -> Result:
    """Converter of `x ** 1`, which is x."""
    if not isinstance(input, Value) or not all_equal(exponent, 1):
        raise RefusedError("it raises an activation to a power", "use sums, or fixed weights")
    return input


def exponential(site: TorchSite, input: Any) -> Result:
    """Converter of `exp` of a final log-softmax."""
    return importing.exponential(need_value(input))


def logarithm(site: TorchSite, input: Any) -> Result:
    """Converter of `log` of a final softmax."""
    return importing.logarithm(need_value(input))


def _affine(site: TorchSite, x: Value, factor: Any, bias: Any) -> Value:
    return importing.scale(site, x, _operand(site, factor), _operand(site, bias))


def _operand(site: TorchSite, value: Any) -> Constant | float:
    return site.tensors.constant(value) if isinstance(value, Tensor) else _number(value)


def _number(value: Any) -> Number:
    if isinstance(value, Number) and not isinstance(value, bool):
        return value
    raise RefusedError("its constant depends on the batch", "use a fixed number")


FUNCTIONS: Converters = converters(
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
    (floor_divide, (operator.floordiv, operator.ifloordiv, torch.floor_divide)),
    (negate, (operator.neg, torch.neg, torch.negative)),
    (power, (operator.pow, operator.ipow, torch.pow)),
)
METHODS: Converters = converters(
    (exponential, ("exp",)),
    (logarithm, ("log",)),
    (add, ("add", "add_")),
    (subtract, ("sub", "sub_", "subtract")),
    (multiply, ("mul", "mul_", "multiply")),
    (divide, ("div", "div_", "divide", "true_divide")),
    (floor_divide, ("floor_divide", "floor_divide_")),
    (negate, ("neg", "neg_", "negative")),
    (power, ("pow", "pow_")),
)
