"""Whether a spiking network was made from another model than the one it is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnc.analysis.diagnosis.remedies import remedy
from snnc.analysis.diagnosis.result import Cause, Finding
from snnc.ir import Graph, Weighted

ENOUGH = 64
"""Weights of a layer from which their signs tell: by chance 50 % +- 6 % of as many agree."""
ALIKE = 0.75
"""Part of the signs that agree in weights of one origin: conversion scales them by positive
factors, and training changes few signs."""


def about_origin(ann: Graph, snn: Graph) -> Iterator[Finding]:
    """One finding if no layer has the weights of the layer of the same name.

    Args:
        ann: the model, batch norms folded as in the network.
        snn: the network. Names and signs of weights survive conversion.
    """
    shares = dict(_shares(ann, snn))
    if not shares or max(shares.values()) >= ALIKE:
        return
    name, share = next(iter(shares.items()))
    how = f"{share:.0%} of the signs of {name} agree" if share else f"{name} has another shape"
    text = f"The network was not made from this model: no layer has its weights ({how})."
    evidence = {"agreeing_signs": shares}
    yield Finding(name, name, Cause.OTHER_MODEL, "fault", evidence, text, remedy(Cause.OTHER_MODEL))


def _shares(ann: Graph, snn: Graph) -> Iterator[tuple[str, float]]:
    """By layer, which part of the signs agrees: 0 for weights of another shape."""
    for node in snn:
        if not isinstance(node.op, Weighted) or node.name not in ann:
            continue
        op = ann.node(node.name).op
        if not isinstance(op, Weighted):
            continue
        mine, theirs = snn.array(node.op.weight), ann.array(op.weight)
        if mine.shape != theirs.shape:
            yield node.name, 0.0
            continue
        products = np.sign(mine) * np.sign(theirs)
        told = int(np.count_nonzero(products))
        if told >= ENOUGH:
            yield node.name, int(np.count_nonzero(products > 0)) / told
