"""What files of format 1 say elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from snnc.ir import Graph, Neuron

SPIKE_VALUES = "spike_values"
"""Key of the manifest's `info`: per population, the real thresholds behind its integers."""


def restore_units(graph: Graph, info: Mapping[str, Any]) -> None:
    """Give neurons the unit that follows from the real thresholds in `info`; others keep 1.

    What is not a list of positive numbers, one for each threshold or one for all, is left out.
    """
    kept = info.get(SPIKE_VALUES)
    for name, values in (cast(dict[str, Any], kept) if isinstance(kept, dict) else {}).items():
        op = graph.node(name).op if name in graph else None
        if not isinstance(op, Neuron):
            continue
        try:
            real = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            continue
        threshold = graph.array(op.threshold).astype(np.float64)
        fits = real.ndim <= 1 and (real.ndim == 0 or threshold.shape in ((), real.shape))
        if fits and real.size and bool(np.all(np.isfinite(real) & (real > 0))):
            ref = graph.own_param(name, "unit", np.asarray(real / threshold))
            graph.replace_op(name, replace(op, unit=ref))
