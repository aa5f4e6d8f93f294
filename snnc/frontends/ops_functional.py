"""The tables of torch functions and tensor methods."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F

from snnc.frontends import ops_arithmetic as arithmetic
from snnc.frontends import ops_pool as pool
from snnc.frontends import ops_shape as shape
from snnc.frontends.importing import RefusedError
from snnc.frontends.ops_nn import batch_norm, convolution, linear
from snnc.frontends.torch_site import Converter, Result, TorchSite


def _attribute(site: TorchSite, input: Any, name: str) -> Result:
    if name in ("data", "real"):
        return shape.same(site, input)
    raise RefusedError(f"snnc does not know the attribute {name!r} of a tensor", "use a method")


def _table(*groups: tuple[Converter, tuple[Any, ...]]) -> dict[Any, Converter]:
    return {target: convert for convert, targets in groups for target in targets}


FUNCTIONS: dict[Any, Converter] = _table(
    (convolution(1), (F.conv1d,)),
    (convolution(2), (F.conv2d,)),
    (linear, (F.linear,)),
    (batch_norm, (F.batch_norm,)),
    (arithmetic.relu, (F.relu, torch.relu, torch.relu_, F.relu_)),
    (arithmetic.clamp, (torch.clamp, torch.clip, torch.clamp_min)),
    (arithmetic.hardtanh, (F.hardtanh, F.hardtanh_)),
    (arithmetic.leaky_relu, (F.leaky_relu, F.leaky_relu_)),
    (arithmetic.threshold, (F.threshold, torch.threshold)),
    (arithmetic.maximum, (torch.maximum, torch.fmax, torch.max)),
    (arithmetic.exponential, (torch.exp,)),
    (arithmetic.logarithm, (torch.log,)),
    (arithmetic.add, (operator.add, operator.iadd, torch.add)),
    (arithmetic.subtract, (operator.sub, operator.isub, torch.sub, torch.subtract)),
    (arithmetic.reversed_subtract, (torch.rsub,)),
    (arithmetic.multiply, (operator.mul, operator.imul, torch.mul, torch.multiply)),
    (
        arithmetic.divide,
        (operator.truediv, operator.itruediv, torch.div, torch.divide, torch.true_divide),
    ),
    (arithmetic.negate, (operator.neg, torch.neg, torch.negative)),
    (pool.average_pool(1), (F.avg_pool1d,)),
    (pool.average_pool(2), (F.avg_pool2d,)),
    (pool.adaptive_average_pool(1), (F.adaptive_avg_pool1d,)),
    (pool.adaptive_average_pool(2), (F.adaptive_avg_pool2d,)),
    (pool.max_pool(1), (F.max_pool1d, torch.max_pool1d)),
    (pool.max_pool(2), (F.max_pool2d, torch.max_pool2d)),
    (pool.adaptive_max_pool(1), (F.adaptive_max_pool1d,)),
    (pool.adaptive_max_pool(2), (F.adaptive_max_pool2d,)),
    (pool.reduction(mean=True), (torch.mean,)),
    (pool.reduction(mean=False), (torch.sum,)),
    (
        shape.reshape,
        (torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten),
    ),
    (shape.permute, (torch.permute,)),
    (shape.transpose, (torch.transpose, torch.swapaxes, torch.swapdims)),
    (shape.concat, (torch.cat, torch.concat, torch.concatenate)),
    (shape.getitem, (operator.getitem,)),
    (shape.pieces, (torch.chunk, torch.split, torch.tensor_split)),
    (shape.pad, (F.pad,)),
    (shape.dropout, (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)),
    (shape.dropout, (F.alpha_dropout, F.feature_alpha_dropout)),
    (shape.method_dropout, (torch.dropout,)),
    (shape.same, (torch.clone, torch.detach, torch.positive, operator.pos)),
    (shape.repeat, (torch.tile, torch.broadcast_to)),
    (_attribute, (getattr,)),
)

METHODS: dict[Any, Converter] = _table(
    (arithmetic.relu, ("relu", "relu_")),
    (arithmetic.maximum, ("maximum", "fmax", "max")),
    (arithmetic.exponential, ("exp",)),
    (arithmetic.logarithm, ("log",)),
    (arithmetic.clamp, ("clamp", "clamp_", "clip", "clamp_min", "clamp_min_")),
    (arithmetic.add, ("add", "add_")),
    (arithmetic.subtract, ("sub", "sub_", "subtract")),
    (arithmetic.multiply, ("mul", "mul_", "multiply")),
    (arithmetic.divide, ("div", "div_", "divide", "true_divide")),
    (arithmetic.negate, ("neg", "neg_", "negative")),
    (pool.reduction(mean=True), ("mean",)),
    (pool.reduction(mean=False), ("sum",)),
    (
        shape.reshape,
        ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as",
         "reshape_as"),
    ),
    (shape.permute, ("permute",)),
    (shape.transpose, ("transpose", "swapaxes", "swapdims")),
    (shape.pieces, ("chunk", "split", "tensor_split")),
    (shape.repeat, ("repeat", "tile", "expand", "expand_as", "broadcast_to")),
    (shape.same, ("contiguous", "clone", "detach", "requires_grad_", "positive")),
    (shape.cast, ("to", "type", "type_as", "float", "double", "cpu", "cuda")),
)  # fmt: skip
