"""Converters of sums, and of products with constants."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snnc.frontends import importing
from snnc.frontends.importing import FINE_TUNE, Constant, RefusedError
from snnc.frontends.onnx.ops_layers import Converter
from snnc.frontends.onnx.site import Known, OnnxSite, Result, Tensor
from snnc.ir import Conv, Linear


def add(site: OnnxSite) -> Result:
    """Converter of `Add`."""
    return _sum(site, 1, 1)


def subtract(site: OnnxSite) -> Result:
    """Converter of `Sub`."""
    return _sum(site, 1, -1)


def _sum(site: OnnxSite, first: int, second: int) -> Result:
    """first * x + second * y; both factors 1 or -1."""
    x, y = site.input(0), site.input(1)
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        if x.order == y.order:
            return Tensor(importing.add(site, x.value, y.value, second), x.order)
        total = importing.add(site, site.moved(x), site.moved(y), second)
        return Tensor(total, tuple(range(len(total.shape))))
    at, other, sign = (0, 1, second) if isinstance(x, Tensor) else (1, 0, first)
    factor = second if at == 1 else first
    constant = arranged(site.tensor(at), site.known(other, "constant"))
    if sign == -1:
        constant = Constant(-constant.array, constant.name)
    merged = _as_bias(site, at, constant) if factor == 1 else None
    return merged or _affine(site, site.tensor(at), factor, constant)


def _as_bias(site: OnnxSite, index: int, constant: Constant) -> Result | None:
    """The layer that gives an input, with `constant` as its bias; None if it is not fit for it."""
    x = site.tensor(index)
    op = site.graph.node(x.value.name).op
    if site.makers[index] not in ("Conv", "Gemm", "MatMul") or not isinstance(op, Conv | Linear):
        return None
    channels = x.value.shape[0]
    per_channel = {(channels, *(1,) * rest) for rest in (0, len(x.shape) - 1)}
    shape = constant.shape[1:] if len(constant.shape) > len(x.shape) else constant.shape
    rank = len(x.shape) - 1
    if op.bias is not None or shape not in per_channel or (rank and len(shape) != rank + 1):
        return None
    bias = Constant(constant.array.reshape(channels), constant.name)
    named = replace(site, name=x.value.name)
    site.graph.replace_op(x.value.name, replace(op, bias=named.param(bias, "bias")))
    return x


def multiply(site: OnnxSite) -> Result:
    """Converter of `Mul`; one factor is a constant."""
    if all(isinstance(x, Tensor) for x in site.inputs):
        raise RefusedError(
            "it multiplies activations with each other (a gate, as in squeeze-and-excitation), and "
            "a neuron only sums them",
            f"leave the gate out, or add instead, and {FINE_TUNE}",
        )
    at = 0 if isinstance(site.input(0), Tensor) else 1
    x = site.tensor(at)
    return _affine(site, x, arranged(x, site.known(1 - at, "factor")), 0)


def divide(site: OnnxSite) -> Result:
    """Converter of `Div` by a constant."""
    if isinstance(site.input(1), Tensor):
        raise RefusedError("it divides by an activation", "divide by a constant")
    x = site.tensor()
    divisor = arranged(x, site.known(1, "divisor"))
    if not np.all(divisor.array):
        raise RefusedError("it divides by zero", "divide by another constant")
    return _affine(site, x, Constant(np.reciprocal(divisor.array), divisor.name), 0)


def negate(site: OnnxSite) -> Result:
    """Converter of `Neg`."""
    return _affine(site, site.tensor(), -1, 0)


def total(site: OnnxSite) -> Tensor:
    """Converter of `Sum` of activations."""
    first = site.tensor()
    order = first.order
    if any(site.tensor(i).order != order for i in range(len(site.inputs))):
        order = tuple(range(len(order)))
    parts = [site.tensor(i) for i in range(len(site.inputs))]
    values = [part.value if part.order == order else site.moved(part) for part in parts]
    result = values[0]
    for value in values[1:]:
        result = importing.add(site, result, value)
    return Tensor(result, order)


def mean(site: OnnxSite) -> Result:
    """Converter of `Mean` of activations."""
    return _affine(site, total(site), 1 / len(site.inputs), 0)


def _affine(site: OnnxSite, x: Tensor, factor: Constant | float, bias: Constant | float) -> Result:
    return Tensor(importing.scale(site, x.value, factor, bias), x.order)


def arranged(x: Tensor, known: Known | None) -> Constant:
    """A constant that is combined with `x`, for the node that `x` is a view of."""
    if known is None:
        raise RefusedError("its second input is left out", "give it")
    constant, rank = known.constant, len(x.order)
    array = constant.array
    if x.order == tuple(range(rank)) or array.size == 1:
        return constant
    if array.ndim == rank + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > rank:
        return constant  # which the importer refuses
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    moved = full.transpose([x.order.index(axis) for axis in range(rank)])
    return Constant(np.ascontiguousarray(moved), constant.name)


def exponential(site: OnnxSite) -> Result:
    """Converter of `Exp` of a final log-softmax."""
    x = site.tensor()
    return Tensor(importing.exponential(x.value), x.order)


def logarithm(site: OnnxSite) -> Result:
    """Converter of `Log` of a final softmax."""
    x = site.tensor()
    return Tensor(importing.logarithm(x.value), x.order)


def softmax_axis(site: OnnxSite) -> int:
    """The axis of a softmax that counts, the batch as axis 0. Raises `RefusedError`."""
    shape = site.tensor().shape
    axis = site.attributes.get("axis", -1 if site.opset >= 13 else 1) % (len(shape) + 1)
    if site.opset < 13 and math.prod(shape[axis - 1 :]) != shape[axis - 1]:
        raise RefusedError("its softmax is over several axes", "use opset 13, over the classes")
    return axis


ARITHMETIC: dict[str, Converter] = {
    "Add": add,
    "Div": divide,
    "Exp": exponential,
    "Log": logarithm,
    "Mean": mean,
    "Mul": multiply,
    "Neg": negate,
    "Sub": subtract,
    "Sum": total,
}
