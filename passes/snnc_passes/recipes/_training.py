"""The common base of recipes that train."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from snnc.transform import Recipe
from snnc_passes._input_code import AnyInputCode, DirectInput
from snnc_passes.recipes._integers import Rounding, check_integers, to_integers
from snnc_passes.recipes._layers import layers
from snnc_passes.recipes._max_pooling import MaxPooling, check_max_pooling


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Recipe):
    """Convert with thresholds from currents, then train; a base class, not a recipe.

    Attributes:
        encode: how the input becomes events, as of `activations-to-neurons`.
        epochs: of training; per stage if there are several.
        lr: initial learning rate; divided by 5 at 60, 80 and 90 % of the epochs.
        batch: samples per training step.
        dropout: probability that a neuron is silenced in training.
        augment: random changes of training images.
        precision: floating-point type in training.
        calibration_steps: time steps of the run that measures currents for thresholds.
        maxpool: "count" takes the maximum of spike counts, as the ANN does of activations;
            "average" replaces max pools by average pools; "refuse" refuses them.
        bits: width of integer weights, 2..8; none keeps real values.
        rounding: of integer weights: "nearest", or "data" for the least error on calibration data.
    """

    encode: AnyInputCode = field(default_factory=DirectInput)
    epochs: int = 10
    lr: float = 1e-4
    batch: int = 64
    dropout: float = 0.2
    augment: Literal["none", "flip", "crop-flip"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    calibration_steps: int = 100
    maxpool: MaxPooling = "count"
    bits: int | None = None
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        check_integers(self.bits, self.rounding)
        check_max_pooling(self.maxpool)

    def converted(self, balance: dict[str, object], **neurons: object) -> list[str]:
        """The passes up to a spiking network whose layers have one threshold each.

        `neurons` are options of `activations-to-neurons`.
        """
        if self.encode != DirectInput():
            neurons = {"encode": self.encode, **neurons}
        if self.maxpool == "refuse":
            neurons["maxpool"] = "refuse"
        given = {"source": "current", **balance, "granularity": "layer"}
        return [
            *layers(self.maxpool),
            spec("activations-to-neurons", **neurons),
            spec("threshold-balance", timesteps=self.calibration_steps, **given),
            "fold-scale",
        ]

    def trained(self, name: str, **options: object) -> str:
        """The text of a training pass `name`, with the options of this recipe."""
        return spec(
            name,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            dropout=self.dropout,
            augment=self.augment,
            precision=self.precision,
            **options,
        )

    def quantized(self) -> list[str]:
        """`quantize` if `bits` is set."""
        return to_integers(self.bits, self.rounding)


def spec(name: str, **options: object) -> str:
    """A pass with options as text, e.g. `learn{epochs=3 leak=false}`."""
    parts = (f"{option.replace('_', '-')}={_word(value)}" for option, value in options.items())
    return f"{name}{{{' '.join(parts)}}}" if options else name


def _word(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
