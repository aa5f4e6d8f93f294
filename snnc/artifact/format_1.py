"""Migration of artifacts in format 1, which store the units of neurons in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from snnc.ir import Graph, Neuron

SPIKE_VALUES = "spike_values"
"""Key of the manifest's `info`: per population, the real thresholds behind its integers."""


def restore_units(graph: Graph, info: Mapping[str, Any]) -> None:
    """Set the units of neurons to real threshold in `info` / integer threshold; others keep 1.

    Entries that are not positive numbers, one per threshold or one for all, are ignored.
    """
    stored = info.get(SPIKE_VALUES)
    for name, values in (cast(dict[str, Any], stored) if isinstance(stored, dict) else {}).items():
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
