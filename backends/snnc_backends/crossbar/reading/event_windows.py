"""Where the events of a layer lie for its windows, and which of them drive rows in a phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.native.code import Value
from snnc_backends.cpu.kernels import Code, Windows

POSITIONS = 64
"""Most output positions that are summed at a time."""


@dataclass(frozen=True, kw_only=True)
class EventWindows(Windows):
    """Base of kernels that count, per step, what the events of a layer drive.

    Events are looked at phase by phase. Counts of a pixel lie in padded planes, so that the pixels
    of a tap are those of the output positions moved by a constant; positions are counted in
    pixels, at stride 1. A Linear is the case of one pixel and one tap.

    Attributes:
        groups: of the layer.
        bits: phases of a count: bits of its largest value.
        signed: negative events have phases of their own.
    """

    groups: int
    bits: int
    signed: bool

    @property
    def per_group(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Per tap, how far its pixel is from that of the output position."""
        taps = np.arange(self.taps)
        across = taps % self.kernel_w * self.dilation_w
        return taps // self.kernel_w * (self.dilation_h * self.line) + across

    @property
    def line(self) -> int:
        """Pixels of a padded line."""
        reach = (self.out_width - 1) * self.stride_w + (self.kernel_w - 1) * self.dilation_w + 1
        return max(self.pad_left + self.width, reach)

    @property
    def lanes(self) -> int:
        """Positions summed at a time: a power of two."""
        return min(POSITIONS, 1 << self._last.bit_length())

    @property
    def _last(self) -> int:
        """The last output position in a plane."""
        down = (self.out_height - 1) * self.stride_h
        return down * self.line + (self.out_width - 1) * self.stride_w

    @property
    def positions(self) -> int:
        """Output positions summed, in whole vectors."""
        return -(-(self._last + 1) // self.lanes) * self.lanes

    @property
    def plane(self) -> int:
        """Size of a plane: the padded pixels, and what the last vector reads beyond them."""
        down, across = (self.kernel_h - 1) * self.dilation_h, (self.kernel_w - 1) * self.dilation_w
        read = self.positions + down * self.line + across
        return max(read, (self.pad_top + self.height) * self.line)

    def pixel(self, code: Code, y: Value, x: Value) -> Value:
        """Where the pixel (y, x) of the events lies in a plane."""
        down = code.index(y, self.pad_top)
        return code.index((down, self.line), x, self.pad_left)

    def position(self, code: Code, y: Value, x: Value) -> Value:
        """Where the output position (y, x) lies in a plane."""
        return code.index((y, self.stride_h * self.line), (x, self.stride_w))

    def driven(self, code: Code, index: Value, sign: int, bit: Value, lanes: int) -> Value:
        """Whether events drive their rows in the phase of a sign and a bit, as bits."""
        b = code.builder
        x = code.load(code.inputs[0], self.source, index, lanes)
        zero = code.zero(self.source, lanes)
        if not self.signed and self.bits == 1:
            return code.nonzero(self.source, x, lanes)
        if sign < 0:
            x = b.sub(zero, x)
        positive = b.icmp_signed(">", x, zero)
        if self.bits == 1:
            return positive
        narrow = code.convert(bit, "i64", self.source)
        shifted = b.lshr(x, code.splat(narrow, self.source, lanes))
        one = code.splat(narrow.type(1), self.source, lanes)
        return b.and_(positive, code.nonzero(self.source, b.and_(shifted, one), lanes))
