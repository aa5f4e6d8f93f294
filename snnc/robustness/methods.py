"""The attacks by name: which one, with which derivative of a spike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from snnc.robustness.adaptive import adaptive
from snnc.robustness.attack import Attack, noise
from snnc.robustness.library_attacks import apgd, fgsm, pgd, square
from snnc.robustness.surrogates import AdaptiveSharpness, PotentialDependent
from snnc.training.surrogate import AnySurrogate, Triangle

Knowledge = Literal["white box", "gradient-free", "control"]
WIDTHS = (0.125, 0.5, 1.0, 2.0, 8.0)
"""Widths of the triangle of the attacks that tell whether the derivative masks."""


@dataclass
class PerPopulation:
    """A surrogate of its own for every population, made at its first use."""

    make: Callable[[], AnySurrogate]
    _made: dict[str, AnySurrogate] = field(default_factory=dict[str, AnySurrogate], repr=False)

    def __call__(self, name: str) -> AnySurrogate:
        return self._made.setdefault(name, self.make())


Choice = Callable[[AnySurrogate], AnySurrogate | PerPopulation]
"""The derivative of a spike of an attack, of the one that the user chose."""


def _chosen(surrogate: AnySurrogate) -> AnySurrogate:
    return surrogate


@dataclass(frozen=True)
class Method:
    """An attack under a name.

    Attributes:
        run: the attack.
        surrogate: the derivative of a spike that it uses.
        knowledge: what it needs of the network.
        steps: factor of the steps that the user gave.
        check: whether it is run for the warnings, as a part of `all`.
    """

    run: Attack
    surrogate: Choice = _chosen
    knowledge: Knowledge = "white box"
    steps: float = 1.0
    check: bool = False


def _adaptive(*, steps: float = 1.0, check: bool = False) -> Method:
    return Method(adaptive, lambda _: PerPopulation(AdaptiveSharpness), steps=steps, check=check)


def _width(width: float) -> Method:
    return Method(pgd, lambda _: Triangle(width), check=True)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "noise": Method(noise, knowledge="control"),
        "fgsm": Method(fgsm),
        "pgd": Method(pgd),
        "apgd": Method(apgd),
        "square": Method(square, knowledge="gradient-free", steps=10),
        "potential": Method(pgd, lambda _: PotentialDependent()),
        "adaptive": _adaptive(),
        "adaptive-half": _adaptive(steps=0.5, check=True),
        **{f"pgd-width-{width:g}": _width(width) for width in WIDTHS},
    }
)
"""All attacks. The checks tell whether more steps or another derivative would gain."""
