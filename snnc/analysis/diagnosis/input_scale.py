"""Whether the mean and deviation that a model subtracts and divides by are those of its data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.input_range import InputTally
from snnc.ir import Graph, Scale

Real = NDArray[np.floating[Any]]
CONSTANT = 20.0
"""Least ratio of offset and spread of an input that is nearly the same number everywhere."""
SPREAD, OFFSET = 2.5, 4.0
"""Largest accepted spread and offset: of images of 0..1, any usual mean and deviation give less."""


def odd_scale(model: Graph, data: InputTally) -> dict[str, float]:
    """`offset` and `spread` of the normalised input if they cannot be meant, else {}.

    They are root mean squares over the channels of mean and standard deviation, after the scale
    that alone uses the model's input: the one of `--mean` and `--std`, or the model's own. A
    normalisation by mean and deviation should make them about 0 and 1. A scale without a shift, or
    of another shape than (C,), is a change of units and not judged.
    """
    users = model.users_of(model.input)
    op = model.node(users[0][0]).op if len(users) == 1 else None
    if not isinstance(op, Scale) or op.bias is None or not data.samples:
        return {}
    factor, bias = (np.asarray(model.array(value), np.float64) for value in (op.factor, op.bias))
    mean, deviation = data.channels()
    if not bias.any() or any(v.ndim and v.shape != mean.shape for v in (factor, bias)):
        return {}
    offset, spread = (
        float(np.sqrt(np.square(value).mean()))
        for value in (factor * mean + bias, factor * deviation)
    )
    far = bool((factor != 1).any()) and (spread > SPREAD or offset > OFFSET)
    return {"offset": offset, "spread": spread} if far or offset > CONSTANT * spread else {}


def scale_in_words(figures: dict[str, float]) -> str:
    """A sentence about the figures of `odd_scale`."""
    offset, spread = figures["offset"], figures["spread"]
    shown = f"The normalised input is {offset:.3g} off 0 and has a deviation of {spread:.3g}"
    if offset > CONSTANT * spread:
        return f"{shown}: nearly the same number everywhere."
    return f"{shown}, where about 0 and 1 are expected."
