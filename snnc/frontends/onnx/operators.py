"""Operations that onnx's own evaluator computes slowly, or not for all padding, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from snnc.frontends.onnx.windows import (
    nearest,
    padding,
    per_axis,
    resized,
    transposed_padding,
)

Array = NDArray[Any]


def _encoded(options: dict[str, Any]) -> dict[str, Any]:
    """Attributes as `windows` takes them: given ones, texts as bytes."""
    given = {key: value for key, value in options.items() if value is not None}
    return {k: v.encode() if isinstance(v, str) else v for k, v in given.items()}


def _windows(
    x: Array, kernel: tuple[int, ...], fill: float, beyond: float, options: dict[str, Any]
) -> Array:
    """A view (N, C, *positions, *kernel) of `x`, padded with `fill`.

    `beyond` is read where `ceil_mode` lets a window reach over the padding.
    """
    given, rank, sizes = _encoded(options), len(kernel), x.shape[2:]
    stride, dilation = (per_axis(given, name, rank) for name in ("strides", "dilations"))
    pads = padding(given, sizes, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padded = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    ceil = bool(given.get("ceil_mode"))
    counts = [_count(*axis, ceil) for axis in zip(sizes, pads, spans, stride, strict=True)]
    ends = [(k - 1) * s + span for k, s, span in zip(counts, stride, spans, strict=True)]
    missing = [(0, max(end - n, 0)) for end, n in zip(ends, padded.shape[2:], strict=True)]
    padded = np.pad(padded, ((0, 0), (0, 0), *missing), constant_values=beyond)
    views = sliding_window_view(padded, spans, axis=tuple(range(2, 2 + rank)))
    steps = [slice(0, (k - 1) * s + 1, s) for k, s in zip(counts, stride, strict=True)]
    return views[(slice(None), slice(None), *steps, *(slice(None, None, d) for d in dilation))]


def _count(size: int, pads: tuple[int, int], span: int, stride: int, ceil: bool) -> int:
    """Number of windows along an axis; none of them starts in the padding after it."""
    room = size + sum(pads) - span
    count = (-(-room // stride) if ceil else room // stride) + 1
    return count - (ceil and (count - 1) * stride >= size + pads[0])


class Conv(OpRun):
    """Convolution as a matrix product for each group."""

    op_domain = ""

    def _run(
        self, x: Array, weight: Array, bias: Array | None = None, group: int = 1, **options: Any
    ) -> tuple[Array]:
        options.pop("kernel_shape", None)
        kernel, groups = weight.shape[2:], group or 1
        windows = _windows(x, kernel, 0.0, 0.0, options)
        spatial = windows.shape[2 : 2 + len(kernel)]
        parts = [
            np.tensordot(part, own, (_axes(part, len(kernel)), tuple(range(1, own.ndim))))
            for part, own in zip(
                np.split(windows, groups, axis=1), np.split(weight, groups), strict=True
            )
        ]
        y = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
        if bias is not None:
            y = y + bias.reshape(-1, *(1,) * len(spatial))
        return (y.astype(x.dtype),)


class ConvTranspose(OpRun):
    """Every position times the kernel, added up where the kernels overlap."""

    op_domain = ""

    def _run(
        self, x: Array, weight: Array, bias: Array | None = None, group: int = 1, **options: Any
    ) -> tuple[Array]:
        options.pop("kernel_shape", None)
        given, kernel, size = _encoded(options), weight.shape[2:], x.shape[2:]
        stride, dilation = (per_axis(given, n, len(kernel)) for n in ("strides", "dilations"))
        cut, added = transposed_padding(given, size, kernel, stride, dilation)
        axes = zip(size, kernel, stride, dilation, added, strict=True)
        whole = [(n - 1) * s + d * (k - 1) + 1 + more for n, k, s, d, more in axes]
        y = np.zeros((len(x), weight.shape[1] * group, *whole), x.dtype)
        parts = list(zip(np.split(x, group, 1), np.split(weight, group), strict=True))
        for at in np.ndindex(*kernel):
            steps = zip(at, size, stride, dilation, strict=True)
            to = tuple(slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in steps)
            own = [np.tensordot(part, w[(..., *at)], (1, 0)) for part, w in parts]
            y[(slice(None), slice(None), *to)] += np.moveaxis(np.concatenate(own, -1), -1, 1)
        kept = [slice(before, n - after) for (before, after), n in zip(cut, whole, strict=True)]
        y = y[(slice(None), slice(None), *kept)]
        return (y if bias is None else y + bias.reshape(-1, *(1,) * len(kernel)),)


def _axes(windows: Array, rank: int) -> tuple[int, ...]:
    """The axes of the channels and of the kernel."""
    return (1, *range(2 + rank, windows.ndim))


class MaxPool(OpRun):
    """The maximum of every window."""

    op_domain = ""

    def _run(self, x: Array, kernel_shape: Any = None, **options: Any) -> tuple[Array]:
        kernel = tuple(kernel_shape)
        windows = _windows(x, kernel, -np.inf, -np.inf, options)
        return (windows.max(axis=tuple(range(-len(kernel), 0))),)


class AveragePool(OpRun):
    """The mean of every window; of its elements that are no padding, unless told otherwise."""

    op_domain = ""

    def _run(
        self, x: Array, kernel_shape: Any = None, count_include_pad: Any = 0, **options: Any
    ) -> tuple[Array]:
        kernel = tuple(kernel_shape)
        last = tuple(range(-len(kernel), 0))
        total = _windows(x, kernel, 0.0, 0.0, options).sum(axis=last)
        ones, padded = np.ones((1, 1, *x.shape[2:]), x.dtype), float(count_include_pad or 0)
        return (total / _windows(ones, kernel, padded, 0.0, options).sum(axis=last),)


class BatchNormalization(OpRun):
    """With the running statistics: onnx takes those of the batch up to opset 13."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array,
        mean: Array,
        variance: Array,
        epsilon: float = 1e-5,
        **options: Any,
    ) -> tuple[Array]:
        shape = (-1, *(1,) * (x.ndim - 2))
        gain = scale / np.sqrt(variance + epsilon)
        return ((x - mean.reshape(shape)) * gain.reshape(shape) + bias.reshape(shape),)


class Pad(OpRun):
    """Padding as numpy does it; negative amounts crop, which numpy does not."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        pads: Array,
        value: Any = None,
        axes: Array | None = None,
        mode: str = "constant",
    ) -> tuple[Array]:
        chosen = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
        amounts = dict(zip(chosen, pads.reshape(2, -1).T.tolist(), strict=True))
        pairs = [amounts.get(axis, (0, 0)) for axis in range(x.ndim)]
        cut = tuple(
            slice(max(-before, 0), n - max(-after, 0))
            for (before, after), n in zip(pairs, x.shape, strict=True)
        )
        grown = [(max(before, 0), max(after, 0)) for before, after in pairs]
        if mode != "constant":
            return (np.pad(x[cut], grown, mode=mode),)  # type: ignore[call-overload]
        number = 0 if value is None else np.asarray(value).reshape(())
        return (np.pad(x[cut], grown, constant_values=number),)


class DequantizeLinear(OpRun):
    """The floats that integers stand for: onnx lacks the versions before opset 19."""

    op_domain = ""

    def _run(
        self, x: Array, scale: Array, zero: Array | None = None, axis: int = 1, **options: Any
    ) -> tuple[Array]:
        small = (np.int8, np.uint8, np.int16, np.uint16, np.int32)
        if x.dtype not in small or options.get("block_size"):
            raise TypeError(f"quantised to {x.dtype}, or in blocks")
        shape = _along(axis, scale, x)
        offset = 0 if zero is None else zero.astype(np.int64).reshape(shape)
        return (((x.astype(np.int64) - offset) * scale.reshape(shape)).astype(np.float32),)


def _along(axis: int | None, scale: Array, x: Array) -> tuple[int, ...]:
    """The shape in which one scale per position of an axis broadcasts against `x`."""
    if scale.size == 1:
        return (1,) * x.ndim
    at = (1 if axis is None else axis) % x.ndim
    return tuple(scale.size if i == at else 1 for i in range(x.ndim))


class Resize(OpRun):
    """Nearest neighbours, axis by axis."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        roi: Array | None = None,
        scales: Array | None = None,
        sizes: Array | None = None,
        **options: Any,
    ) -> tuple[Array]:
        given = _encoded(options)
        factors = None if scales is None or not scales.size else scales.tolist()
        wanted = None if sizes is None else sizes.tolist()
        result, used = resized(x.shape, given, factors, wanted)
        for axis, (n, m, factor) in enumerate(zip(x.shape, result, used, strict=True)):
            if n != m:
                x = x.take(nearest(n, m, factor, given), axis=axis)
        return (x,)


OPERATORS = [
    AveragePool,
    BatchNormalization,
    Conv,
    ConvTranspose,
    DequantizeLinear,
    MaxPool,
    Pad,
    Resize,
]
