"""The maximum of counts with a gradient: straight through to the input that leads (S25).

The count of the pool is that of the input that leads, so the gradient of its event in a step goes
to that input's event in the same step; to one of them where several lead.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnc.interp.stateful import parts
from snnc.ir import Windows
from snnc.training.fast_ops import maxima
from snnc.training.train_like import train_like


def count_maxima(windows: Windows, x: Tensor) -> Tensor:
    """The events (T, N, C, *pooled) of a pool over x (T, N, C, *spatial), differentiable by x."""
    if torch.is_grad_enabled() and x.requires_grad:
        return cast(Tensor, _CountMaxima.apply(x, windows))
    return _run(x, windows, None)


@torch.no_grad()
def _run(x: Tensor, windows: Windows, leaders: list[Tensor] | None) -> Tensor:
    """The events; `leaders` receives per step the flat position (N, C, *pooled) that leads."""
    wide = torch.promote_types(x.dtype, torch.float32)  # bfloat16 counts to 256
    counts = torch.zeros_like(x[0], dtype=wide)
    before = _laid_like(maxima(windows, counts), counts)
    grown = train_like(before[None], len(x), x.dtype)
    rows = [slice(None)] if leaders is not None else list(parts(x))
    for part in rows:
        most = before[part]
        for t, now in enumerate(x[:, part]):
            total = counts[part].add_(now)
            if leaders is None:
                largest = maxima(windows, total)
            else:
                largest, where = _leaders(windows, total)
                leaders.append(where)
            torch.sub(largest, most, out=grown[t, part])
            most = largest
    return grown


def _laid_like(pooled: Tensor, x: Tensor) -> Tensor:
    """`pooled` in the memory format of images x."""
    if x.ndim != 4 or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return pooled
    return torch.empty_like(pooled, memory_format=torch.channels_last).copy_(pooled)


def _leaders(windows: Windows, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of every window (N, C, *pooled), and its position in the flat input, int32."""
    sizes = counts.shape[2:]
    flat = torch.arange(sizes.numel(), dtype=torch.int32, device=counts.device)
    where = flat.reshape(1, 1, *sizes).expand(counts.shape)
    for i, axis in enumerate(windows, start=2):
        longest = max(stop - start for start, stop in axis)
        reach = [[min(start + j, stop - 1) for start, stop in axis] for j in range(longest)]
        index = torch.tensor(reach, device=counts.device)
        best, place = counts.index_select(i, index[0]), where.index_select(i, index[0])
        for row in index[1:]:
            other, there = counts.index_select(i, row), where.index_select(i, row)
            better = other > best
            best, place = torch.where(better, other, best), torch.where(better, there, place)
        counts, where = best, place
    return counts, where


class _CountMaxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows) -> Tensor:
        leaders: list[Tensor] = []
        grown = _run(x, windows, leaders)
        ctx.save_for_backward(torch.stack(leaders))
        ctx.like = x.new_empty(0), x.shape, x.stride()
        return grown

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (leaders,) = ctx.saved_tensors
        like, shape, stride = ctx.like
        into = like.new_zeros((*shape[:3], shape[3:].numel()))
        into.scatter_add_(3, leaders.flatten(3).long(), grads[0].to(into.dtype).flatten(3))
        return like.new_empty_strided(shape, stride).copy_(into.reshape(shape)), None
