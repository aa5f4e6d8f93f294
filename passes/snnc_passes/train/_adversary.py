"""Inputs that fool the network, made while it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from snnc.training import SpikingNetwork

STEP = 2.5
"""All steps together can go this many times eps (Madry et al., 2018)."""


@dataclass(frozen=True, kw_only=True)
class Pgd:
    """Projected gradient steps from a random start, in the largest norm.

    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018. The
    gradient goes through time and through the spikes of the network as it is then, by the surrogate
    that it learns with, and straight through the encoder.

    Attributes:
        eps: largest change of a value of the input, in its units: those of pixels where mean and
            std are part of the network.
        steps: each of 2.5 eps / steps, at most eps.
        low, high: the least and the largest value of an input; a value of the data that lies
            outside is not moved further out.
    """

    name: ClassVar[str] = "pgd"
    eps: float = 8 / 255
    steps: int = 3
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise ValueError(f"eps={self.eps:g} is not positive")
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} is not positive")
        if not self.low < self.high:
            raise ValueError(f"low={self.low:g} is not below high={self.high:g}")

    def moved(
        self,
        network: SpikingNetwork,
        x: Tensor,
        loss: Callable[[Tensor], Tensor],
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`x` (N, *shape), each value changed by at most eps so that the loss grows.

        The network is left in evaluation mode: nothing is dropped. Every gradient is of new draws
        of a random encoder.

        Args:
            loss: of outputs, summed over the samples.
            generator: of everything random; None for torch's own.
        """
        network.eval()
        low = torch.minimum(x, (x - self.eps).clamp(min=self.low))
        high = torch.maximum(x, (x + self.eps).clamp(max=self.high))
        start = (2 * torch.rand(x.shape, generator=generator) - 1) * self.eps
        now = torch.clamp(x + start.to(x), low, high)
        size = min(self.eps, STEP * self.eps / self.steps)
        for _ in range(self.steps):
            seed = int(torch.randint(2**31, (), generator=generator))
            with torch.enable_grad():
                now = now.detach().requires_grad_()
                (slope,) = torch.autograd.grad(loss(network(now, seed=seed)), now)
            now = torch.clamp(now.detach() + size * slope.sign(), low, high)
        return now
