"""Fixtures of the backends' tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snnc.ir import Conv, EncodeDirect, Graph, Input, Linear, Neuron, Readout, Reshape, Stage


@pytest.fixture
def small() -> Callable[..., Graph]:
    """Builds a quantised convolution, neurons, a linear readout; input (2, 5, 5)."""
    return _small


def _small(*, scale: float | None = 1 / 255, threshold: int = 4000) -> Graph:
    rng = np.random.default_rng(0)
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 5, 5)))
    graph.add("encode", EncodeDirect(scale=scale), ["x"])
    weight = rng.integers(-90, 91, (3, 2, 3, 3)).astype(np.int8)
    graph.add("conv", Conv(weight=graph.set_param("w", weight)), ["encode"])
    graph.add("act", Neuron(threshold=threshold), ["conv"])
    graph.add("flat", Reshape(shape=(27,)), ["act"])
    dense = rng.integers(-90, 91, (4, 27)).astype(np.int8)
    graph.add("fc", Linear(weight=graph.set_param("v", dense)), ["flat"])
    graph.add("out", Readout(scale=0.5), ["fc"])
    graph.outputs = ("out",)
    return graph
