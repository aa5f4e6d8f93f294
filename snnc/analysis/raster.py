"""Spike raster of one sample, for a picture: a few neurons of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.target import Program

ROWS = 240
"""Largest number of neurons in all; each layer gets an equal share."""
STEPS = 256
"""Largest number of steps, counted from the first."""
CELLS = 30_000
"""Largest number of neurons times steps."""


def raster(
    program: Program, names: Sequence[str], x: NDArray[np.float32], timesteps: int, seed: int
) -> dict[str, Any]:
    """The spikes of one sample, JSON-able, keys as `observed.raster` in docs/report.md.

    Args:
        names: the populations, in order.
        x: (1, *shape).
    """
    steps = min(timesteps, STEPS)
    rows = max(1, min(ROWS, CELLS // steps) // max(1, len(names)))
    ids = np.zeros(1, np.int64)
    run = program.run(x, timesteps=timesteps, record="spikes", sample_ids=ids, seed=seed)
    trains = {name: run.spikes[name] for name in names if name in run.spikes}
    layers = [_layer(name, np.asarray(train), steps, rows) for name, train in trains.items()]
    return {"sample": 0, "steps": steps, "layers": layers}


def _layer(name: str, spikes: NDArray[np.generic], steps: int, rows: int) -> dict[str, Any]:
    flat = spikes.reshape(len(spikes), -1)
    size = flat.shape[1]
    chosen = evenly(size, rows)
    row, step = np.nonzero(flat[:steps, chosen].T)
    return {
        "layer": name,
        "size": size,
        "neurons": chosen.tolist(),
        "row": row.tolist(),
        "step": step.tolist(),
    }


def evenly(size: int, count: int) -> NDArray[np.intp]:
    """At most `count` indices below `size`, evenly spread, in the middle of equal parts."""
    count = min(size, count)
    return ((np.arange(count) + 0.5) * size / max(1, count)).astype(np.intp)
