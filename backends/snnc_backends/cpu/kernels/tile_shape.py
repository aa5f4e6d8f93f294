"""What a layer computes in tiles, and how its bytes lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

from snnc_backends.cpu.kernels.base import positive, require
from snnc_backends.cpu.kernels.epilogue import LANES
from snnc_backends.cpu.kernels.layer import DIGITS, Layer
from snnc_backends.cpu.number_types import ALIGNMENT

ROWS, DEPTH = 16, 64
"""Rows of a tile, and bytes of a row."""
SUMS = 4
"""Tiles of sums that are held at a time; the other four are of inputs and weights."""


@dataclass(frozen=True, kw_only=True)
class TileShape(Layer):
    """A `Layer` whose input is copied as bytes and multiplied with weights tile by tile.

    A tile of inputs has a row for each of `across` output positions of a line and each of
    `together` steps, and in it up to 64 bytes of the window. A tile of weights has these bytes for
    16 output channels, a tile of sums an i32 for each row and channel.

    The copy is laid out (sets, lines, phases, columns, together, C_in), with zeros around the
    image. Where a tile has one step, its rows hold a row of taps, and there is one phase. Else they
    hold a tap, and a phase has each `stride_w`-th column, so that rows are C_in bytes apart.

    Attributes:
        digits: of the weights in base 256.
        together: steps of a tile.
        sets: tiles that follow each other in time and are computed at a time.
    """

    digits: int
    together: int
    sets: int

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(digits=self.digits, together=self.together, sets=self.sets)
        require(self.together <= ROWS, f"together={self.together} is above {ROWS}")
        require(self.sets == 1 or self.together == 1, "sets of tiles of several steps")
        require(self.phases <= ROWS, f"{self.phases} phases are more than {ROWS}")
        require(self.digits in (1, DIGITS), f"digits={self.digits} is neither 1 nor {DIGITS}")
        whole = self.dtype == "f32" and not self.shift
        require(self.digits == 1 or whole, "digits of weights that are no real numbers")
        require(self.source == "i8", "inputs that are no bytes")
        require(not self.constant, "inputs that are the same at all steps")

    @property
    def steps(self) -> int:
        """Steps that are computed at a time."""
        return self.together * self.sets

    # -- tiles -----------------------------------------------------------------------------

    @property
    def tiles_across(self) -> int:
        """Tiles of a line of output positions."""
        return -(-self.out_width // (ROWS // self.together))

    @property
    def across(self) -> int:
        """Output positions of a tile."""
        return -(-self.out_width // self.tiles_across)

    @property
    def rows(self) -> int:
        """Rows of a tile of inputs."""
        return self.across * self.together

    @property
    def tiles(self) -> int:
        """Tiles of all output positions."""
        return self.out_height * self.tiles_across

    @property
    def vectors(self) -> int:
        """Tiles of output channels whose sums are held at a time."""
        return min(SUMS if self.tiles == 1 else 2, -(-self.out_channels // LANES))

    @property
    def group(self) -> int:
        """Tiles of output positions whose sums are held at a time."""
        return min(SUMS // self.vectors, self.tiles)

    @property
    def groups(self) -> int:
        """Groups of so many."""
        return -(-self.tiles // self.group)

    @property
    def blocks(self) -> int:
        """Blocks of `vectors` tiles of output channels."""
        return -(-self.out_channels // (LANES * self.vectors))

    @property
    def runs(self) -> int:
        """Runs of neighbouring bytes of a window."""
        return self.kernel_h if self.together == 1 else self.taps

    @property
    def run(self) -> int:
        """Bytes of a run."""
        return self.channels * (self.kernel_w if self.together == 1 else 1)

    @property
    def pieces(self) -> int:
        """Tiles of a run."""
        return -(-self.run // DEPTH)

    @property
    def depth(self) -> int:
        """Bytes of a row of a tile of inputs."""
        return 4 * -(-self.run // (4 * self.pieces))

    @property
    def products(self) -> int:
        """Tiles of a window."""
        return self.runs * self.pieces

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile of weights."""
        return self.depth * LANES

    @property
    def block_bytes(self) -> int:
        """Bytes of the weights of a block of channels."""
        return self.digits * self.products * self.vectors * self.tile_bytes

    # -- the copy --------------------------------------------------------------------------

    @property
    def apart(self) -> int:
        """Phases that there could be."""
        return 1 if self.together == 1 else self.stride_w

    @property
    def phases(self) -> int:
        """Phases of a line of the copy."""
        return min(self.apart, self.kernel_w)

    @property
    def columns(self) -> int:
        """Columns of a phase."""
        width = self.tiles_across * self.across
        if self.together == 1:
            return (width - 1) * self.stride_w + self.kernel_w
        return width + (self.kernel_w - 1) // self.stride_w

    @property
    def lines(self) -> int:
        """Lines that the windows cover."""
        return (self.out_height - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h + 1

    @property
    def column_bytes(self) -> int:
        """Bytes of a column of a phase."""
        return self.together * self.channels

    @property
    def row_stride(self) -> int:
        """Bytes from row to row of a tile of inputs."""
        return self.channels * (self.stride_w if self.together == 1 else 1)

    @property
    def line_bytes(self) -> int:
        """Bytes of a line."""
        return self.phases * self.columns * self.column_bytes

    @property
    def plane(self) -> int:
        """Bytes of a set."""
        return self.lines * self.line_bytes

    # -- working memory --------------------------------------------------------------------

    @property
    def offsets_at(self) -> int:
        """Where the place of every tile of a window is stored, from the first one on."""
        return _aligned(self.kept())

    @property
    def sums_at(self) -> int:
        """Where sums are stored, (digits, sets, group, rows, vectors, 16)."""
        return self.offsets_at + _aligned(8 * self.products)

    @property
    def copy_at(self) -> int:
        """Where the copy is."""
        held = self.digits * self.sets * self.group * self.rows * self.vectors * LANES
        return self.sums_at + _aligned(4 * held)

    def scratch(self) -> int:
        beyond = self.pieces * self.depth - self.run  # read, and multiplied with zeros
        return self.copy_at + self.sets * self.plane + beyond


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
