"""Converters of operations that only move elements, and of dropout."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.frontends import importing
from snnc.frontends.importing import RefusedError, Value, need_value
from snnc.frontends.torch_site import (
    Converters,
    ModuleConverters,
    Result,
    TorchSite,
    converters,
    without_module,
)


def same(site: TorchSite, input: Any, *args: Any, **kwargs: Any) -> Result:
    """Converter of operations that are the identity in eval mode."""
    return need_value(input)


_FLOATS = ("FloatTensor", "DoubleTensor", "HalfTensor")


def cast(site: TorchSite, input: Any, *args: Any, **kwargs: Any) -> Result:
    """Converter of a change of device or of the type of floats: graphs are float32."""
    for value in (*args, *kwargs.values()):
        kind = value.dtype if isinstance(value, Tensor) else value
        named = isinstance(kind, str) and kind.endswith("Tensor") and not kind.endswith(_FLOATS)
        if named or (isinstance(kind, torch.dtype) and not kind.is_floating_point):
            raise RefusedError(f"it rounds to {kind}", "keep floats")
    return need_value(input)


def dropout(
    site: TorchSite, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Result:
    """Converter of `F.dropout`, which is active in eval mode unless `training=False`."""
    if training and p > 0:
        raise RefusedError(
            "it stays active when the network is used", "pass training=self.training"
        )
    return need_value(input)


def method_dropout(site: TorchSite, input: Any, p: float, train: bool) -> Result:
    """Converter of `torch.dropout`."""
    return dropout(site, input, p, train)


def reshape(site: TorchSite, input: Any, *args: Any, **kwargs: Any) -> Result:
    """Converter of operations that keep the order of elements and the batch axis first."""
    return importing.reshape(site, need_value(input), site.result)


def permute(site: TorchSite, input: Any, *dims: Any) -> Result:
    """Converter of `permute`."""
    x = need_value(input)
    order = tuple(dims[0]) if dims and isinstance(dims[0], Sequence) else dims
    return importing.permute(site, x, [d % (len(x.shape) + 1) for d in order])


def transpose(site: TorchSite, input: Any, dim0: int, dim1: int) -> Result:
    """Converter of `transpose` and `swapaxes`."""
    x = need_value(input)
    order = list(range(len(x.shape) + 1))
    a, b = dim0 % len(order), dim1 % len(order)
    order[a], order[b] = order[b], order[a]
    return importing.permute(site, x, order)


def concat(site: TorchSite, tensors: Any, dim: int = 0) -> Result:
    """Converter of `torch.cat`."""
    values = [t for t in tensors if isinstance(t, Value)]
    if len(values) < len(tensors):
        raise RefusedError("it concatenates a constant", "for zeros use F.pad")
    return importing.concat(site, values, dim)


def stack(site: TorchSite, tensors: Any, dim: int = 0) -> Result:
    """Converter of `torch.stack` along a new axis of the sample."""
    values = [need_value(t, "one of its tensors") for t in tensors]
    axis = dim % (len(values[0].shape) + 2)
    if axis == 0:
        raise RefusedError("it puts a new axis before the batch", "use dim=1")
    shape = values[0].shape
    wide = (*shape[: axis - 1], 1, *shape[axis - 1 :])
    parts = [importing.reshape(site, x, wide, str(i)) for i, x in enumerate(values)]
    return importing.concat(site, parts, axis)


def repeat(site: TorchSite, input: Any, *sizes: Any, **kwargs: Any) -> Result:
    """Converter of `repeat`, `tile`, `expand`, `expand_as` and `broadcast_to`."""
    x, wanted = need_value(input), site.result
    if len(wanted) != len(x.shape) or any(m % n for n, m in zip(x.shape, wanted, strict=True)):
        raise RefusedError("it adds an axis to the sample", "use unsqueeze before it")
    return importing.repeat(site, x, [m // n for n, m in zip(x.shape, wanted, strict=True)])


def getitem(site: TorchSite, input: Any, index: Any) -> Result:
    """Converter of `x[...]`: slices and numbers on axes other than the batch."""
    if isinstance(input, tuple):
        chosen = input[index]
        if chosen is None:
            raise RefusedError("it uses the indices of a maximum", "use its values alone")
        return chosen
    x = need_value(input)
    entries = _expanded(index if isinstance(index, tuple) else (index,), len(x.shape) + 1)
    if not isinstance(entries[0], slice) or entries[0] != slice(None):
        raise RefusedError("it selects samples of the batch", "use `:` on the first axis")
    bounds = [_bounds(e, n) for e, n in zip(entries[1:], x.shape, strict=True)]
    part = importing.take(site, x, bounds)
    return importing.reshape(site, part, site.result, "reshape")


def _expanded(index: tuple[Any, ...], rank: int) -> list[Any]:
    """The index with `...` and missing axes expanded, and new axes (None) removed."""
    entries = [e for e in index if e is not None]
    if index and index[0] is None:
        raise RefusedError("it puts a new axis before the batch", "keep the batch first")
    allowed = all(type(e) is int or isinstance(e, slice) or e is Ellipsis for e in entries)
    if not allowed:
        raise RefusedError("it indexes with a tensor or a list", "use slices")
    at = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    rest = entries[at + 1 :]
    filled = [slice(None)] * (rank - at - len(rest))
    return [*entries[:at], *filled, *rest]


def _bounds(entry: Any, size: int) -> tuple[int, int, int]:
    if isinstance(entry, int):
        start = entry % size
        return start, start + 1, 1
    parts = (entry.start, entry.stop, entry.step)
    if not all(part is None or type(part) is int for part in parts):
        raise RefusedError("its bounds depend on the batch", "use fixed bounds")
    return entry.indices(size)


def narrow(site: TorchSite, input: Any, dim: int, start: Any, length: Any) -> Result:
    """Converter of `narrow` along an axis other than the batch."""
    first = int(start) if isinstance(start, Tensor) else start
    if not (type(first) is int and type(length) is int):
        raise RefusedError("its bounds depend on the batch", "use fixed bounds")
    x = need_value(input)
    first += x.shape[sample_axis(x, dim)] if first < 0 else 0
    return importing.take(site, x, _along(x, dim, (first, first + length, 1)))


def select(site: TorchSite, input: Any, dim: int, index: Any) -> Result:
    """Converter of `select`, which drops an axis other than the batch."""
    x = need_value(input)
    bounds = _along(x, dim, _bounds(index, x.shape[sample_axis(x, dim)]))
    return importing.reshape(site, importing.take(site, x, bounds), site.result, "reshape")


def unbind(site: TorchSite, input: Any, dim: int = 0) -> Result:
    """Converter of `unbind` along an axis other than the batch."""
    x = need_value(input)
    axis = sample_axis(x, dim)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    parts = (
        importing.take(site, x, _along(x, dim, (i, i + 1, 1)), str(i)) for i in range(x.shape[axis])
    )
    return tuple(
        importing.reshape(site, part, shape, f"{i}.reshape") for i, part in enumerate(parts)
    )


def sample_axis(x: Value, dim: int) -> int:
    """The axis of the sample that `dim` names. Raises `RefusedError` for the batch."""
    axis = dim % (len(x.shape) + 1)
    if axis == 0:
        raise RefusedError("it selects samples of the batch", "use an axis after the batch: dim=1")
    return axis - 1


def _along(x: Value, dim: int, bounds: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """The bounds of all axes: `bounds` along `dim`, everything along the others."""
    axis = sample_axis(x, dim)
    return [bounds if i == axis else (0, n, 1) for i, n in enumerate(x.shape)]


def pieces(site: TorchSite, input: Any, *args: Any, **kwargs: Any) -> Result:
    """Converter of `chunk`, `split` and `tensor_split` along an axis other than the batch."""
    x = need_value(input)
    axis = [i for i, n in enumerate(x.shape) if any(s[i] != n for s in site.shapes)]
    if len({len(s) for s in site.shapes} | {len(x.shape)}) > 1 or len(axis) > 1:
        raise RefusedError("it splits the batch", "split along the channels: dim=1")
    if not site.shapes:
        raise RefusedError("it splits the batch", "split along the channels: dim=1")
    start, parts = 0, []
    for i, shape in enumerate(site.shapes):
        bounds = [(0, n, 1) for n in x.shape]
        if axis:
            bounds[axis[0]] = (start, start + shape[axis[0]], 1)
            start += shape[axis[0]]
        parts.append(importing.take(site, x, bounds, str(i)))
    return tuple(parts)


def _attribute(site: TorchSite, input: Any, name: str) -> Result:
    if isinstance(input, tuple) and name in ("values", "indices"):
        return getitem(site, input, 0 if name == "values" else 1)
    if name in ("data", "real"):
        return same(site, input)
    raise RefusedError(f"snnc does not know the attribute {name!r} of a tensor", "use a method")


_SAME = without_module(same)
_RESHAPE = without_module(reshape)

FUNCTIONS: Converters = converters(
    (reshape, (torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten)),
    (permute, (torch.permute,)),
    (transpose, (torch.transpose, torch.swapaxes, torch.swapdims)),
    (concat, (torch.cat, torch.concat, torch.concatenate)),
    (stack, (torch.stack,)),
    (narrow, (torch.narrow,)),
    (select, (torch.select,)),
    (unbind, (torch.unbind,)),
    (getitem, (operator.getitem,)),
    (pieces, (torch.chunk, torch.split, torch.tensor_split)),
    (dropout, (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)),
    (dropout, (F.alpha_dropout, F.feature_alpha_dropout)),
    (method_dropout, (torch.dropout,)),
    (same, (torch.clone, torch.detach, torch.positive, operator.pos)),
    (repeat, (torch.tile, torch.broadcast_to)),
    (_attribute, (getattr,)),
)
METHODS: Converters = converters(
    (
        reshape,
        ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as",
         "reshape_as"),
    ),
    (permute, ("permute",)),
    (transpose, ("transpose", "swapaxes", "swapdims")),
    (pieces, ("chunk", "split", "tensor_split")),
    (narrow, ("narrow",)),
    (select, ("select",)),
    (unbind, ("unbind",)),
    (repeat, ("repeat", "tile", "expand", "expand_as", "broadcast_to")),
    (same, ("contiguous", "clone", "detach", "requires_grad_", "positive")),
    (cast, ("to", "type", "type_as", "float", "double", "cpu", "cuda")),
)  # fmt: skip
MODULES: ModuleConverters = {
    nn.Flatten: _RESHAPE,
    nn.Unflatten: _RESHAPE,
    nn.Identity: _SAME,
    nn.Dropout: _SAME,
    nn.Dropout1d: _SAME,
    nn.Dropout2d: _SAME,
    nn.Dropout3d: _SAME,
    nn.AlphaDropout: _SAME,
    nn.FeatureAlphaDropout: _SAME,
}
