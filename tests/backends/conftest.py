"""Fixtures of the backends' tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from snnc.ir import Conv, EncodeDirect, Graph, Input, Linear, Neuron, Readout, Reshape, Stage
from snnc.native.jit import Host, host


@pytest.fixture
def small() -> Callable[..., Graph]:
    """Builds a quantised convolution, neurons, a linear readout; input (2, 5, 5)."""
    return _small


@pytest.fixture
def chain() -> Callable[..., Graph]:
    """Builds Linear layers of ones with neurons between them, for an encoded input of 8 bits."""
    return _chain


@pytest.fixture
def this_processor() -> Callable[[str], Host]:
    """This processor with no more instructions than a level has ("": all); skips without them."""
    return _this_processor


def _this_processor(level: str) -> Host:
    try:
        return host(level)
    except ValueError as error:
        pytest.skip(str(error))


def _chain(widths: tuple[int, ...], *, wait: int = 0) -> Graph:
    """Linear layers of ones with neurons between them; an encoded input of 8 bits."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(widths[0],)))
    last = graph.add("encode", EncodeDirect(scale=1 / 255, hi=255), ["x"])
    for i, (before, after) in enumerate(pairwise(widths), 1):
        weight = graph.set_param(f"w{i}", np.ones((after, before), np.int8))
        last = graph.add(f"fc{i}", Linear(weight=weight), [last])
        if i < len(widths) - 1:
            last = graph.add(f"act{i}", Neuron(threshold=3, wait=wait), [last])
    graph.add("out", Readout(), [last])
    graph.outputs = ("out",)
    return graph


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
