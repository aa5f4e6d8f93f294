"""Compare the moments of a batch norm's input with its running statistics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import BatchNorm, Graph
from snnc.ir.walk import ancestors

FAR = 0.5
"""Largest accepted mismatch of a batch norm's input with its statistics, in std deviations."""
JUMP = 2.0
"""A later batch norm is off by itself only if none before it is off by half as much.

In deep networks the distance grows little by little, without harm; training augments its images.
"""
Real = NDArray[np.floating[Any]]
SURE = 3.0
"""Deviations of a mean up to this many standard errors are attributed to sampling."""


class NormTally:
    """Moments of the input of one batch norm, per channel."""

    def __init__(self, graph: Graph, op: BatchNorm) -> None:
        self._mean = np.asarray(graph.array(op.mean), np.float64)
        variance = np.asarray(graph.array(op.variance), np.float64)
        self._sigma = np.sqrt(variance + op.eps)
        self._known = variance > 10 * op.eps
        self._count = self._samples = 0
        self._sum = np.zeros(len(variance))
        self._squares = np.zeros(len(variance))
        self._means = np.zeros(len(variance))

    def add(self, x: Real) -> None:
        """Add a batch (N, C, …)."""
        centred = x.reshape(len(x), len(self._mean), -1) - self._mean[:, None]
        means = centred.mean(axis=2)
        self._count += centred.shape[0] * centred.shape[2]
        self._samples += len(x)
        self._sum += centred.sum(axis=(0, 2))
        self._squares += np.square(centred).sum(axis=(0, 2))
        self._means += np.square(means).sum(axis=0)

    def result(self) -> dict[str, float]:
        """`shift` and `spread`, root mean squares over the channels, and `mismatch` of both.

        With m and s the mean and standard deviation of the data, mu and sigma the running
        statistics, and e the standard error of m, estimated from the means of single samples:
        shift = max(|m - mu| - 3 e, 0) / sigma; spread = ln(s / sigma);
        mismatch = sqrt(shift^2 + spread^2). Channels of negligible variance are left out.
        """
        shift = self._sum / self._count
        variance = np.maximum(self._squares / self._count - shift**2, 1e-12)
        between = np.maximum(self._means / self._samples - shift**2, 0)
        doubt = SURE * np.sqrt(between / self._samples)
        shifts = np.maximum(np.abs(shift) - doubt, 0) / self._sigma
        spreads = np.log(np.sqrt(variance) / self._sigma)
        if not self._known.any():
            return {"shift": 0.0, "spread": 0.0, "mismatch": 0.0}
        channels = {"shift": shifts[self._known], "spread": spreads[self._known]}
        both = {name: float(np.sqrt(np.square(v).mean())) for name, v in channels.items()}
        return {**both, "mismatch": float(np.hypot(both["shift"], both["spread"]))}


def norm_tallies(graph: Graph) -> dict[str, NormTally]:
    """A tally for every batch norm, in the order of the network."""
    return {n.name: NormTally(graph, n.op) for n in graph if isinstance(n.op, BatchNorm)}


def first_norms(graph: Graph) -> list[str]:
    """The batch norms with no other in front: their statistics tell what the input should be."""
    norms = {node.name for node in graph if isinstance(node.op, BatchNorm)}
    return [name for name in norms if norms.isdisjoint(ancestors(graph, name))]


def up_to(graph: Graph, names: Collection[str]) -> Graph:
    """The part of a graph that computes the nodes `names`, which are its outputs."""
    part = graph.clone()
    part.outputs = tuple(node.name for node in graph if node.name in names)
    for node in reversed(part.nodes):
        if not part.users_of(node.name) and node.name not in names:
            part.remove(node.name)
    return part


def in_words(name: str, moments: Mapping[str, float]) -> str:
    """A sentence about a batch norm that is far off."""
    return (
        f"What enters the batch norm {name} is {moments['shift']:.3g} standard deviations off "
        f"the mean it was trained on, its spread off by a factor of {exp(moments['spread']):.3g}."
    )


def far_norms(
    graph: Graph, norms: Mapping[str, Mapping[str, float]], limit: float = FAR
) -> list[str]:
    """The batch norms whose mismatch exceeds `limit` while that of none before them does.

    Those before must not come near it either, see `JUMP`.

    Args:
        norms: per batch norm, the result of its `NormTally`.
    """
    worst: dict[str, float] = {}
    first: list[str] = []
    for node in graph:
        before = max((worst[source] for source in graph.inputs_of(node.name)), default=0.0)
        own = norms[node.name]["mismatch"] if node.name in norms else 0.0
        if before <= limit < own and own > JUMP * before:
            first.append(node.name)
        worst[node.name] = max(before, own)
    return first
