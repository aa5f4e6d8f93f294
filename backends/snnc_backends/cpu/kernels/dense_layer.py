"""Dense layers of integers: products of four bytes at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from snnc.native.code import I8, Value
from snnc_backends.cpu.kernels.base import Match, Table, Work, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.dense_block import STEPS, DenseBlock
from snnc_backends.cpu.kernels.dense_shape import QUAD, DenseShape
from snnc_backends.cpu.kernels.epilogue import LANES
from snnc_backends.cpu.kernels.layer import chain
from snnc_backends.cpu.kernels.step_sums import StepSums

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

BYTE = 255
ROWS = 8
"""With so many rows of output positions or more, threads share these, and not the channels: few
weights are read twice then, but most inputs by the core that has made them."""
MOST_SCRATCH = 1 << 48
NS_PER_DOT, NS_PER_BYTE, NS_PER_POSITION, NS_PER_CHANNEL = 0.28, 0.03, 5.0, 0.11
"""Of 64 products, a byte of input that is copied, an output position at some steps, and one of its
channels at a step (Zen 4, one core)."""


@dataclass(frozen=True, kw_only=True)
class DenseLayer(DenseShape):
    """y[o] = bias[o] + sum of weight[i, o] * (x[i] - lowest) over a window; see `DenseShape`.

    The input, less `lowest`, is copied as bytes of 0 to 255, with zeros around it. The bias holds
    what `lowest` takes away. A vector of sums is of 16 output channels; the sums of several vectors
    and steps are held in registers.

    Weights are laid out (blocks of channels, kernel_h, kernel_w * C_in / 4, vectors, 16, 4), with
    zeros beyond the last tap of a row.
    """

    name: ClassVar[str] = "dense-layer"
    shares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(-128 <= self.lowest <= 0, f"lowest={self.lowest} is not in -128..0")
        require(1 <= self.summed <= BYTE, f"summed={self.summed} is not in 1..{BYTE}")
        waits = self.wait and self.state == "i32" and not self.leaky
        require(self.summed == 1 or bool(waits), "sums of the inputs of steps that differ")
        require(self.scratch() <= MOST_SCRATCH, "too much working memory")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        found = chain(site)
        if found is None or found.scale is not None:
            return None
        x, weight = found.layer.inputs[0], found.weight
        lowest = -x.levels if x.signed else 0
        if not 0 < x.levels - lowest <= BYTE:
            return None
        fields, arrays = dict(found.fields), dict(found.arrays)
        if lowest and fields["dtype"] != "i32":
            return None
        if lowest:
            taken = lowest * weight.sum((0, 1, 2), dtype=np.int64)
            fields["bias"] = "channel" if fields["bias"] == "none" else fields["bias"]
            arrays["bias"] = arrays.get("bias", 0) + taken
        kernel = cls(**fields, lowest=lowest, tight=True)
        if kernel.wait and kernel.state == "i32" and not kernel.leaky:
            most = BYTE // (1 if kernel.constant else x.levels - lowest)
            kernel = replace(kernel, summed=min(kernel.early, most))
        arrays["weight"] = partial(_quads, weight, kernel.vectors)
        return Match(kernel, arrays, found.inputs, found.absorbed, found.longest)

    def cost(self, work: Work) -> float:
        """Products, whatever the input is, and what every position and every input costs."""
        steps = work.steps(self.constant)
        spared = self._spared(work.timesteps)
        tiles = self.pixels * self.blocks
        dots = tiles * self.vectors * self.kernel_h * self.quads
        copied = 0 if self.direct else 2 * self.plane
        products = self.sums(work.timesteps) * dots * NS_PER_DOT + steps * copied * NS_PER_BYTE
        visits = (work.timesteps - spared) * tiles
        updates = (work.timesteps + self.wait - spared) * self.size
        return products + visits * NS_PER_POSITION + updates * NS_PER_CHANNEL

    def sums(self, timesteps: int) -> int:
        """How often each output position is computed."""
        return 1 if self.constant else timesteps - self._spared(timesteps)

    def _spared(self, timesteps: int) -> int:
        """Steps that are part of the sum of another."""
        early = min(self.early, timesteps) if self.summed > 1 else 0
        return early - -(-early // self.summed)

    def weights(self) -> Table:
        return Table("i8", self.blocks * self.block_bytes)

    def scratch(self) -> int:
        copies = 1 if self.constant else STEPS
        return self.kept() + (0 if self.direct else copies * self.plane)

    def emit(self, code: Code) -> None:
        copy = code.at(code.scratch, "i8", self.kept())
        whole = self.out_channels // (LANES * self.vectors)
        rest = self.out_channels - whole * LANES * self.vectors
        sizes = (self.vectors * LANES if whole else 0, rest)
        parts = [DenseBlock(self, code, copy, channels) for channels in sizes if channels]
        by_rows = self.out_height >= ROWS
        share = code.share(self.out_height if by_rows else self.blocks * self.out_height)
        begin, end = code.int(0), code.int(self.blocks)
        if not by_rows:
            begin, end = code.pages(*share, self.out_height)

        def rows(block: Value) -> tuple[Value, Value]:
            return share if by_rows else code.on_page(*share, self.out_height, block)

        first_row, stop_row = code.int(0), code.int(self.height)
        if by_rows:
            line = self.out_width
            first_row, stop_row = self.rows_under(code, *(code.index((y, line)) for y in share))
        first = code.local("i64")
        code.set(first, code.int(0))
        with code.repeat(
            lambda: code.builder.icmp_signed("<", code.get(first, "i64"), code.timesteps)
        ):
            steps = self._steps(code, code.get(first, "i64"))
            if not self.direct:
                with code.loop(0, code.steps(True) if self.constant else steps.count(code)) as s:
                    self._copy(code, copy, steps, s, (first_row, stop_row))
            if whole:
                with code.loop(begin, code.minimum(end, code.int(whole))) as block:
                    parts[0].positions(block, steps, rows(block))
            if rest:
                parts[-1].positions(code.int(whole), steps, rows(code.int(whole)))
            code.set(first, steps.end)

    def _steps(self, code: Code, first: Value) -> StepSums:
        """The block of steps from `first` on."""
        b, end, each = code.builder, code.timesteps, code.int(1)
        if self.constant:
            return StepSums(first, end, each)
        if self.summed > 1:
            early = b.icmp_signed("<", first, code.int(self.early))
            end = b.select(early, code.minimum(code.int(self.early), end), end)
            each = b.select(early, code.int(self.summed), each)
        most = b.add(first, b.mul(each, code.int(STEPS)))
        return StepSums(first, code.minimum(most, end), each)

    def _copy(
        self, code: Code, copy: Value, steps: StepSums, s: Value, span: tuple[Value, Value]
    ) -> None:
        """Copy a span of rows of the steps of sum s of a block."""
        b = code.builder
        begin, stop = steps.sum(code, s)
        count = b.trunc(b.sub(stop, begin), I8) if self.summed > 1 else ir.Constant(I8, 1)
        zero = b.mul(count, ir.Constant(I8, (128 - self.lowest) % 256 - 128))
        start = code.index((s, self.plane))
        code.blocks(
            self.plane,
            64,
            lambda i, n: code.store(code.splat(zero, "i8", n), copy, "i8", code.index(start, i)),
        )
        rows = max(0, min(self.height, self.lines - self.pad_top))
        bottom = code.minimum(span[1], code.int(rows))
        with code.loop(begin, stop) as t, code.loop(span[0], bottom) as y:
            self._copy_row(code, copy, code.int(0) if self.constant else t, start, y)

    def _copy_row(self, code: Code, copy: Value, t: Value, start: Value, y: Value) -> None:
        columns = max(0, min(self.width, self.line - self.pad_left))
        source = code.index((t, self.image.size), (y, self.width * self.channels))
        row = code.index(start, (code.index(y, self.pad_top), self.line * self.pixel))
        target = code.index(row, self.pad_left * self.pixel)
        if self.pixel == self.channels:
            self._span(code, copy, source, target, columns * self.channels)
            return
        with code.loop(0, columns) as x:
            place = code.index(source, (x, self.channels))
            self._span(code, copy, place, code.index(target, (x, self.pixel)), self.channels)

    def _span(self, code: Code, copy: Value, source: Value, target: Value, count: int) -> None:
        def move(i: Value, lanes: int) -> None:
            x = code.load(code.inputs[0], self.source, code.index(source, i), lanes)
            x = code.convert(x, self.source, "i8", lanes)
            place = code.index(target, i)
            zero = code.splat(ir.Constant(I8, (128 - self.lowest) % 256 - 128), "i8", lanes)
            before = zero if self.summed == 1 else code.load(copy, "i8", place, lanes)
            code.store(code.add("i8", before, x), copy, "i8", place)

        code.blocks(count, 64 if self.source == "i8" else 16, move)


def _quads(weight: NDArray[Any], vectors: int) -> NDArray[Any]:
    """Weights (rows, columns, inputs, outputs) as in `DenseLayer`."""
    rows, columns, inputs, outputs = weight.shape
    blocks, quads = -(-outputs // (vectors * LANES)), -(-columns * inputs // QUAD)
    padded = np.zeros((rows, quads * QUAD, blocks * vectors * LANES), np.int8)
    padded[:, : columns * inputs, :outputs] = weight.reshape(rows, -1, outputs)
    split = padded.reshape(rows, quads, QUAD, blocks, vectors, LANES)
    return split.transpose(3, 0, 1, 4, 5, 2)
