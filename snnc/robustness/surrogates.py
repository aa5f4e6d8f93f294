"""Surrogate derivatives for attacks: fitted to the potentials of the network under attack."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snnc.training.surrogate import Surrogate


@dataclass(frozen=True)
class _AtanOf:
    """ds/dz = alpha/2 / (1 + (pi/2 * alpha * z)^2), with an alpha for every z."""

    alpha: Tensor

    def gradient(self, z: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * z) ** 2)


@dataclass
class AdaptiveSharpness:
    """An arctangent whose sharpness follows the potentials of one population over an attack.

        M <- b M + (1 - b) |z|,   D <- b D + (1 - b) ||z| - M|
        alpha = (2/pi tan(pi A)) / (M + relax * D + 1e-4)

    for every neuron, step and sample: where potentials are far from the threshold the derivative
    is wide, so that gradients do not vanish; `vanishing` A bounds the part of it that does. Wang et
    al., "Towards Reliable Evaluation of Adversarial Robustness for Spiking Neural Networks", 2025
    (arXiv 2512.22522), with their constants.

    Attributes:
        vanishing: A, in (0, 1/2); larger is sharper.
        relax: weight of the deviation.
        momentum: b, of both means.
    """

    vanishing: float = 0.425
    relax: float = 1.5
    momentum: float = 0.9
    _means: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def fitted(self, z: Tensor, rows: slice) -> Surrogate:
        """See `snnc.training.surrogate.FittedSurrogate`."""
        if rows.start not in self._means:
            self._means[rows.start] = torch.ones_like(z), torch.zeros_like(z)
        mean, deviation = self._means[rows.start]
        mean.lerp_(z.abs(), 1 - self.momentum)
        deviation.lerp_((z.abs() - mean).abs(), 1 - self.momentum)
        sharpness = 2 / math.pi * math.tan(math.pi * self.vanishing)
        return _AtanOf(sharpness / (mean + self.relax * deviation + 1e-4))


@dataclass(frozen=True)
class _GaussianOf:
    """ds/dz = exp(-z^2 / 2 sigma^2) / (sqrt(2 pi) sigma)."""

    sigma: Tensor

    def gradient(self, z: Tensor) -> Tensor:
        return torch.exp(-((z / self.sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * self.sigma)


@dataclass(frozen=True)
class PotentialDependent:
    """A Gaussian as wide as the potentials of its population vary at that step.

        ds/dz = exp(-z^2 / 2 sigma^2) / (sqrt(2 pi) sigma),  sigma the standard deviation of z over
        the neurons of a sample at a step

    It needs no knowledge of how the network was trained. After Lun et al., "Towards Effective and
    Sparse Adversarial Attack on Spiking Neural Networks via Breaking Invisible Surrogate
    Gradients", CVPR 2025; theirs is centred half a deviation above the threshold.

    Attributes:
        least: the smallest sigma.
    """

    least: float = 1e-2

    def fitted(self, z: Tensor, rows: slice) -> Surrogate:
        """See `snnc.training.surrogate.FittedSurrogate`."""
        flat = z.flatten(2)
        sigma = flat.std(2, correction=0).clamp(min=self.least)
        return _GaussianOf(sigma.reshape(*z.shape[:2], *(1,) * (z.ndim - 2)))
