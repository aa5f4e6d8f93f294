"""Surrogate gradients: replacements of the derivative of a spike.

All are functions of the normalised potential z = p/threshold - 1, so that a gradient with
respect to the potential has an extra factor 1/threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from snnc.errors import UsageError


@runtime_checkable
class Surrogate(Protocol):
    """Surrogate derivative of a spike with respect to the normalised potential z."""

    def gradient(self, z: Tensor) -> Tensor:
        """ds/dz, elementwise."""
        ...


@runtime_checkable
class TimedSurrogate(Protocol):
    """Surrogate derivative of a spike that depends on when its neuron fired last.

    Attributes:
        silent: number of steps before the start at which a neuron that has not fired yet is assumed
            to have fired.
    """

    @property
    def silent(self) -> float: ...

    def gradient_since(self, z: Tensor, steps: Tensor) -> Tensor:
        """ds/dz, elementwise; `steps` since the last spike, 1 if it was in the previous step."""
        ...


@runtime_checkable
class FittedSurrogate(Protocol):
    """Surrogate derivative of a spike that is fitted to the potentials it is used for."""

    def fitted(self, z: Tensor, rows: slice) -> Surrogate:
        """The surrogate for some samples of a batch.

        Args:
            z: (T, n, *shape) their normalised potentials.
            rows: which samples of the batch they are.
        """
        ...


AnySurrogate = Surrogate | TimedSurrogate | FittedSurrogate


class _PositiveOptions:
    """Refuses a width, slope or factor that is not positive and finite."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name}={value:g} is not positive and finite")


@dataclass(frozen=True)
class PiecewiseLinear(_PositiveOptions):
    """ds/dz = gamma * max(0, 1 - |z|/width).

    Source: DIET-SNN (Rathi & Roy, 2020), with gamma 0.3, width 1; Bellec et al., 2018.
    """

    gamma: float = 0.3
    width: float = 1.0

    def gradient(self, z: Tensor) -> Tensor:
        return self.gamma * torch.clamp(1 - z.abs() / self.width, min=0)


@dataclass(frozen=True)
class Stdb:
    """ds/dz = alpha * exp(-beta * steps since the neuron's last spike).

    Source: spike-timing dependent backpropagation (Rathi et al., ICLR 2020), alpha 0.3, beta 0.01.
    It is computed as exp(-beta * steps): exp(-steps) ** beta would underflow in float32 from 104
    steps on. A neuron that has not fired yet is assumed to have fired `silent` steps before the
    start. With the defaults its gradient is alpha * 4.5e-5, close to 0, and at T = 1 this applies
    to every neuron; a smaller `silent` lets silent neurons learn.
    """

    alpha: float = 0.3
    beta: float = 0.01
    silent: float = 1000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value:g} is negative or infinite")

    def gradient_since(self, z: Tensor, steps: Tensor) -> Tensor:
        return self.alpha * torch.exp(-self.beta * steps)


@dataclass(frozen=True)
class Triangle(_PositiveOptions):
    """ds/dz = max(0, 1 - |z|/width) / width: a triangle of area 1 (Esser et al., 2016)."""

    width: float = 1.0

    def gradient(self, z: Tensor) -> Tensor:
        return torch.clamp(1 - z.abs() / self.width, min=0) / self.width


@dataclass(frozen=True)
class Rectangular(_PositiveOptions):
    """ds/dz = 1/width where |z| < width/2 (STBP, Wu et al., 2018)."""

    width: float = 1.0

    def gradient(self, z: Tensor) -> Tensor:
        return (z.abs() < self.width / 2).to(z.dtype) / self.width


@dataclass(frozen=True)
class Atan(_PositiveOptions):
    """ds/dz = alpha/2 / (1 + (pi/2 * alpha * z)^2) (Fang et al., ICCV 2021)."""

    alpha: float = 2.0

    def gradient(self, z: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * z) ** 2)


@dataclass(frozen=True)
class Sigmoid(_PositiveOptions):
    """ds/dz = alpha * y * (1 - y) with y = sigmoid(alpha * z)."""

    alpha: float = 4.0

    def gradient(self, z: Tensor) -> Tensor:
        y = torch.sigmoid(self.alpha * z)
        return self.alpha * y * (1 - y)


@dataclass(frozen=True)
class FastSigmoid(_PositiveOptions):
    """ds/dz = 1 / (1 + slope * |z|)^2 (SuperSpike, Zenke & Ganguli, 2018)."""

    slope: float = 10.0

    def gradient(self, z: Tensor) -> Tensor:
        return (1 + self.slope * z.abs()) ** -2


@dataclass(frozen=True)
class Exponential(_PositiveOptions):
    """ds/dz = gamma * exp(-slope * |z|) (SLAYER, Shrestha & Orchard, 2018)."""

    gamma: float = 0.3
    slope: float = 1.0

    def gradient(self, z: Tensor) -> Tensor:
        return self.gamma * torch.exp(-self.slope * z.abs())


SURROGATES: Mapping[str, Callable[[], AnySurrogate]] = MappingProxyType(
    {
        "linear": PiecewiseLinear,
        "stdb": Stdb,
        "triangle": Triangle,
        "rectangular": Rectangular,
        "atan": Atan,
        "sigmoid": Sigmoid,
        "fast-sigmoid": FastSigmoid,
        "exponential": Exponential,
    }
)
"""The named surrogates; any other object with one of their methods can be used, too."""


def find_surrogate(surrogate: str | AnySurrogate) -> AnySurrogate:
    """The surrogate of that name with default options, or the given object.

    Raises:
        UsageError: no surrogate has that name, or the object has neither method.
    """
    if isinstance(surrogate, str):
        if surrogate not in SURROGATES:
            raise UsageError(
                f"no surrogate gradient called {surrogate!r}",
                hint=f"one of {', '.join(SURROGATES)}",
            )
        return SURROGATES[surrogate]()
    if isinstance(surrogate, type) or not isinstance(surrogate, AnySurrogate):
        raise UsageError(
            f"{surrogate!r} is no surrogate gradient: it has no gradient(z)",
            hint="give a name, or an object like snnc.training.PiecewiseLinear()",
        )
    return surrogate
