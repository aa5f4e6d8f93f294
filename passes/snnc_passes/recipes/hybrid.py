"""`hybrid`: conversion, then a few epochs of spike-timing dependent backpropagation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from snnc_passes._input_code import AnyInputCode, PoissonInput
from snnc_passes.recipes._training import TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class Hybrid(TrainingRecipe):
    """Poisson input, thresholds from the largest current, then train the weights by STDB.

    Rathi et al., "Enabling Deep Spiking Neural Networks with Hybrid Conversion and Spike Timing
    Dependent Backpropagation", 2020. Neurons fire on the potential of the step before, so
    every population adds a step of latency: T of 25 to 250. Thresholds and leak are not trained.
    Needs training data; the epoch is chosen on validation data.

    Attributes:
        scale: factor of the thresholds; smaller for fewer steps.
        leak: of all neurons; 1 is no leak.
        surrogate: the gradient of a spike; use "linear" if "stdb" is unstable.
        weight_decay: of the optimizer.
    """

    name: ClassVar[str] = "hybrid"
    encode: AnyInputCode = field(default_factory=PoissonInput)
    dropout: float = 0.3
    scale: float = 0.7
    leak: float = 1.0
    surrogate: Literal["stdb", "linear"] = "stdb"
    weight_decay: float = 5e-4

    def pipeline(self) -> str:
        learn = self.trained(
            "learn",
            threshold=False,
            leak=False,
            surrogate=self.surrogate,
            weight_decay=self.weight_decay,
        )
        balance: dict[str, object] = {"statistic": "max", "scale": self.scale}
        converted = self.converted(balance, leak=self.leak, order="fire-integrate")
        return ",".join([*converted, learn, *self.quantized()])
