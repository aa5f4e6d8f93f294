"""The largest sparsity within a budget of accuracy, or of agreement with the network before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.transform import Batches, PassContext, silent
from snnc_passes._reference import Reference, class_count, class_labels, network_outputs

STEPS = 64
"""Sparsities that are told apart."""


def reference_before(graph: Graph, data: Batches, samples: int, ctx: PassContext) -> Reference:
    """The labels of the data, if they are class numbers, and outputs of the network to be pruned.

    Raises:
        PassError: the outputs are no classes, or labels no class numbers.
    """
    reason, hint = "a budget in points is for classes", "give sparsity or threshold"
    classes = class_count(graph, reason, hint)
    outputs = network_outputs(graph, data, samples, replace(ctx, progress=silent))
    return Reference(data, class_labels(data, samples, classes), outputs)


def fraction_right(reference: Reference, graph: Graph, ctx: PassContext) -> float:
    """The fraction of samples that a network has right."""
    window = ctx.timesteps
    quiet = replace(ctx, progress=silent)
    return reference.fractions(graph, quiet, (window,))[window]


def largest_within(
    reference: Reference, pruned: Callable[[float], Graph], points: float, ctx: PassContext
) -> float:
    """The largest sparsity that loses at most so many points, by bisection over `STEPS`.

    Args:
        reference: labels, or predictions, and the outputs of the network before pruning.
        pruned: the network with a given fraction of its weights removed.
        points: budget in percentage points of the reference's measure.

    Raises:
        PassError: not even a sparsity of 1 / `STEPS` is within the budget.
    """
    before, low, high = reference.own_fraction or 0.0, 0, STEPS
    with ctx.progress("sparsity", STEPS.bit_length() - 1) as advance:
        while high - low > 1:
            middle = (low + high) // 2
            lost = 100 * (before - fraction_right(reference, pruned(middle / STEPS), ctx))
            low, high = (middle, high) if lost <= points else (low, middle)
            advance(1)
    if not low:
        raise PassError(
            f"a sparsity of 1/{STEPS} loses more than {points:g} points of {reference.measure}",
            hint="a larger budget, or more samples",
        )
    return low / STEPS
