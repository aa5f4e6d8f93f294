"""Integers for the weights of one layer, chosen together for the least error of its output."""

from __future__ import annotations

import torch
from torch import Tensor

DAMPING = 0.01
"""Added to the diagonal of a Gram matrix, as a fraction of its mean."""
SILENT = 1e-12
"""Lower bound of that mean, for layers whose inputs never vary."""
SWEEPS = 4
"""Most rounds of improvement, one weight of every output after the other."""


def rounded_together(real: Tensor, gram: Tensor, largest: int, kept: Tensor) -> Tensor:
    """The integers Q with little (Q - W) G (Q - W)', one output at a time; never above rint(W)'s.

    Weights are rounded one after the other, those of the strongest inputs first, and the error of
    each is made up for by those that are still real (Frantar et al., "GPTQ: Accurate Post-Training
    Quantization for Generative Pre-trained Transformers", 2023, section 3, with the factor of
    Cholesky). Then single weights move to the integer with the least error while that helps, from
    this start and from the nearest integers; the better of both is taken.

    Args:
        real: W (C, K) in units of the integers, float64.
        gram: G (K, K) of the inputs, float64.
        largest: the largest magnitude of an integer.
        kept: (C, K) of bool; the others become 0.

    Returns:
        (C, K) integers in float64.
    """
    gram = gram.clone()
    gram.diagonal().add_(DAMPING * max(float(gram.diagonal().mean()), SILENT))
    nearest = real.round().clamp(-largest, largest) * kept
    starts = (nearest, _sequential(real, gram, largest, kept))
    tried = [_descended(start, real, gram, largest, kept) for start in starts]
    costs = [((q - real) @ gram * (q - real)).sum(1, keepdim=True) for q in tried]
    return torch.where(costs[0] <= costs[1], *tried)


def _sequential(real: Tensor, gram: Tensor, largest: int, kept: Tensor) -> Tensor:
    """Rounded in the order of the diagonal, errors being fed into the columns that follow."""
    order = gram.diagonal().argsort(descending=True, stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram[order][:, order]))
    factor = torch.linalg.cholesky(inverse, upper=True)
    left, allowed = real[:, order].clone(), kept[:, order]
    chosen = torch.zeros_like(left)
    for k in range(left.shape[1]):
        chosen[:, k] = left[:, k].round().clamp(-largest, largest) * allowed[:, k]
        error = (left[:, k] - chosen[:, k]) / factor[k, k]
        left[:, k + 1 :].addr_(error, factor[k, k + 1 :], alpha=-1)
    result = torch.empty_like(chosen)
    result[:, order] = chosen
    return result


def _descended(start: Tensor, real: Tensor, gram: Tensor, largest: int, kept: Tensor) -> Tensor:
    """Coordinate descent over the integers; no step makes an output's error larger."""
    chosen = start.clone()
    slope = (chosen - real) @ gram
    for _ in range(SWEEPS):
        before = chosen.clone()
        for k in range(chosen.shape[1]):
            best = (chosen[:, k] - slope[:, k] / gram[k, k]).round().clamp(-largest, largest)
            moved = best * kept[:, k] - chosen[:, k]
            chosen[:, k] += moved
            slope.addr_(moved, gram[k])
        if torch.equal(before, chosen):
            break
    return chosen
