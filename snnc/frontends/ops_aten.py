"""Converters of the operators of torch.export, most of which are those of the functions of torch.

An operator is called with the arguments of its schema, in order. Those that other functions of
torch call in another order, or whose results are several tensors, have a converter here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from snnc.frontends import ops_arithmetic as arithmetic
from snnc.frontends import ops_nn as nn
from snnc.frontends import ops_pool as pool
from snnc.frontends import ops_shape as shape
from snnc.frontends import ops_spatial as spatial
from snnc.frontends.importing import Value
from snnc.frontends.torch_site import Converter, Converters, Result, TorchSite, converters

aten = torch.ops.aten


def batch_norm(
    site: TorchSite,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Result:
    """Converter of `aten.batch_norm`."""
    return nn.batch_norm(site, input, running_mean, running_var, weight, bias, training, eps=eps)


def decomposed_batch_norm(
    site: TorchSite,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> Result:
    """Converter of the batch norm of a decomposed program, which also gives statistics."""
    return (nn.batch_norm(site, input, running_mean, running_var, weight, bias, eps=eps),)


def convolution(
    site: TorchSite,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Result:
    """Converter of the one convolution of a decomposed program."""
    rank = len(site.constant(weight, "weight").shape) - 2
    if transposed:
        return nn.transposed_convolution(rank)(
            site, input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return nn.convolution(rank)(site, input, weight, bias, stride, padding, dilation, groups)


def upsample(exact: bool) -> Converter:
    """Converter of nearest-neighbour upsampling to a size or by factors."""

    def convert(site: TorchSite, input: Any, output_size: Any, scale_factors: Any) -> Result:
        mode = "nearest-exact" if exact else "nearest"
        return spatial.interpolate(site, input, output_size, scale_factors, mode)

    return convert


def take(
    site: TorchSite, input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Result:
    """Converter of a slice along one axis."""
    index = [slice(None)] * (dim % (len(shape.need_value(input).shape) + 1))
    return shape.getitem(site, input, (*index, slice(start, end, step)))


def number_around(site: TorchSite, input: Any, pad: Any, value: Any = 0) -> Result:
    """Converter of padding with a constant."""
    return spatial.pad(site, input, pad, value=value)


def with_indices(convert: Converter) -> Converter:
    """The converter of a pool that gives indices too, from that of one that does not."""

    def both(site: TorchSite, *args: Any) -> Result:
        value = convert(site, *args)
        assert isinstance(value, Value)
        return value, None

    return both


SAME_AS: dict[Any, Any] = {
    aten.relu.default: F.relu,
    aten.relu_.default: F.relu,
    aten.clamp.default: torch.clamp,
    aten.clamp_.default: torch.clamp,
    aten.clip.default: torch.clamp,
    aten.clip_.default: torch.clamp,
    aten.clamp_min.default: torch.clamp_min,
    aten.clamp_min_.default: torch.clamp_min,
    aten.hardtanh.default: F.hardtanh,
    aten.hardtanh_.default: F.hardtanh,
    aten.leaky_relu.default: F.leaky_relu,
    aten.leaky_relu_.default: F.leaky_relu,
    aten.threshold.default: F.threshold,
    aten.threshold_.default: F.threshold,
    aten.relu6.default: F.relu6,
    aten.relu6_.default: F.relu6,
    aten.clamp.Tensor: torch.clamp,
    aten.clamp_max.default: torch.clamp_max,
    aten.clamp_max_.default: torch.clamp_max,
    aten.prelu.default: F.prelu,
    aten.floor.default: torch.floor,
    aten.floor_.default: torch.floor,
    aten.round.default: torch.round,
    aten.round_.default: torch.round,
    aten.minimum.default: torch.minimum,
    aten.min.other: torch.min,
    aten.maximum.default: torch.maximum,
    aten.max.other: torch.max,
}
"""Operators that are activations, and the functions whose converters they have."""

FUNCTIONS: Converters = converters(
    # layers
    (nn.convolution(1), (aten.conv1d.default, aten.conv1d.padding)),
    (nn.convolution(2), (aten.conv2d.default, aten.conv2d.padding)),
    (nn.transposed_convolution(1), (aten.conv_transpose1d.default,)),
    (nn.transposed_convolution(2), (aten.conv_transpose2d.input,)),
    (convolution, (aten.convolution.default,)),
    (nn.linear, (aten.linear.default,)),
    (nn.affine, (aten.addmm.default,)),
    (nn.product, (aten.mm.default, aten.matmul.default)),
    (batch_norm, (aten.batch_norm.default,)),
    (decomposed_batch_norm, (aten._native_batch_norm_legit_no_training.default,)),
    # pools
    (pool.average_pool(1), (aten.avg_pool1d.default,)),
    (pool.average_pool(2), (aten.avg_pool2d.default,)),
    (
        pool.adaptive_average_pool(1),
        (aten.adaptive_avg_pool1d.default,),
    ),
    (
        pool.adaptive_average_pool(2),
        (aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default),
    ),
    (pool.max_pool(1), (aten.max_pool1d.default,)),
    (pool.max_pool(2), (aten.max_pool2d.default,)),
    (with_indices(pool.max_pool(1)), (aten.max_pool1d_with_indices.default,)),
    (with_indices(pool.max_pool(2)), (aten.max_pool2d_with_indices.default,)),
    (with_indices(pool.adaptive_max_pool(1)), (aten.adaptive_max_pool1d.default,)),
    (with_indices(pool.adaptive_max_pool(2)), (aten.adaptive_max_pool2d.default,)),
    (pool.reduction(mean=True), (aten.mean.dim,)),
    (pool.reduction(mean=False), (aten.sum.dim_IntList,)),
    (pool.largest, (aten.amax.default,)),
    (pool.largest_and_index, (aten.max.dim,)),
    # arithmetic
    (arithmetic.exponential, (aten.exp.default,)),
    (arithmetic.logarithm, (aten.log.default,)),
    (arithmetic.add, (aten.add.Tensor, aten.add_.Tensor)),
    (arithmetic.subtract, (aten.sub.Tensor, aten.sub_.Tensor)),
    (arithmetic.reversed_subtract, (aten.rsub.Scalar, aten.rsub.Tensor)),
    (
        arithmetic.multiply,
        (aten.mul.Tensor, aten.mul_.Tensor, aten.mul.Scalar, aten.multiply.Tensor),
    ),
    (
        arithmetic.divide,
        (aten.div.Tensor, aten.div_.Tensor, aten.div.Tensor_mode, aten.div.Scalar,
         aten.true_divide.Tensor),
    ),
    (arithmetic.negate, (aten.neg.default, aten.neg_.default)),
    (arithmetic.power, (aten.pow.Tensor_Scalar,)),
    # moved elements
    (
        shape.reshape,
        (aten.view.default, aten.reshape.default, aten._unsafe_view.default,
         aten.flatten.using_ints, aten.unflatten.int, aten.squeeze.default, aten.squeeze.dim,
         aten.squeeze.dims, aten.unsqueeze.default, aten.view_as.default),
    ),
    (shape.permute, (aten.permute.default,)),
    (shape.transpose, (aten.transpose.int, aten.swapaxes.default)),
    (shape.concat, (aten.cat.default, aten.concat.default)),
    (shape.stack, (aten.stack.default,)),
    (shape.narrow, (aten.narrow.default,)),
    (shape.select, (aten.select.int,)),
    (shape.unbind, (aten.unbind.int,)),
    (take, (aten.slice.Tensor,)),
    (
        shape.pieces,
        (aten.chunk.default, aten.split.Tensor, aten.split.sizes, aten.split_with_sizes.default,
         aten.tensor_split.sections, aten.tensor_split.indices),
    ),
    (spatial.flip, (aten.flip.default,)),
    (spatial.roll, (aten.roll.default,)),
    (spatial.pad, (aten.pad.default,)),
    (
        spatial.pad_with("reflect"),
        (aten.reflection_pad1d.default, aten.reflection_pad2d.default),
    ),
    (
        spatial.pad_with("replicate"),
        (aten.replication_pad1d.default, aten.replication_pad2d.default),
    ),
    (number_around, (aten.constant_pad_nd.default,)),
    (upsample(exact=False), (aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec)),
    (
        upsample(exact=True),
        (aten._upsample_nearest_exact1d.vec, aten._upsample_nearest_exact2d.vec),
    ),
    (spatial.pixel_shuffle, (aten.pixel_shuffle.default,)),
    (spatial.pixel_unshuffle, (aten.pixel_unshuffle.default,)),
    (spatial.channel_shuffle, (aten.channel_shuffle.default,)),
    (
        shape.repeat,
        (aten.repeat.default, aten.expand.default, aten.expand_as.default, aten.tile.default,
         aten.broadcast_to.default),
    ),
    (
        shape.method_dropout,
        (aten.dropout.default, aten.dropout_.default, aten.feature_dropout.default,
         aten.feature_dropout_.default, aten.alpha_dropout.default,
         aten.feature_alpha_dropout.default),
    ),
    (
        shape.same,
        (aten.clone.default, aten.detach.default, aten.contiguous.default, aten.alias.default,
         aten.lift_fresh_copy.default, aten.positive.default),
    ),
    (
        shape.cast,
        (aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten.to.other, aten.type_as.default,
         aten._to_copy.default),
    ),
)  # fmt: skip
