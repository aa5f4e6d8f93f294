"""How far cells are read from their levels, estimated when a network is compiled."""

from __future__ import annotations

from math import sqrt

import numpy as np

from snnc_backends.crossbar.chip import Chip

CELLS = 512
"""Cells of every level from which the error is estimated."""
MOST = 0.5
"""Errors above this many levels take a cell for its neighbour; a note says so."""


def level_error(chip: Chip) -> float:
    """Root mean square of what one read of a cell differs from its level.

    In distances of two levels, of a list the nearest ones. Of `CELLS` cells of every level, by
    errors of the device, drift until the chip is read, and read noise, after the compensation of
    the chip. Stuck cells and wires are not included.
    """
    rng, after = np.random.default_rng(chip.seed), chip.device.facts.read_after_s
    levels = np.tile(np.arange(chip.table.largest + 1), (CELLS, 1))
    aged = chip.device.read(chip.device.program(levels, chip.table.largest, rng), rng, after)
    found, wanted = chip.in_levels(aged), chip.table.values[levels].astype(np.float64)
    sums = wanted.sum(keepdims=True), found.sum(keepdims=True)
    found *= chip.imperfections.factors(*sums, chip.largest_level)
    noise = chip.noise_in_levels(aged, after)
    spread = 0.0 if noise is None else float(np.square(noise).mean())
    distance = float(np.diff(chip.table.values.astype(np.float64)).min())
    return sqrt(float(np.square(found - wanted).mean()) + spread) / distance


def level_error_note(chip: Chip) -> list[str]:
    """A note where the errors of the device are larger than `MOST` levels, else none."""
    facts, device = chip.device.facts, chip.device.name
    error = 0.0 if facts.ideal else level_error(chip)
    if error <= MOST:
        return []
    when = f" {facts.read_after_s:g} s after programming" if facts.read_after_s else ""
    remedies = ["cell-bits=1"] if chip.largest_level > 1 else []
    if facts.read_after_s and chip.imperfections.compensation == "none":
        remedies.append("compensation=layer")
    remedy = f": choose {' and '.join(remedies)}" if remedies else ""
    return [f"a cell of {device} is read {error:.1f} levels off{when} (rms){remedy}"]
