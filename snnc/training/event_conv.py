"""Convolutions of packed spike trains by events, in machine code, on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from snnc.ir import Conv
from snnc.native.cache import open_cache
from snnc.native.jit import Library
from snnc.training.event_conv_code import LIST, SLOTS, SUM, EventConvSpec, text
from snnc.training.threads import spread, this_host

CACHED = 3 << 18
"""Bytes of weights that two slabs are summed together for; they should stay in the L2 cache."""
LEAST_WIDTH = 16
"""Least number of output channels of a slab."""


def has_event_code(op: Conv, weight: Tensor) -> bool:
    """Whether `EventConv` can compute a convolution: of images, on the CPU, without groups."""
    return (
        len(op.stride) == 2
        and op.groups == 1
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.shape[0] % LEAST_WIDTH == 0
        and weight.shape[1] < 1 << 16
    )


@dataclass(frozen=True)
class EventConv:
    """A convolution whose input is spikes, or sums of spikes over windows that tile the image.

    Attributes:
        op: the convolution.
        spec: what its code depends on.
        weight: (slabs, kh, kw, C, width) weights times the value of a spike.
        bias: (C',).
    """

    op: Conv
    spec: EventConvSpec
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls,
        op: Conv,
        weight: Tensor,
        bias: Tensor | None,
        gain: Tensor,
        pool: tuple[int, int] = (1, 1),
    ) -> EventConv:
        """A convolution with given parameters.

        Args:
            op: one that `has_event_code`.
            weight, bias: (C', C, kh, kw); (C',) or None.
            gain: the value of a spike: a number or (C,).
            pool: the windows that are summed before.
        """
        channels, _, down, across = weight.shape
        scaled = weight * gain.reshape(-1, 1, 1)
        width = _width(weight)
        rows = scaled.reshape(channels // width, width, *weight.shape[1:]).permute(0, 3, 4, 2, 1)
        spec = EventConvSpec((down, across), _pair(op.stride), _pair(op.dilation), width, pool)
        bias = torch.zeros(channels) if bias is None else bias.contiguous()
        return cls(op, spec, rows.contiguous(), bias)

    def __call__(self, bits: Tensor, steps: range) -> Tensor:
        """(len(steps), N, C', H', W') in channels_last, the results of some steps.

        Sums in float32 are in the order of window, then channel: not as in torch, but the same for
        any number of threads and of samples.

        Args:
            bits: as of `snnc.training.packed_spikes`, (ceil(T/8), N, C, H, W) in channels_last.
            steps: of the window, one after the other.
        """
        planes = bits.movedim(2, -1)
        if planes.stride()[1:] != planes[0].contiguous().stride():
            planes = planes.contiguous()
        _, samples, *image, channels = planes.shape
        high, wide = (size // side for size, side in zip(image, self.spec.pool, strict=True))
        sizes = tuple(map(self._size, (0, 1), (high, wide)))
        count = len(steps)
        events = torch.empty(samples, *image, count, channels, dtype=torch.int16)
        counts = torch.empty(samples, high, wide, count, dtype=torch.int64)
        sums = torch.empty(count, samples, *sizes, len(self.bias))
        slots = {
            "samples": samples, "first": steps.start, "steps": count,
            "plane": planes.stride(0), "sample": planes.stride(1),
            "high": high, "wide": wide, "channels": channels,
            "out_high": sizes[0], "out_wide": sizes[1], "out_channels": len(self.bias),
            "top": self.op.padding[0][0], "left": self.op.padding[1][0],
            "bits": planes.data_ptr(), "events": events.data_ptr(), "counts": counts.data_ptr(),
            "weights": self.weight.data_ptr(), "bias": self.bias.data_ptr(),
            "sums": sums.data_ptr(),
        }  # fmt: skip
        for name, parts in ((LIST, samples * high), (SUM, samples * sizes[0])):
            arguments = (ctypes.c_int64 * len(SLOTS))(*(slots.get(slot, 0) for slot in SLOTS))
            spread(_function(self.spec, name), arguments, parts)
        return sums.movedim(-1, 2)

    def _size(self, axis: int, size: int) -> int:
        """Of the result along an axis."""
        reach = (self.spec.kernel[axis] - 1) * self.spec.dilation[axis] + 1
        return (size + sum(self.op.padding[axis]) - reach) // self.spec.stride[axis] + 1


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    down, across = values
    return down, across


def _width(weight: Tensor) -> int:
    """Output channels of a slab: a power of two that divides them."""
    block = this_host().machine.block
    wide = 2 * block if 4 * weight[0].numel() * 2 * block <= CACHED else block
    return min(wide, len(weight) & -len(weight))


@cache
def _library(spec: EventConvSpec) -> Library:
    """The code of a convolution, compiled or from the user's cache."""
    target = this_host()
    return Library(text(spec, target.machine), (LIST, SUM), target, open_cache())


@cache
def _function(spec: EventConvSpec, name: str) -> Callable[..., None]:
    return _library(spec).function(name, ctypes.c_void_p)
