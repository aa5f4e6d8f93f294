"""`diet`: direct input, weights, thresholds and leaks learnt together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc_passes.recipes._training import TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class Diet(TrainingRecipe):
    """Thresholds from a percentile of the currents, then train weights, thresholds and leaks.

    Rathi & Roy, "DIET-SNN: Direct Input Encoding With Leakage and Threshold Optimization in Deep
    Spiking Neural Networks", 2020. T of 5 to 20. Needs training data; the epoch is chosen on
    validation data.

    Attributes:
        percentile: of a layer's currents, taken as its threshold.
        scale: factor of the thresholds.
        weights, threshold, leak: whether these are trained.
    """

    name: ClassVar[str] = "diet"
    percentile: float = 99.7
    scale: float = 0.3
    weights: bool = True
    threshold: bool = True
    leak: bool = True

    def pipeline(self) -> str:
        balance: dict[str, object] = {"percentile": self.percentile, "scale": self.scale}
        learn = self.trained(
            "learn", weights=self.weights, threshold=self.threshold, leak=self.leak
        )
        passes = [*self.converted(balance), learn, *self.quantized()]
        return ",".join(passes)
