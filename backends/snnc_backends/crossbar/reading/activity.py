"""What the tiles of a layer do in a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Activity:
    """Activity of the tiles of one layer, summed over samples, steps, phases and positions.

    Attributes:
        reads: tile reads.
        conversions: columns digitised: every used column of every tile that is read.
        skipped_reads: tile reads skipped because no row was driven.
        rows_driven: word lines driven, summed over tiles.
        clipped: conversions of sums beyond the range of the converter.
    """

    reads: int = 0
    conversions: int = 0
    skipped_reads: int = 0
    rows_driven: int = 0
    clipped: int = 0
