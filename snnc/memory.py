"""How much is computed at a time: every budget that bounds memory, in one place.

Sums in float32 depend on how data are split, so these numbers are part of what a run gives.
"""

from __future__ import annotations

COLUMN_BYTES = 1 << 26
"""Unfolded columns of a convolution in float64 (torch keeps those of a whole batch)."""
STATE_VALUES = 1 << 16
"""Neurons (of all samples) stepped together: their state stays in the processor's cache."""
GPU_STATE_VALUES = 1 << 24
"""The same on a GPU, where it bounds the memory for the gradients of a step."""
REFERENCE_BYTES = 1 << 27
"""The largest tensor of a run of the reference."""
JUDGED_VALUES = 1 << 25
"""The largest layer over all steps where answers are judged."""
SWEPT_VALUES = 1 << 21
"""The largest tensor of a network that is run layer by layer beside its ANN."""
SWEPT_SAMPLES = 64
"""Samples of such a network computed together, at most."""
KEPT_VALUES = 1 << 24
"""A layer's input that is kept while thresholds are searched."""
HELD_BYTES = 1 << 29
"""A layer's input that is kept where thresholds are percentiles of it."""
SEARCHED_VALUES = 1 << 21
"""Neurons times steps of one trial of a search."""
TRIAL_VALUES = 1 << 16
"""Neurons stepped together in a trial."""
OBSERVED_VALUES = 1 << 25
"""All populations of the samples that are observed together."""
DIAGNOSED_VALUES = 1 << 23
"""The widest layer over all steps where layers are compared with the ANN."""

COMPARED_EVENTS = 1 << 26
"""Spikes of all nodes and steps of the samples whose equality is tested together."""
TILE_VALUES = 1 << 21
"""Unfolded inputs, or column sums, of a layer's tiles on the crossbar."""
ENCODED_BYTES = 1 << 24
"""Encoded input that one thread of the CPU backend holds."""
RANDOM_COUNTERS = 1 << 18
"""Counters of random words generated together; about 50 MB."""


def rows_that_fit(budget: int, each: int) -> int:
    """How many rows of size `each` fit into `budget`; at least 1."""
    return max(1, budget // max(1, each))
