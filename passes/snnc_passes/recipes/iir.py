"""`iir`: to one time step by iterative initialisation and retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc_passes.recipes._training import TrainingRecipe, spec


@dataclass(frozen=True, kw_only=True)
class Iir(TrainingRecipe):
    """Train at T = start, start - 1, … down to the window, each from the network before.

    Chowdhury, Rathi & Roy, "One Timestep is All You Need: Training Spiking Neural Networks with
    Ultra Low Latency", 2021. With `-T 1` the result is a feed-forward network of binary
    activations. Needs training data; validation data choose the epoch of every stage.

    Attributes:
        start: the T to begin with.
        percentile: of a layer's currents, where its threshold is put.
        weights, threshold, leak: what learns.
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
        converted = self.converted("activations-to-neurons", {"percentile": self.percentile})
        return ",".join([*converted, reduce, spec("drop-state"), *self.quantized()])
