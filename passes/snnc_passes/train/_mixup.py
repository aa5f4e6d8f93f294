"""Mixtures of inputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta


def mixup(x: Tensor, alpha: float) -> Tensor:
    """Samples (N, *shape), each mixed with another of them, by torch's generator.

    Sample i becomes c x[i] + (1 - c) x[j], with j from a random permutation and one c from
    Beta(alpha, alpha) for all of them (Zhang et al., "mixup: Beyond Empirical Risk Minimization",
    2018, section 2). Targets are not mixed: the ANN answers the mixture.
    """
    share = Beta(alpha, alpha).sample()
    return torch.lerp(x[torch.randperm(len(x))], x, share)
