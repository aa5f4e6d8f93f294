"""Whether the weights of a network are those that it was initialised with: it was never trained."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import BatchNorm, Graph, Weighted

Real = NDArray[np.floating[Any]]
ENOUGH = 256
"""Weights of a layer from which their distribution tells by itself."""
SAMPLES = 1 << 16
"""Most weights of a layer that are looked at; of more, every n-th."""
SURE = 4.0
"""Standard errors within which a moment of random numbers lies."""
SURE_OF_UNIFORM = 2.5
"""The same for sqrt(n) times the distance of two distribution functions."""
BOUND = 1e-3
"""Relative tolerance of the bound of uniform numbers, for weights stored in half precision."""
SMALL = (0.01, 0.02)
"""Standard deviations that recipes of initialisation use whatever the size of the layer."""


def is_untrained(graph: Graph) -> bool:
    """Whether every layer still has weights, biases and statistics as torch initialises them.

    Weights are initial if they are distributed uniformly or normally with exactly the width that an
    initialisation gives a layer of that size (torch's default, Glorot's, He's); training moves them
    away from it, beyond the bound of a uniform distribution for example. Biases are initial if they
    are 0 or within torch's default bound, batch norms if they have mean 0 and variance 1 exactly.
    Normal weights alone are no evidence: they need initial batch norms or biases of 0 beside them.

    Sources: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010; He et al., "Delving Deep into Rectifiers", 2015; torch.nn.init.
    """
    norms = [node.op for node in graph if isinstance(node.op, BatchNorm)]
    if not all(_is_initial(graph, norm) for norm in norms):
        return False
    layers = [node.op for node in graph if isinstance(node.op, Weighted)]
    found = [_evidence(graph, layer) for layer in layers]
    return None not in found and bool(layers) and (bool(norms) or any(found))


def _is_initial(graph: Graph, norm: BatchNorm) -> bool:
    mean, variance = graph.array(norm.mean), graph.array(norm.variance)
    return bool((mean == 0).all() and (variance == 1).all())


def _evidence(graph: Graph, layer: Weighted) -> bool | None:
    """Whether the layer by itself shows that it was not trained; None if it was."""
    weight = np.asarray(graph.array(layer.weight), np.float64)
    inputs, outputs = prod(weight.shape[1:]), weight.shape[0] * prod(weight.shape[2:])
    bias = np.zeros(0) if layer.bias is None else np.asarray(graph.array(layer.bias))
    zero = bool((bias == 0).all())
    if not zero and float(np.abs(bias).max()) > (1 + BOUND) / sqrt(inputs):
        return None
    values = weight.ravel()[:: -(-weight.size // SAMPLES)]
    large = weight.size >= ENOUGH
    if any(_is_uniform(values, weight, bound) for bound in _bounds(inputs, outputs)):
        return large
    if any(_is_normal(values, sigma) for sigma in _deviations(inputs, outputs)):
        return large and zero and bool(bias.size)
    return None


def _bounds(inputs: int, outputs: int) -> tuple[float, ...]:
    glorot = sqrt(6 / (inputs + outputs))
    return 1 / sqrt(inputs), glorot, sqrt(2) * glorot, sqrt(6 / inputs), sqrt(6 / outputs)


def _deviations(inputs: int, outputs: int) -> tuple[float, ...]:
    uniform = _bounds(inputs, outputs)[1:]  # normal with the variance of the uniform ones
    return (*(bound / sqrt(3) for bound in uniform), sqrt(1 / inputs), *SMALL)


def _is_uniform(values: Real, weight: Real, bound: float) -> bool:
    """Whether values are uniform in [-bound, bound]; `weight` are all of them."""
    if max(float(weight.max()), -float(weight.min())) > (1 + BOUND) * bound:
        return False
    expected = (np.sort(values) / bound + 1) / 2
    n = len(values)
    steps = np.arange(n + 1) / n
    distance = max(np.abs(expected - steps[:-1]).max(), np.abs(expected - steps[1:]).max())
    return float(distance) * sqrt(n) < SURE_OF_UNIFORM


def _is_normal(values: Real, sigma: float) -> bool:
    """Whether mean, variance and fourth moment are those of a normal distribution."""
    z, n = values / sigma, len(values)
    moments = ((z.mean(), 0, 1), (np.square(z).mean(), 1, 2), ((z**4).mean(), 3, 96))
    return all(
        abs(float(moment) - expected) < SURE * sqrt(variance / n)
        for moment, expected, variance in moments
    )
