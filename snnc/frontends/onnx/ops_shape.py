"""Converters of operations that only move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from snnc.frontends import importing
from snnc.frontends.importing import RefusedError
from snnc.frontends.onnx.ops_layers import Converter
from snnc.frontends.onnx.site import OnnxSite, Result, Tensor, tensor_of
from snnc.frontends.onnx.windows import check_size

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def same(site: OnnxSite) -> Result:
    """Converter of the identity."""
    return site.tensor()


def cast(site: OnnxSite) -> Result:
    """Converter of `Cast` to a float type."""
    if site.attributes["to"] not in _FLOATS:
        raise RefusedError("it rounds to whole numbers", "keep floats")
    return site.tensor()


def dropout(site: OnnxSite) -> Result:
    """Converter of `Dropout`, which does nothing in inference."""
    training = site.known(2, "mode")
    if (training is not None and np.any(training.array)) or any(site.node.output[1:]):
        raise RefusedError("it stays active when the network is used", "export it in eval mode")
    return site.tensor()


def _reshaped(site: OnnxSite, dims: list[int]) -> Result:
    """The input in the shape `dims`: the batch first, or all axes but the last one in it."""
    x = site.tensor()
    if dims[:1] != [site.batch] or math.prod(dims[1:]) != math.prod(x.shape):
        rows = replace(x, rows=True)
        if dims == rows.dims(site.batch):
            return rows
        raise RefusedError(
            "its result does not have the batch as its first axis", "keep the batch first"
        )
    if dims[1:] == list(x.shape):
        return replace(x, rows=False)
    source = x.value if x.plain else site.moved(x)
    return tensor_of(importing.reshape(site, source, tuple(dims[1:])))


def reshape(site: OnnxSite) -> Result:
    """Converter of `Reshape`."""
    dims = site.tensor().dims(site.batch)
    wanted = site.integers(1, "shape") or []
    if not site.attributes.get("allowzero", 0):
        wanted = [dims[i] if n == 0 and i < len(dims) else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        rest = -math.prod(wanted)
        wanted[wanted.index(-1)] = math.prod(dims) // rest if rest > 0 else 0
    return _reshaped(site, wanted)


def flatten(site: OnnxSite) -> Result:
    """Converter of `Flatten`."""
    dims = [site.batch, *site.tensor().shape]
    axis = site.attributes.get("axis", 1)
    return _reshaped(site, [math.prod(dims[:axis]), math.prod(dims[axis:])])


def squeeze(site: OnnxSite) -> Result:
    """Converter of `Squeeze`; the batch axis stays."""
    dims = [site.batch, *site.tensor().shape]
    axes = site.axes(1, 13)
    chosen = [i for i, n in enumerate(dims) if n == 1] if axes is None else axes
    gone = {axis % len(dims) for axis in chosen}
    if 0 in gone:
        raise RefusedError("it removes the batch axis", "name the axes it removes")
    x = site.tensor()
    if not x.plain and all(dims[axis] == 1 for axis in gone):
        return _without(site, x, {x.order[axis - 1] for axis in gone})
    return _reshaped(site, [n for i, n in enumerate(dims) if i not in gone])


def _without(site: OnnxSite, x: Tensor, gone: set[int]) -> Result:
    """A view without axes of length 1 of the node that it is a view of; it stays a view."""
    left = [axis for axis in range(len(x.order)) if axis not in gone]
    shape = tuple(x.value.shape[axis] for axis in left)
    order = tuple(left.index(axis) for axis in x.order if axis in left)
    return Tensor(importing.reshape(site, x.value, shape), order)


def unsqueeze(site: OnnxSite) -> Result:
    """Converter of `Unsqueeze`."""
    dims = [site.batch, *site.tensor().shape]
    axes = site.axes(1, 13) or []
    rank = len(dims) + len(axes)
    added = sorted(axis % rank for axis in axes)
    x = site.tensor()
    if not x.plain and 0 not in added:
        return _with(site, x, added)
    for axis in added:
        dims.insert(axis, 1)
    return _reshaped(site, dims)


def _with(site: OnnxSite, x: Tensor, added: Sequence[int]) -> Result:
    """A view with axes of length 1, the batch being axis 0; it stays a view."""
    shape, order = list(x.value.shape), list(x.order)
    for axis in added:  # where the next axis of the view lies
        at = order[axis - 1] if axis <= len(order) else len(shape)
        shape.insert(at, 1)
        order = [other + (other >= at) for other in order]
        order.insert(axis - 1, at)
    return Tensor(importing.reshape(site, x.value, tuple(shape)), tuple(order))


def transpose(site: OnnxSite) -> Result:
    """Converter of `Transpose`, which adds no node: a pair of them leaves none."""
    x = site.tensor()
    order = site.attributes.get("perm") or list(range(len(x.order) + 1))[::-1]
    if sorted(order) != list(range(len(x.order) + 1)) or order[0] != 0:
        raise RefusedError("it moves the batch axis", "keep the batch as the first axis")
    return Tensor(x.value, tuple(x.order[axis - 1] for axis in order[1:]))


def concat(site: OnnxSite) -> Result:
    """Converter of `Concat`."""
    if not all(isinstance(x, Tensor) for x in site.inputs):
        raise RefusedError("it concatenates a constant", "for zeros use Pad")
    parts = [site.tensor(i) for i in range(len(site.inputs))]
    order = parts[0].order
    axis = site.attributes["axis"] % (len(order) + 1)
    if any(part.order != order for part in parts) or axis == 0:
        values = [site.moved(part) for part in parts]
        return tensor_of(importing.concat(site, values, axis))
    values = [part.value for part in parts]
    return Tensor(importing.concat(site, values, order[axis - 1] + 1), order)


def split(site: OnnxSite) -> tuple[Result, ...]:
    """Converter of `Split`."""
    x, count = site.tensor(), len(site.node.output)
    axis = site.attributes.get("axis", 0) % (len(x.shape) + 1)
    if axis == 0:
        raise RefusedError("it splits the batch", "split along the channels")
    size = x.shape[axis - 1]
    given = site.integers(1, "sizes") if site.opset >= 13 else site.attributes.get("split")
    part = -(-size // count)
    sizes = given or [min(part, size - i * part) for i in range(count)]
    if sum(sizes) != size or len(sizes) != count:
        raise RefusedError(f"its parts {sizes} do not add up to {size}", "fix them")
    starts = [sum(sizes[:i]) for i in range(count)]
    return tuple(
        _taken(site, x, {axis: (start, start + n, 1)}, str(i))
        for i, (start, n) in enumerate(zip(starts, sizes, strict=True))
    )


def _taken(
    site: OnnxSite, x: Tensor, bounds: dict[int, tuple[int, int, int]], suffix: str = ""
) -> Tensor:
    """A slice; (start, stop, step) by axis, the batch being axis 0."""
    each = [bounds.get(axis, (0, n, 1)) for axis, n in enumerate(x.shape, 1)]
    return Tensor(importing.take(site, x.value, x.stored(each), suffix), x.order)


def slices(site: OnnxSite) -> Result:
    """Converter of `Slice`."""
    x = site.tensor()
    dims = [site.batch, *x.shape]
    starts, ends = site.integers(1, "starts") or [], site.integers(2, "ends") or []
    axes = site.integers(3, "axes") or list(range(len(starts)))
    steps = site.integers(4, "steps") or [1] * len(starts)
    if len({*map(len, (starts, ends, axes, steps))}) != 1 or 0 in steps:
        raise RefusedError("its starts, ends, axes and steps do not fit", "fix them")
    bounds = {
        axis % len(dims): slice(start, end, step).indices(dims[axis % len(dims)])
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    }
    if bounds.pop(0, (0, site.batch, 1)) != (0, site.batch, 1):
        raise RefusedError("it selects samples of the batch", "slice the other axes")
    return _taken(site, x, bounds)


def gather(site: OnnxSite) -> Result:
    """Converter of `Gather` of fixed positions along one axis."""
    x, indices = site.tensor(), site.known(1, "indices")
    axis = site.attributes.get("axis", 0) % (len(x.shape) + 1)
    if axis == 0 or indices is None or indices.array.ndim > 1 or indices.array.size == 0:
        raise RefusedError("it looks samples or elements up", "use Slice")
    size = x.shape[axis - 1]
    chosen = indices.array.reshape(-1).astype(np.int64)
    if indices.other is not None:
        raise RefusedError("its positions depend on the batch", "use fixed positions")
    if chosen.min() < -size or chosen.max() >= size:
        raise RefusedError(f"it takes elements beyond the {size} there are", "fix its indices")
    chosen %= size
    part = Tensor(importing.choose(site, x.value, x.order[axis - 1], chosen), x.order)
    if indices.array.ndim == 1:
        return part
    left = tuple(n for i, n in enumerate(part.shape, 1) if i != axis)
    source = part.value if part.plain else site.moved(part)
    return tensor_of(importing.reshape(site, source, left, "reshape"))


def expand(site: OnnxSite) -> Result:
    """Converter of `Expand`, which repeats axes of length 1."""
    x = site.tensor()
    dims, wanted = [site.batch, *x.shape], site.integers(1, "shape") or []
    if len(wanted) > len(dims):
        raise RefusedError("it adds an axis before the batch", "use Unsqueeze before it")
    full = [1] * (len(dims) - len(wanted)) + wanted
    if any(n not in (1, m) and m != 1 for n, m in zip(full, dims, strict=True)):
        raise RefusedError(f"a sample of shape {x.shape} does not expand to {full[1:]}", "fix it")
    return _repeated(site, x, [1 if m != 1 else n for n, m in zip(full, dims, strict=True)])


def tile(site: OnnxSite) -> Result:
    """Converter of `Tile`."""
    x, counts = site.tensor(), site.integers(1, "number of repeats") or []
    if len(counts) != len(x.shape) + 1:
        raise RefusedError("it does not repeat each axis", "give one number per axis")
    return _repeated(site, x, counts)


def _repeated(site: OnnxSite, x: Tensor, counts: Sequence[int]) -> Result:
    """`x` as often as `counts` says along every axis, the batch being axis 0."""
    if counts[0] != 1:
        raise RefusedError("it repeats the samples of the batch", "repeat the other axes")
    check_size(1, [n * count for n, count in zip(x.shape, counts[1:], strict=True)])
    return Tensor(importing.repeat(site, x.value, x.stored(counts[1:])), x.order)


SHAPES: dict[str, Converter] = {
    "Cast": cast,
    "Concat": concat,
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": same,
    "Reshape": reshape,
    "Slice": slices,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
