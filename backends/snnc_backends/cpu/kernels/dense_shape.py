"""What a dense layer computes at a time, and how its bytes lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

from snnc_backends.cpu.kernels.epilogue import LANES
from snnc_backends.cpu.kernels.layer import Layer

VECTORS = 4
"""Most vectors of output channels whose sums are in registers at a time."""
QUAD = 4
"""Bytes whose products are added at once."""


@dataclass(frozen=True, kw_only=True)
class DenseShape(Layer):
    """A `Layer` whose input is copied as bytes and multiplied four bytes at a time.

    Attributes:
        lowest: of the inputs; the copy holds what they are above it.
        tight: pixels of the copy are of C_in bytes; else, as in older plans, of whole quads, and
            the weights are laid out (…, kernel_h, kernel_w, C_in / 4, …).
        summed: until neurons may fire, the inputs of so many steps at most are summed, as they give
            the same potential; with a constant input, those of all such steps.
    """

    lowest: int
    tight: bool = False
    summed: int = 1

    @property
    def early(self) -> int:
        """Steps whose inputs may be summed: no neuron fires between them."""
        return self.wait + (self.order == "integrate-fire")

    @property
    def quads(self) -> int:
        """Quads of bytes of a row of taps."""
        return -(-self.kernel_w * self.pixel // QUAD)

    @property
    def pixel(self) -> int:
        """Bytes of a pixel of the copy."""
        return self.channels if self.tight else -(-self.channels // QUAD) * QUAD

    @property
    def vectors(self) -> int:
        """Vectors of output channels whose sums are in registers."""
        return min(VECTORS, -(-self.out_channels // LANES))

    @property
    def blocks(self) -> int:
        """Blocks of so many vectors."""
        return -(-self.out_channels // (LANES * self.vectors))

    @property
    def direct(self) -> bool:
        """Whether the input can be read where it is."""
        down, across = self._reach
        inside = self.pad_top == self.pad_left == 0 and down <= self.height and across <= self.width
        bytes_of_quads = self.source == "i8" and not self.lowest and self.channels % QUAD == 0
        return inside and bytes_of_quads and (self.summed == 1 or self.constant)

    @property
    def _reach(self) -> tuple[int, int]:
        """Rows and columns that the windows cover."""
        down = (self.out_height - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h + 1
        return down, (self.out_width - 1) * self.stride_w + self.kernel_w

    @property
    def line(self) -> int:
        """Pixels of a row of the copy."""
        return self.width if self.direct else self._reach[1]

    @property
    def lines(self) -> int:
        """Rows of the copy."""
        return self.height if self.direct else self._reach[0]

    @property
    def plane(self) -> int:
        """Bytes of a step of the copy; the last quad may reach beyond the last pixel."""
        return self.lines * self.line * self.pixel + (QUAD - 1 if self.pixel % QUAD else 0)

    @property
    def block_bytes(self) -> int:
        """Bytes of the weights of a block of channels."""
        return self.kernel_h * self.quads * self.vectors * LANES * QUAD
