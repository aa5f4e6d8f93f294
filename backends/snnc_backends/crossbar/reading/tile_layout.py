"""What the kernel `tile-reads` works on: shapes, types, tables and scratch memory."""

from __future__ import annotations

from dataclasses import dataclass

from snnc_backends.cpu.kernels import Port, Table, Windows
from snnc_backends.cpu.kernels.events import scratch

MOST_LANES = 64
"""Most columns that are converted together."""


@dataclass(frozen=True, kw_only=True)
class TileLayout(Windows):
    """The tiles of a layer, and their input and output. A block is what is converted at once.

    Cells are laid out (copies, groups, rows, lines), and converters likewise; copy c has the output
    positions p, row by row, with p mod copies = c. Lines are first the columns of a weight, each
    for all outputs, then the reference columns, one for every `per_tile` outputs. Row c*K + k of a
    group is channel c at tap k of the K taps of the kernel, block b holds the placed rows from
    b*rows on.

    The second input is written, not read: in each step, how many conversions are clipped. With
    `noisy` there is a third, the key of the sample's noise.

    Attributes:
        cell: type of a cell, i16 or i32; `cell_bits` of it are behind the binary point.
        total: type that sums of worths fit, i32 or i64; `total_bits` are behind the point.
        outputs: of a group that have columns; the others are 0 but for the bias. A table says which
            column an output has, -1 for none, where these are not all.
        copies: of the layer.
        rows: word lines whose sums are converted at once: of a tile, or of all row blocks.
        placed: rows of a group in the tiles.
        partly: not all rows of the matrix are placed in order; a table says where they are.
        columns: of a weight.
        references: reference columns, whose values are added to the outputs of their tile.
        per_tile: outputs of a tile.
        subtracted: from every output for every driven row.
        bits: phases of a count: bits of its largest value.
        signed: negative events have phases of their own.
        top: largest code; 0 for converters without limit.
        variance: type of the variances of cells, i16 or i32, with `variance_bits` behind the point;
            none without read noise; see `column_noise`.
        bias: none, channel or map.
    """

    cell: str
    total: str
    total_bits: int
    groups: int
    out_channels: int
    outputs: int
    copies: int
    rows: int
    placed: int
    partly: bool
    columns: int
    references: int
    per_tile: int
    subtracted: int
    bits: int
    signed: bool
    top: int
    variance: str
    variance_bits: int
    bias: str

    @property
    def per_group(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    @property
    def all_outputs(self) -> int:
        """Outputs of a group."""
        return self.out_channels // self.groups

    @property
    def matrix_rows(self) -> int:
        """Rows of the matrix of a group."""
        return self.per_group * self.taps

    @property
    def blocks(self) -> int:
        """Row blocks of a group."""
        return -(-self.placed // self.rows)

    @property
    def lines(self) -> int:
        """Physical columns of a group."""
        return self.columns * self.outputs + self.references

    @property
    def phases(self) -> int:
        """Drives of the word lines a step."""
        return self.bits * (2 if self.signed else 1)

    @property
    def noisy(self) -> bool:
        """Whether every conversion has noise."""
        return self.variance != "none"

    def inputs(self) -> tuple[Port, ...]:
        tally = Port("f64", 1, self.constant)
        return (self.image, tally, *([Port("i64", 1, True)] if self.noisy else []))

    def output(self) -> Port:
        size = self.out_height * self.out_width * self.out_channels
        return Port("i32", size, self.constant)

    def arrays(self) -> dict[str, Table]:
        cells = self.copies * self.groups * self.placed * self.lines
        converted = self.copies * self.groups * self.blocks * self.lines
        tables = {
            "cells": Table(self.cell, cells),
            "gain": Table("f32", converted),
            "worth": Table("i32", converted),
        }
        if self.noisy:
            tables |= {"variance": Table(self.variance, cells), "layer": Table("i64", 1)}
        if self.partly:
            tables["place"] = Table("i32", self.copies * self.groups * self.matrix_rows)
        if self.outputs < self.all_outputs:
            tables["column"] = Table("i32", self.all_outputs)
        if self.bias != "none":
            size = self.out_channels if self.bias == "channel" else self.output().size
            tables["bias"] = Table("i32", size)
        return tables

    def scratch(self) -> int:
        return self.sums_at + 2 * 4 * max(1, self.columns) * MOST_LANES

    @property
    def sums_at(self) -> int:
        """Where column sums lie, and behind them their variances, while they are converted."""
        return self.totals_at + 16 * self.outputs

    @property
    def totals_at(self) -> int:
        """Where the totals lie in the scratch memory: behind events, counts and lists.

        Behind them, as large, are the values of the reference of every output.
        """
        own = scratch(self.height * self.width * self.groups, self.image.size)
        return -(-(own + 4 * self.blocks * (1 + self.rows)) // 8) * 8
