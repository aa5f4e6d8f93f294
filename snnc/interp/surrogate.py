"""Surrogate gradients: what stands in for the derivative of a spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor


class Surrogate(Protocol):
    """Derivative of a spike by the normalised potential z = p/threshold - 1."""

    def gradient(self, z: Tensor) -> Tensor:
        """ds/dz, elementwise."""
        ...


@dataclass(frozen=True)
class PiecewiseLinear:
    """ds/dz = gamma * max(0, 1 - |z|/width): the piecewise linear surrogate of DIET-SNN."""

    gamma: float = 0.3
    width: float = 1.0

    def gradient(self, z: Tensor) -> Tensor:
        return self.gamma * torch.clamp(1 - z.abs() / self.width, min=0)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, fired: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(z)
        ctx.surrogate = surrogate
        return fired

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.gradient(z), None, None


def above(p: Tensor, threshold: Tensor, surrogate: Surrogate | None) -> Tensor:
    """p > threshold as 0/1 in p's dtype; with a surrogate, differentiable in both arguments.

    The comparison is exact in p and threshold; only the gradient goes through z.
    """
    fired = (p > threshold).to(p.dtype)
    return fired if surrogate is None else _spike(p / threshold - 1, fired, surrogate)


def below_zero(p: Tensor, threshold: Tensor, surrogate: Surrogate | None) -> Tensor:
    """p < 0 as 0/1 in p's dtype; with a surrogate, differentiable through z = -p/threshold."""
    fired = (p < 0).to(p.dtype)
    return fired if surrogate is None else _spike(-p / threshold, fired, surrogate)


def _spike(z: Tensor, fired: Tensor, surrogate: Surrogate) -> Tensor:
    return cast(Tensor, _Spike.apply(z, fired, surrogate))
