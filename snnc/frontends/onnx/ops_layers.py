"""Converters of layers with weights and of pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from snnc.frontends import importing
from snnc.frontends.importing import Constant, Pairs, RefusedError, Value
from snnc.frontends.onnx.site import OnnxSite, Result, Tensor, tensor_of
from snnc.frontends.onnx.windows import check_size, padding, per_axis, transposed_padding

Converter = Callable[[OnnxSite], "Result | tuple[Result, ...]"]


def conv(site: OnnxSite) -> Result:
    """Converter of `Conv` of any rank."""
    x, weight = site.value(), site.constant(1, "weight")
    kernel = weight.shape[2:]
    importing.check_spatial(x, len(kernel), "convolution")
    stride, dilation, pads = _windows(site, x, kernel)
    return tensor_of(
        importing.conv(
            site,
            x,
            weight,
            site.optional_constant(2, "bias"),
            stride=stride,
            padding=pads,
            dilation=dilation,
            groups=site.attributes.get("group", 1),
        )
    )


def conv_transpose(site: OnnxSite) -> Result:
    """Converter of `ConvTranspose` of any rank."""
    x, weight = site.value(), site.constant(1, "weight")
    kernel, groups = weight.shape[2:], site.attributes.get("group", 1)
    importing.check_spatial(x, len(kernel), "convolution")
    if groups < 1 or weight.shape[0] != x.shape[0] or x.shape[0] % groups:
        raise RefusedError(
            f"its weight of shape {weight.shape} in {groups} groups does not fit "
            f"{x.shape[0]} channels",
            "fix them",
        )
    stride = per_axis(site.attributes, "strides", len(kernel))
    dilation = per_axis(site.attributes, "dilations", len(kernel))
    cut, added = transposed_padding(site.attributes, x.shape[1:], kernel, stride, dilation)
    axes = zip(x.shape[1:], kernel, stride, dilation, added, strict=True)
    whole = [n * s + d * (k - 1) + more for n, k, s, d, more in axes]
    check_size(max(x.shape[0], weight.shape[1] * groups), whole)
    return tensor_of(
        importing.transposed_conv(
            site,
            x,
            weight,
            site.optional_constant(2, "bias"),
            stride=stride,
            padding=cut,
            output_padding=added,
            dilation=dilation,
            groups=groups,
        )
    )


def _windows(
    site: OnnxSite, x: Value, kernel: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs]:
    """Stride, dilation and padding of windows."""
    stride = per_axis(site.attributes, "strides", len(kernel))
    dilation = per_axis(site.attributes, "dilations", len(kernel))
    pads = padding(site.attributes, x.shape[1:], kernel, stride, dilation)
    check_size(x.shape[0], [n + sum(p) for n, p in zip(x.shape[1:], pads, strict=True)])
    return stride, dilation, pads


def gemm(site: OnnxSite) -> Result:
    """Converter of `Gemm`: alpha * x B + beta * C, with B and C of the model."""
    weight = site.constant(1, "weight")
    alpha, beta = (site.attributes.get(name, 1.0) for name in ("alpha", "beta"))
    if site.attributes.get("transA", 0):
        raise RefusedError("it transposes its input, and so the batch", "use transA=0")
    if weight.array.ndim != 2:
        raise RefusedError(f"its weight is of shape {weight.shape}", "use a matrix")
    if not site.attributes.get("transB", 0):
        weight = _derived(weight, weight.array.T)
    if alpha != 1:
        weight = _derived(weight, weight.array * np.float32(alpha))
    bias = site.optional_constant(2, "bias")
    if bias is not None:
        bias = _per_output(bias, weight.shape[0], beta)
    return _product(site, weight, bias)


def _product(site: OnnxSite, weight: Constant, bias: Constant | None = None) -> Tensor:
    """The product with a matrix (F_out, F_in) along the last axis, at every position."""
    x = site.tensor()
    front = site.moved(Tensor(x.value, (x.order[-1], *x.order[:-1])))
    y = importing.pointwise(site, front, weight, bias)
    return Tensor(y, (*range(1, len(x.order)), 0))


def _per_output(bias: Constant, outputs: int, factor: float) -> Constant:
    """The bias of a matrix product as one number per output."""
    if factor == 1 and bias.shape == (outputs,):
        return bias
    try:
        return _derived(bias, np.broadcast_to(bias.array * np.float32(factor), (1, outputs))[0])
    except ValueError:
        raise RefusedError(
            f"its bias of shape {bias.shape} is not one number per output", "use one per output"
        ) from None


def matmul(site: OnnxSite) -> Result:
    """Converter of `MatMul` with a constant matrix on the right."""
    if isinstance(site.input(0), Tensor) and isinstance(site.input(1), Tensor):
        raise RefusedError("it multiplies activations with each other", "use fixed weights")
    if isinstance(site.input(1), Tensor):
        raise RefusedError(
            "its constant is on the left, where it mixes samples", "multiply by it on the right"
        )
    weight = site.constant(1, "weight")
    if weight.array.ndim != 2:
        raise RefusedError(f"its weight is of shape {weight.shape}", "use a matrix")
    return _product(site, _derived(weight, weight.array.T))


def _derived(constant: Constant, array: np.ndarray) -> Constant:
    return Constant(np.ascontiguousarray(array), constant.name)


def batch_norm(site: OnnxSite) -> Result:
    """Converter of `BatchNormalization` with fixed statistics."""
    if site.attributes.get("training_mode", 0) or any(site.node.output[1:]):
        raise RefusedError("it uses the statistics of the batch", "export the model in eval mode")
    scale, bias, mean, variance = (
        site.constant(i, what) for i, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    eps = float(site.attributes.get("epsilon", 1e-5))
    return tensor_of(importing.batch_norm(site, site.value(), mean, variance, scale, bias, eps=eps))


def max_pool(site: OnnxSite) -> Result:
    """Converter of `MaxPool`."""
    if any(site.node.output[1:]):
        raise RefusedError("it returns indices", "use its first output only")
    x, kernel, stride, dilation, pads = _pooled(site)
    return tensor_of(
        importing.max_pool(
            site,
            x,
            kernel=kernel,
            stride=stride,
            padding=pads,
            dilation=dilation,
            ceil_mode=bool(site.attributes.get("ceil_mode", 0)),
        )
    )


def average_pool(site: OnnxSite) -> Result:
    """Converter of `AveragePool`."""
    x, kernel, stride, dilation, pads = _pooled(site)
    if set(dilation) - {1}:
        raise RefusedError("its windows are dilated", "use dilations of 1")
    return tensor_of(
        importing.average_pool(
            site,
            x,
            kernel=kernel,
            stride=stride,
            padding=pads,
            ceil_mode=bool(site.attributes.get("ceil_mode", 0)),
            count_include_pad=bool(site.attributes.get("count_include_pad", 0)),
        )
    )


def _pooled(
    site: OnnxSite,
) -> tuple[Value, tuple[int, ...], tuple[int, ...], tuple[int, ...], Pairs]:
    """The input of a pooling; kernel, stride, dilation and padding of its windows."""
    x, rank = site.value(), len(site.attributes["kernel_shape"])
    importing.check_spatial(x, rank, "pooling")
    kernel = per_axis(site.attributes, "kernel_shape", rank)
    stride, dilation, pads = _windows(site, x, kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(min(p) < 0 or max(p) >= span for p, span in zip(pads, spans, strict=True)):
        raise RefusedError(f"its padding {pads} is not smaller than its windows", "pad less")
    return x, kernel, stride, dilation, pads


def global_pool(pool: Callable[[OnnxSite, Value, tuple[int, ...]], Value]) -> Converter:
    """Converter of a pooling over all positions."""

    def convert(site: OnnxSite) -> Result:
        x = site.value()
        return tensor_of(pool(site, x, (1,) * (len(x.shape) - 1)))

    return convert


Reduce = Callable[[OnnxSite, Value, list[int]], Value]


def reduction(reduce: Reduce, since: int) -> Converter:
    """Converter of a reduction over axes of the sample, which are an input since an opset."""

    def convert(site: OnnxSite) -> Result:
        x, axes = site.tensor(), site.axes(1, since)
        rank = len(x.shape) + 1
        if axes is None and site.attributes.get("noop_with_empty_axes", 0):
            return x
        chosen = sorted({axis % rank for axis in (range(rank) if axes is None else axes)})
        order = (0, *(axis + 1 for axis in x.order))
        stored = [order[axis] for axis in chosen]
        reduced = Tensor(reduce(site, x.value, stored), x.order)
        if site.attributes.get("keepdims", 1):
            return reduced
        left = tuple(n for axis, n in enumerate(x.shape, 1) if axis not in chosen)
        source = reduced.value if reduced.plain else site.moved(reduced)
        return tensor_of(importing.reshape(site, source, left, "reshape"))

    return convert


LAYERS: dict[str, Converter] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "GlobalAveragePool": global_pool(importing.adaptive_average_pool),
    "GlobalMaxPool": global_pool(importing.adaptive_max_pool),
    "MatMul": matmul,
    "MaxPool": max_pool,
    "ReduceMax": reduction(importing.largest_over, since=18),
    "ReduceMean": reduction(partial(importing.reduce_over, mean=True), since=18),
    "ReduceSum": reduction(partial(importing.reduce_over, mean=False), since=13),
}
