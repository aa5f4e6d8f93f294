"""Converters of operations that only move elements."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from snnc.frontends import importing
from snnc.frontends.importing import RefusedError, Value
from snnc.frontends.onnx.ops_layers import Converter
from snnc.frontends.onnx.site import OnnxSite, Result, Tensor, tensor_of
from snnc.frontends.onnx.windows import nearest, resized
from snnc.ir import Upsample

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
    """The input in the shape `dims`, the batch first."""
    x = site.tensor()
    if dims[:1] != [site.batch] or math.prod(dims[1:]) != math.prod(x.shape):
        raise RefusedError(
            "its result does not have the batch as its first axis", "keep the batch first"
        )
    source = x.value if x.plain else site.moved(x)
    return tensor_of(importing.reshape(site, source, tuple(dims[1:])))


def reshape(site: OnnxSite) -> Result:
    """Converter of `Reshape`."""
    dims = [site.batch, *site.tensor().shape]
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
    return _reshaped(site, [n for i, n in enumerate(dims) if i not in gone])


def unsqueeze(site: OnnxSite) -> Result:
    """Converter of `Unsqueeze`."""
    dims = [site.batch, *site.tensor().shape]
    axes = site.axes(1, 13) or []
    rank = len(dims) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        dims.insert(axis, 1)
    return _reshaped(site, dims)


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
    if len({*map(len, (starts, ends, axes, steps))}) != 1 or min(steps, default=1) < 1:
        raise RefusedError("it takes elements in reverse order", "use a positive step")
    bounds = {
        axis % len(dims): slice(start, end, step).indices(dims[axis % len(dims)])
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    }
    if bounds.pop(0, (0, site.batch, 1)) != (0, site.batch, 1):
        raise RefusedError("it selects samples of the batch", "slice the other axes")
    return _taken(site, x, bounds)


def gather(site: OnnxSite) -> Result:
    """Converter of `Gather` of one position, or of evenly spaced ones."""
    x, indices = site.tensor(), site.known(1, "indices")
    axis = site.attributes.get("axis", 0) % (len(x.shape) + 1)
    if axis == 0 or indices is None or indices.array.ndim > 1 or indices.array.size == 0:
        raise RefusedError("it looks samples or elements up", "use Slice")
    size = x.shape[axis - 1]
    chosen = [int(n) % size for n in indices.array.reshape(-1)]
    step = chosen[1] - chosen[0] if chosen[1:] else 1
    if step < 1 or chosen != list(range(chosen[0], chosen[-1] + 1, step)):
        raise RefusedError("it takes elements out of order", "use Slice")
    part = _taken(site, x, {axis: (chosen[0], chosen[-1] + 1, step)})
    if indices.array.ndim == 1:
        return part
    left = tuple(n for i, n in enumerate(part.shape, 1) if i != axis)
    source = part.value if part.plain else site.moved(part)
    return tensor_of(importing.reshape(site, source, left, "reshape"))


def pad(site: OnnxSite) -> Result:
    """Converter of `Pad` with zeros; negative padding crops."""
    x, amounts = site.tensor(), site.integers(1, "padding") or []
    value = site.optional_constant(2, "value")
    zero = value is None or not np.any(value.array)
    if site.text("mode", "constant") != "constant" or not zero:
        raise RefusedError("it pads with other values than zero", "pad with zeros (silence)")
    rank = len(x.shape) + 1
    axes = [axis % rank for axis in site.integers(3, "axes") or range(rank)]
    if len(amounts) != 2 * len(axes):
        raise RefusedError("its padding is not two numbers per axis", "fix it")
    pairs = dict(zip(axes, zip(amounts, amounts[len(axes) :], strict=False), strict=True))
    if pairs.pop(0, (0, 0)) != (0, 0):
        raise RefusedError("it pads the batch axis", "pad the axes after the batch")
    each = [pairs.get(axis, (0, 0)) for axis in range(1, rank)]
    return Tensor(importing.pad(site, x.value, tuple(x.stored(each))), x.order)


def resize(site: OnnxSite) -> Result:
    """Converter of `Resize` to the nearest neighbour that repeats elements evenly."""
    x, mode = site.tensor(), site.text("mode", "nearest")
    if mode != "nearest":
        raise RefusedError(f"mode={mode!r} mixes neighbours", "use mode='nearest'")
    scales = site.known(2, "scales")
    given = None if scales is None or not scales.array.size else scales.array.tolist()
    dims = [site.batch, *x.shape]
    result, wanted = resized(dims, site.attributes, given, site.integers(3, "sizes"))
    factors = [after // before for before, after in zip(dims, result, strict=True)]
    even = all(
        n == m * f and (nearest(m, n, s, site.attributes) == np.arange(n) // max(f, 1)).all()
        for m, n, f, s in zip(dims[1:], result[1:], factors[1:], wanted[1:], strict=True)
    )
    stored = x.stored(factors[1:])
    if not even or factors[0] != 1 or stored[0] != 1:
        raise RefusedError("it repeats elements unevenly", "enlarge by a whole number")
    if set(stored) == {1}:
        return x
    return Tensor(site.emit(Upsample(factors=tuple(stored[1:])), [x.value]), x.order)


def depth_to_space(site: OnnxSite) -> Result:
    """Converter of `DepthToSpace`: channels become blocks of positions."""
    x, block = site.value(), site.attributes["blocksize"]
    if len(x.shape) != 3 or block < 1 or x.shape[0] % block**2:
        raise RefusedError(f"blocks of {block} in a sample of shape {x.shape}", "fix them")
    channels, height, width = x.shape[0] // block**2, *x.shape[1:]
    by_row = site.text("mode", "DCR") == "DCR"
    grid = (block, block, channels) if by_row else (channels, block, block)
    order = (2, 3, 0, 4, 1) if by_row else (0, 3, 1, 4, 2)
    return tensor_of(
        _regrouped(site, x, (*grid, height, width), order,
                   (channels, height * block, width * block))
    )  # fmt: skip


def space_to_depth(site: OnnxSite) -> Result:
    """Converter of `SpaceToDepth`: blocks of positions become channels."""
    x, block = site.value(), site.attributes["blocksize"]
    if len(x.shape) != 3 or block < 1 or any(n % block for n in x.shape[1:]):
        raise RefusedError(f"blocks of {block} in a sample of shape {x.shape}", "fix them")
    channels, height, width = x.shape[0], x.shape[1] // block, x.shape[2] // block
    return tensor_of(
        _regrouped(site, x, (channels, height, block, width, block), (2, 4, 0, 1, 3),
                   (channels * block**2, height, width))
    )  # fmt: skip


def _regrouped(
    site: OnnxSite,
    x: Value,
    grid: tuple[int, ...],
    order: tuple[int, ...],
    result: tuple[int, ...],
) -> Value:
    """`x` in the shape `grid`, its axes in the order `order`, in the shape `result`."""
    parts = importing.reshape(site, x, grid, "grid")
    moved = importing.permute(site, parts, [0, *(axis + 1 for axis in order)])
    return importing.reshape(site, moved, result, "reshape")


def expand(site: OnnxSite) -> Result:
    """Converter of `Expand` that changes nothing."""
    dims = [site.batch, *site.tensor().shape]
    wanted = site.integers(1, "shape") or []
    if len(wanted) > len(dims) or any(
        n not in (1, m) for n, m in zip(wanted[::-1], dims[::-1], strict=False)
    ):
        raise RefusedError("it repeats the sample", "use Concat")
    return site.tensor()


SHAPES: dict[str, Converter] = {
    "Cast": cast,
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": same,
    "Pad": pad,
    "Reshape": reshape,
    "Resize": resize,
    "Slice": slices,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
