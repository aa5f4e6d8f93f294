"""Dense layers of integers: products of tiles of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import Match, Table, Work, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import LANES
from snnc_backends.cpu.kernels.layer import chain
from snnc_backends.cpu.kernels.tile_block import TileBlock
from snnc_backends.cpu.kernels.tile_copy import TileCopy
from snnc_backends.cpu.kernels.tile_shape import ROWS, TileShape
from snnc_backends.cpu.kernels.tiles import QUAD, Tiles

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

SETS = 8
"""Most tiles that follow each other in time and are computed at a time."""
FEW_STEPS, NEAR = 4, 1 << 20
"""Most steps that are computed at a time where there are so few bytes of weights, which stay in the
L2 cache, and lines that fill a tile with so few: inputs and results of many steps do not stay."""
MANY = 16
"""With so many tiles of output positions or more, threads share these, and not the channels."""
MOST_SCRATCH = 1 << 48
NS_PER_PRODUCT, NS_PER_BYTE, NS_PER_WEIGHT, NS_PER_CHANNEL = 8.0, 0.03, 0.018, 0.065
"""Of a product of two tiles, a byte of the copy, a byte of the weights, and a channel of the result
at a step (Sapphire Rapids, one core)."""


@dataclass(frozen=True, kw_only=True)
class TileLayer(TileShape):
    """y[o] = bias[o] + sum of weight[i, o] * x[i] over a window of bytes; see `TileShape`.

    Weights are laid out (blocks of channels, digits, tiles of a window, vectors, depth / 4, 16, 4),
    with zeros beyond the last byte of a run. `scale` says what weights of several digits count.
    """

    name: ClassVar[str] = "tile-layer"
    shares: ClassVar[bool] = True
    tiled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scratch() <= MOST_SCRATCH, "too much working memory")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        found = chain(site)
        if found is None or found.fields["constant"] or found.fields["source"] != "i8":
            return None
        if found.layer.inputs[0].signed:
            return None
        digits = len(found.planes)
        steps = site.network.timesteps
        near = found.weight.size * digits <= NEAR
        filled = found.fields["out_width"] * FEW_STEPS >= ROWS
        most = -(-steps // -(-steps // FEW_STEPS)) if near and filled else steps
        shapes = {(1, min(most, SETS))}
        if min(found.fields["stride_w"], found.fields["kernel_w"]) <= ROWS:
            shapes.add((min(most, ROWS), 1))
        kinds = [cls(**found.fields, digits=digits, together=g, sets=s) for g, s in sorted(shapes)]
        kernel = min(kinds, key=lambda each: TileLayer.cost(each, Work((1.0,), steps)))
        arrays = {**found.arrays, "weight": partial(_tiles, found.planes, kernel)}
        if found.scale is not None:
            arrays["scale"] = found.scale
        return Match(kernel, arrays, found.inputs, found.absorbed, found.longest)

    def cost(self, work: Work) -> float:
        """Products, whatever the input is, and what every weight, input and neuron costs."""
        times = -(-work.timesteps // self.together)
        products = self.tiles * self.products * self.blocks * self.vectors * self.digits
        filled = (self.rows + ROWS) / (2 * ROWS)  # tiles of few rows have to be read too
        read = -(-work.timesteps // self.steps) * self.weights().nbytes
        copied = times * (self.plane + self.together * self.image.size)
        updates = (work.timesteps + self.wait) * self.size
        return (
            times * products * filled * NS_PER_PRODUCT
            + read * NS_PER_WEIGHT
            + copied * NS_PER_BYTE
            + updates * NS_PER_CHANNEL
        )

    def weights(self) -> Table:
        return Table("i8", self.blocks * self.block_bytes)

    def arrays(self) -> dict[str, Table]:
        found = super().arrays()
        return found if self.digits == 1 else found | {"scale": Table("f32", self.out_channels)}

    def emit(self, code: Code) -> None:
        by_tiles = self.tiles >= MANY
        part = code.share(self.groups if by_tiles else self.blocks)
        blocks = (code.int(0), code.int(self.blocks)) if by_tiles else part
        groups = part if by_tiles else (code.int(0), code.int(self.groups))
        places = {"offsets": self.offsets_at, "sums": self.sums_at, "copy": self.copy_at}
        memory = {name: code.at(code.scratch, "i8", place) for name, place in places.items()}
        copy = TileCopy(self, code, memory["copy"], self._lines(code, *groups))
        copy.clear()
        self._note_offsets(code, memory["offsets"])
        tiles = Tiles(code, self.rows, self.depth, self.group, self.vectors)
        whole, rest = divmod(self.out_channels, LANES * self.vectors)
        sizes = (self.vectors * LANES if whole else 0, rest)
        parts = [TileBlock(self, code, tiles, memory, channels) for channels in sizes if channels]
        spans = [(blocks[0], code.minimum(blocks[1], code.int(whole)))] if whole else []
        if rest:
            spans.append((code.clamp(blocks[0], whole, self.blocks), blocks[1]))
        tiles.open()
        with code.loop(0, code.timesteps, self.steps) as first:
            left = code.builder.sub(code.timesteps, first)
            count = code.minimum(code.int(self.steps), left)
            with code.loop(0, count) as number:
                copy.copy(code.index(first, number), number)
            for each, span in zip(parts, spans, strict=True):
                with code.loop(*span) as block:
                    each.groups(block, groups, first, count)
        tiles.close()

    def _lines(self, code: Code, begin: Value, stop: Value) -> tuple[Value, Value]:
        """The lines of the copy under a range of groups of tiles."""
        across = code.int(self.tiles_across)
        top = code.builder.udiv(code.index((begin, self.group)), across)
        last = code.minimum(code.index((stop, self.group)), code.int(self.tiles))
        bottom = code.builder.sdiv(code.index(last, -1), across)
        reach = (self.kernel_h - 1) * self.dilation_h + 1
        bottom = code.index((bottom, self.stride_h), reach)
        return code.index((top, self.stride_h)), code.clamp(bottom, 0, self.lines)

    def _note_offsets(self, code: Code, memory: Value) -> None:
        """Store where the tiles of a window are, from the first one on."""
        b = code.builder
        with code.loop(0, self.runs) as run:
            if self.together == 1:
                place = code.index((run, self.dilation_h * self.line_bytes))
            else:
                width, apart = code.int(self.kernel_w), code.int(self.apart)
                kh, kw = b.udiv(run, width), b.urem(run, width)
                column = code.index((b.urem(kw, apart), self.columns), b.udiv(kw, apart))
                place = code.index((kh, self.dilation_h * self.line_bytes))
                place = code.index(place, (column, self.column_bytes))
            with code.loop(0, self.pieces) as piece:
                number = code.index((run, self.pieces), piece)
                code.store(code.index(place, (piece, self.depth)), memory, "i64", number)


def _tiles(planes: NDArray[np.int8], spec: TileShape) -> NDArray[np.int8]:
    """Digits (digits, rows, columns, inputs, outputs) of weights as in `TileLayer`."""
    outputs = planes.shape[-1]
    wide = spec.blocks * spec.vectors * LANES
    padded = np.zeros((wide, spec.digits, spec.runs, spec.pieces * spec.depth), np.int8)
    split = planes.reshape(spec.digits, spec.runs, spec.run, outputs)
    padded[:outputs, :, :, : spec.run] = np.moveaxis(split, -1, 0)
    shape = (spec.blocks, spec.vectors, LANES, spec.digits, spec.products, spec.depth // QUAD, QUAD)
    return padded.reshape(shape).transpose(0, 3, 4, 1, 5, 2, 6)
