"""`few-steps`: an ANN of few levels, trained, that is the spiking network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from snnc.transform import Recipe
from snnc_passes.recipes._integers import Rounding, check_integers, to_integers
from snnc_passes.recipes._layers import layers
from snnc_passes.recipes._max_pooling import MaxPooling, check_max_pooling
from snnc_passes.recipes._training import spec


@dataclass(frozen=True, kw_only=True)
class FewSteps(Recipe):
    """Replace ReLUs by neurons that wait for their whole input, and train them with even spikes.

    Neurons that wait fire as often as their mean current says, so that the network computes what an
    ANN with T + 1 levels of activation does (Bu et al., "Optimal ANN-SNN Conversion for
    High-accuracy and Ultra-low-latency Spiking Neural Networks", 2022), exactly, and is trained as
    one, at the cost of the ANN. The price is latency: T steps for every layer in a row. It learns
    to agree with the ANN (no labels). At T=1 nothing waits. Needs training data; the epoch is
    chosen on validation data.

    Attributes:
        epochs, lr, batch, augment, mixup, temperature: of training, as of `learn`.
        start: train for this T first, then for start - 1, … down to the window, `epochs` each;
            none trains for the window alone.
        maxpool: as of `convert`.
        bits: width of integer weights, 2..8; none keeps real values.
        rounding: of integer weights: "nearest", or "data" for the least error on calibration data.
    """

    name: ClassVar[str] = "few-steps"
    epochs: int = 10
    lr: float = 1e-3
    batch: int = 32
    augment: Literal["none", "flip", "crop-flip"] = "none"
    mixup: float | None = 1.0
    temperature: float | None = 4.0
    start: int | None = None
    maxpool: MaxPooling = "count"
    bits: int | None = None
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        check_integers(self.bits, self.rounding)
        check_max_pooling(self.maxpool)

    def pipeline(self) -> str:
        neurons = {"maxpool": "refuse"} if self.maxpool == "refuse" else {}
        passes = [
            *layers(self.maxpool),
            spec("activations-to-neurons", wait="T-1", **neurons),
            spec("threshold-balance", source="ann", statistic="mse", granularity="channel"),
            spec("initialize-potential", fraction=0.5),
            "fold-scale",
            self._learn(),
            *to_integers(self.bits, self.rounding),
        ]
        return ",".join(passes)

    def _learn(self) -> str:
        options: dict[str, object] = {} if self.start is None else {"start": self.start}
        return spec(
            "learn" if self.start is None else "reduce-timesteps",
            **options,
            epochs=self.epochs,
            lr=self.lr,
            batch=self.batch,
            augment=self.augment,
            mixup=self.mixup,
            temperature=self.temperature,
            even_spikes=True,
            leak=False,
            v_init=True,
            loss="ann",
            schedule="cosine",
        )
