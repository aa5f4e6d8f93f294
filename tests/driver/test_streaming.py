"""Memory of a calibration does not grow with the number of samples."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Input, Linear, Relu
from snnc.pipeline import Pipeline
from snnc.transform import PassContext

SIZE, BATCH = 4096, 50
PASSES = (
    "activations-to-neurons,threshold-balance,initialize-potential,fold-scale,calibrate-readout,"
    "profile,quantize{bits=8},choose-timesteps,early-exit"
)


@dataclass
class Stream:
    """Samples made when they are asked for, and how many were read."""

    batches: int
    read: int = 0

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], None]]:
        rng = np.random.default_rng(0)
        for _ in range(self.batches):
            self.read += BATCH
            yield rng.random((BATCH, SIZE), dtype=np.float32), None


def network() -> Graph:
    """Of large inputs and few neurons."""
    rng = np.random.default_rng(1)
    graph = Graph()
    graph.add("x", Input(shape=(SIZE,)))
    for name, shape in (("w1", (4, SIZE)), ("w2", (3, 4))):
        graph.set_param(name, rng.normal(size=shape).astype(np.float32))
    graph.add("fc1", Linear(weight=graph.set_param("w1", graph.params["w1"])), ["x"])
    graph.add("relu", Relu(), ["fc1"])
    graph.add("fc2", Linear(weight=graph.set_param("w2", graph.params["w2"])), ["relu"])
    graph.outputs = ("fc2",)
    return graph


def calibrate(stream: Stream) -> None:
    Pipeline.from_text(PASSES).run(network(), PassContext(timesteps=2, calibration=stream))


def peak(batches: int) -> tuple[int, int]:
    """Bytes that numpy and Python held at once, and samples read in all sweeps."""
    stream = Stream(batches)
    tracemalloc.start()
    try:
        calibrate(stream)
        return tracemalloc.get_traced_memory()[1], stream.read
    finally:
        tracemalloc.stop()


def test_four_times_the_samples_take_no_more_memory() -> None:
    calibrate(Stream(1))  # imports and caches
    few, _ = peak(6)
    many, read = peak(24)
    assert read > 5 * 24 * BATCH  # every sweep went through all of them
    assert many - few < 0.05 * 18 * BATCH * SIZE * 4
