"""`iir`: iterative initialisation and retraining, down to one time step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc_passes.recipes._training import TrainingRecipe, spec


@dataclass(frozen=True, kw_only=True)
class Iir(TrainingRecipe):
    """Train at T = start, start - 1, … down to the window, each starting from the previous network.

    Chowdhury, Rathi & Roy, "One Timestep is All You Need: Training Spiking Neural Networks with
    Ultra Low Latency", 2021. With `-T 1` the result is a feed-forward network of binary
    activations. Needs training data; the epoch of each stage is chosen on validation data.

    Attributes:
        start: the first T.
        percentile: of a layer's currents, taken as its threshold.
        weights, threshold, leak: whether these are trained.
    """

    name: ClassVar[str] = "iir"
    start: int = 5
    percentile: float = 90.0
    weights: bool = True
    threshold: bool = True
    leak: bool = True

    def pipeline(self) -> str:
        reduce = self.trained(
            "reduce-timesteps",
            weights=self.weights,
            threshold=self.threshold,
            leak=self.leak,
            start=self.start,
        )
        converted = self.converted({"percentile": self.percentile})
        return ",".join([*converted, reduce, spec("drop-state"), *self.quantized()])
