"""Pruning and conductance levels, applied at intervals while the network learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from constants import PIXELS
from network import Network
from numpy.typing import NDArray

FITS = 30
"""Most rounds of the fit of the levels; it ends when nothing changes."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What is removed, and what the rest is rounded to.

    Under this rule the weight of a synapse is the correlation that it has seen, so that pruning by
    weight is pruning by STDP.

    Attributes:
        kept: fraction of its synapses that every neuron keeps at the end.
        threshold: keep weights above this instead, of w_max = 1; then `kept` means nothing.
        levels: number k of conductance levels beside 0; 0 for weights as learned.
        by: `weight`, or `random` for the control.
        spare: times as many synapses are kept until the end; the rule makes some of those that a
            random choice keeps zero.
        total: synapses of the network at the end, exactly, if so many have a weight above 0: of
            those kept, the others go.
        hard: a pruned synapse stays pruned; otherwise it learns on and may come back.
        inputs: inputs kept, those with the largest sums of weights: whole rows of a crossbar.
        renormalised: the sum of a neuron's weights is restored after pruning, as before each image.
        start: images before the first interval; `every`: images from one to the next.
        ramp: images until the fraction `kept` is reached, in equal steps.
    """

    kept: float = 0.25
    threshold: float | None = None
    levels: int = 4
    by: str = "weight"
    spare: float = 1.0
    total: int | None = None
    hard: bool = True
    inputs: int = PIXELS
    renormalised: bool = True
    start: int = 8000
    every: int = 1000
    ramp: int = 8000

    def __post_init__(self) -> None:
        if not 0 < self.kept <= 1:
            raise ValueError(f"kept={self.kept} is not a fraction above 0")
        if self.by not in ("weight", "random"):
            raise ValueError(f"by={self.by!r} is neither weight nor random")

    @classmethod
    def over(cls, images: int, **options: Any) -> Compression:
        """One that begins after two fifths of so many images and is complete after four."""
        return cls(**{"start": 2 * images // 5, "ramp": 2 * images // 5, **options})

    def due(self, images: int) -> bool:
        """Whether an interval begins after so many images."""
        return images >= self.start and (images - self.start) % self.every == 0

    def fraction(self, images: int) -> float:
        """The fraction to keep after so many images."""
        progress = min(1.0, (images - self.start + self.every) / max(self.ramp, self.every))
        return 1 - (1 - min(1.0, self.kept * self.spare)) * progress

    def finish(self, network: Network, seed: int) -> None:
        """Prune to what is kept at the end, fit the levels, and make the weights that conduct."""
        self.apply(network, min(1.0, self.kept * self.spare), seed, self.total)

    def apply(self, network: Network, fraction: float, seed: int, total: int | None = None) -> None:
        """Prune to `fraction`, fit the levels, and make the weights that conduct."""
        network.direct = False
        score = self._score(network, seed)
        keep = self._keep(network, fraction, score) & self._rows(network)
        if total is not None and keep.sum() > total:
            keep &= score >= np.sort(score[keep])[-total]
        network.kept[:] = keep
        if self.hard:
            network.plastic[:] = keep
            network.learned *= keep
        if self.renormalised:
            network.normalise(everywhere=True)
        distance = fit_levels(network.learned[keep], self.levels) if self.levels else 0.0
        network.levels[:] = distance, self.levels
        network.conduct()

    def _rows(self, network: Network) -> NDArray[np.bool_]:
        """The inputs to keep, (784,)."""
        total = (network.learned * network.kept).sum(0)
        return np.argsort(np.argsort(-total, kind="stable")) < self.inputs

    def _score(self, network: Network, seed: int) -> NDArray[np.floating]:
        """What synapses are chosen by; the same random numbers at every interval."""
        if self.by == "random":
            return np.random.default_rng((seed, 1)).random(network.learned.shape)
        return network.learned.copy()

    def _keep(
        self, network: Network, fraction: float, score: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """The synapses to keep; weights that the rule has made 0 are never among them."""
        if self.threshold is not None and self.by == "weight":
            return network.learned > self.threshold
        pruned = score.shape[1] - round(fraction * score.shape[1])
        if pruned == 0:
            return network.learned > 0
        least = np.partition(score, pruned, axis=1)[:, pruned, None]
        return (score >= least) & (network.learned > 0)


def fit_levels(weights: NDArray[np.floating], number: int) -> float:
    """The distance of levels d, 2 d, … `number` d with the least squared error: Lloyd's algorithm.

    With one level this is the mean.
    """
    w = weights.astype(np.float64)
    if not len(w):
        return 0.0
    distance = 2 * float(w.mean()) / (number + 1)
    for _ in range(FITS):
        level = np.clip(np.floor(w / distance + 0.5), 1, number)
        better = float((w * level).sum() / (level * level).sum())
        if better == distance:
            break
        distance = better
    return distance
