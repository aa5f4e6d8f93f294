"""Memory budgets: how much is computed at a time.

Sums in float32 depend on how data are split, so results depend on these numbers.
"""

from __future__ import annotations

COLUMN_BYTES = 1 << 26
"""Unfolded columns of a convolution in float64 (torch holds those of the whole batch)."""
STATE_VALUES = 1 << 16
"""Neurons (of all samples) stepped together, so that their state fits the cache."""
GPU_STATE_VALUES = 1 << 24
"""The same on a GPU, where it bounds the memory of the gradients of a step."""
REFERENCE_BYTES = 1 << 27
"""The largest tensor of a run of the reference."""
JUDGED_VALUES = 1 << 22
"""The largest layer over all steps in the passes of the folder `choose`."""
SWEPT_VALUES = 1 << 21
"""The largest tensor of a network that is run layer by layer with its ANN."""
SWEPT_SAMPLES = 64
"""Most samples of such a network computed together."""
KEPT_VALUES = 1 << 24
"""The input of a layer kept during a threshold search."""
HELD_BYTES = 1 << 29
"""The input of a layer kept where thresholds are percentiles of it."""
SEARCHED_VALUES = 1 << 21
"""Neurons times steps of one trial of a threshold search."""
TRIAL_VALUES = 1 << 21
"""Neurons times steps of their input computed together in such a trial."""
OBSERVED_VALUES = 1 << 25
"""Events of all populations for the samples that are observed together."""
DIAGNOSED_VALUES = 1 << 23
"""The largest layer over all steps in the diagnosis."""

COMPARED_EVENTS = 1 << 26
"""Events of all nodes and steps for the samples compared together with the reference."""
TILE_VALUES = 1 << 21
"""Unfolded inputs, or column sums, of a layer's tiles on the crossbar."""
ENCODED_BYTES = 1 << 24
"""Encoded input held by one thread of the CPU backend."""
SCRATCH_BYTES = 1 << 32
"""Working memory of the threads that share a sample on the CPU backend, all together; most of it
is reserved and not touched."""
RANDOM_COUNTERS = 1 << 18
"""Counters of random words generated together; about 50 MB."""


LONGEST_WINDOW = 1 << 14
"""Most steps of a window, and of the `wait` of a population."""
LARGEST_TENSOR = (1 << 31) - 1
"""Most elements of one sample of a tensor."""
RUN_BYTES = 1 << 30
"""Memory that the run of one sample may take, however small the network."""
RUN_RATIO = 1 << 12
"""Beyond `RUN_BYTES`, how much more memory a run may take than the parameters of the network."""


def run_fits(run: int, parameters: int) -> bool:
    """Whether a run of `run` bytes is to be expected of a network with `parameters` bytes.

    A file of a few kilobytes can describe a network that takes all memory there is.
    """
    return run <= max(RUN_BYTES, RUN_RATIO * parameters)


def rows_that_fit(budget: int, size: int) -> int:
    """Number of rows of `size` that fit into `budget`; at least 1."""
    return max(1, budget // max(1, size))
