"""Inputs that an artifact stores with what they give, so that anybody can check it."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from snnc.artifact import ArtifactContent, Samples
from snnc.data import first_samples
from snnc.driver.inputs import open_batches
from snnc.errors import DataError, UsageError
from snnc.ir import Encode, Graph
from snnc.options import Data
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Program
from snnc.transform import Batches

REFERENCE = "reference"
SEEDS = 2**64
"""Encoders use the seed modulo this number."""


def inputs_to_store(
    sample: Data | int | None,
    graph: Graph,
    calibration: Batches | None,
    *,
    seed: int,
    log: logging.Logger,
) -> NDArray[np.float32] | None:
    """The inputs (N, *input shape) to store in the artifact; None for none.

    Args:
        sample: how many of the calibration data, the data itself, or None.
        graph: the model, for the shape of its input.
        calibration: the data to take the first samples of; None for seeded random inputs.

    Raises:
        UsageError: a number below 1, or above that of the calibration data.
        DataError: data that cannot be read or does not fit.
    """
    if sample is None:
        return None
    count = _count(sample)
    if count is None:
        shape = graph.type_of(graph.input).shape
        batches = open_batches(sample, "sample", shape, log=log)  # type: ignore[arg-type]
        assert batches is not None
        return np.concatenate([x for x, _ in batches])
    if count < 1:
        raise UsageError(f"--sample {count}: at least one input is stored", hint="e.g. --sample 4")
    if calibration is None:
        return random_inputs(graph, count, seed)
    x = np.concatenate([x for x, _ in first_samples(calibration, count)])
    if len(x) < count:
        raise DataError(
            f"--sample {count}: the calibration data has {len(x)} samples",
            hint=f"--sample {len(x)}, or --sample DATA",
        )
    return x


def samples_of(graph: Graph, x: NDArray[np.float32], timesteps: int, seed: int) -> Samples:
    """The inputs with what the reference gives for them over the window of `timesteps`."""
    seed %= SEEDS
    run = reference_program(graph).run(x, timesteps=timesteps, record="counts", seed=seed)
    return Samples(x=x, counts=run.counts, readout=run.readout, seed=seed)


def reference_program(graph: Graph) -> Program:
    """The reference on a spiking graph."""
    return parse_one(REFERENCE, Registry(BACKENDS)).load(ArtifactContent(network=graph))


def random_inputs(graph: Graph, count: int, seed: int) -> NDArray[np.float32]:
    """`count` samples, uniform over the range of the encoder; over [0, 1) if it has none."""
    low, high = 0.0, 1.0
    for node in graph:
        if isinstance(node.op, Encode) and node.op.scale is not None:
            low, high = node.op.lo * node.op.scale, node.op.hi * node.op.scale
    shape = (count, *graph.type_of(graph.input).shape)
    uniform = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (low + (high - low) * uniform).astype(np.float32)


def _count(sample: Data | int) -> int | None:
    """The number that `sample` is, also as text; None where it names data."""
    if isinstance(sample, int):
        return sample
    if not isinstance(sample, str):
        return None
    try:
        return int(sample)
    except ValueError:
        return None
