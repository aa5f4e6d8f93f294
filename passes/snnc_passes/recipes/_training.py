"""The common base of recipes that train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snnc.transform import Recipe


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Recipe):
    """Convert with thresholds from currents, then train; a base class, not a recipe.

    Attributes:
        epochs: of training; per stage if there are several.
        lr: initial learning rate; divided by 5 at 60, 80 and 90 % of the epochs.
        batch: samples per training step.
        dropout: probability that a neuron is silenced in training.
        augment: random changes of training images.
        precision: floating-point type in training.
        calibration_steps: time steps of the run that measures currents for thresholds.
        maxpool: "refuse" a network with max pools, or replace them by "average" pools.
        bits: width of integer weights, 2..8; none keeps real values.
    """

    epochs: int = 10
    lr: float = 1e-4
    batch: int = 64
    dropout: float = 0.2
    augment: Literal["none", "flip", "crop-flip"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    calibration_steps: int = 100
    maxpool: Literal["refuse", "average"] = "refuse"
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 2 <= self.bits <= 8:
            raise ValueError(f"bits must be 2 to 8, or none, not {self.bits}")
        if self.maxpool not in ("refuse", "average"):
            raise ValueError(f"maxpool must be refuse or average, not {self.maxpool}")

    def converted(self, neurons: str, balance: dict[str, object]) -> list[str]:
        """The passes up to a spiking network whose layers have one threshold each."""
        given = {"source": "current", **balance, "granularity": "layer"}
        return [
            *(["replace-maxpool"] if self.maxpool == "average" else []),
            "fold-batchnorm",
            "fold-normalization",
            "lower-avgpool",
            neurons,
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
        return [] if self.bits is None else [spec("quantize", bits=self.bits)]


def spec(name: str, **options: object) -> str:
    """A pass with options as text, e.g. `learn{epochs=3 leak=false}`."""
    parts = (f"{option.replace('_', '-')}={_word(value)}" for option, value in options.items())
    return f"{name}{{{' '.join(parts)}}}" if options else name


def _word(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
