"""`robust`: adversarial training through the spiking network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc_passes.recipes._training import TrainingRecipe, spec
from snnc_passes.train._adversary import Pgd


@dataclass(frozen=True, kw_only=True)
class Robust(TrainingRecipe):
    """Convert as `diet`, then train on inputs that fool the network as it is at every step.

    Adversarial training (Madry et al., "Towards Deep Learning Models Resistant to Adversarial
    Attacks", 2018) of a spiking network, whose gradients go through time and spikes (Kundu, Pedram
    & Beerel, "HIRE-SNN: Harnessing the Inherent Robustness of Energy-Efficient Deep Spiking Neural
    Networks by Training with Crafted Input Noise", 2021, train on such inputs, too, spread over the
    window). Weights and thresholds are trained. The epoch is chosen by the accuracy on validation
    data that are attacked in the same way. An epoch takes about 1 + `steps` times as long as that
    of `diet`. `snnc attack` measures what it gives.

    Attributes:
        eps: largest change of a value of the input, in its units.
        steps: gradient steps for every batch.
        low, high: the least and the largest value of an input.
        leak: of all neurons; 1 is no leak.
        percentile: of a layer's currents, taken as its threshold.
        scale: factor of the thresholds.
    """

    name: ClassVar[str] = "robust"
    dropout: float = 0.0
    eps: float = Pgd.eps
    steps: int = Pgd.steps
    low: float = Pgd.low
    high: float = Pgd.high
    leak: float = 1.0
    percentile: float = 99.7
    scale: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        Pgd(eps=self.eps, steps=self.steps, low=self.low, high=self.high)

    def pipeline(self) -> str:
        balance: dict[str, object] = {"percentile": self.percentile, "scale": self.scale}
        neurons = {} if self.leak == 1 else {"leak": self.leak}
        attack = spec("pgd", eps=self.eps, steps=self.steps, low=self.low, high=self.high)
        learn = self.trained("learn", leak=False, adversarial=attack)
        return ",".join([*self.converted(balance, **neurons), learn, *self.quantized()])
