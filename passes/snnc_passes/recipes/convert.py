"""`convert`: the default recipe, conversion without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from snnc.transform import Recipe


@dataclass(frozen=True, kw_only=True)
class Convert(Recipe):
    """Fold, replace ReLUs by neurons, balance thresholds on the ANN's activations, fold again.

    Attributes:
        bits: width of integer weights; none keeps real values.
        maxpool: what becomes of max-pools: "refuse" or "average".
        percentile: of the activations, where a threshold is put.
    """

    name: ClassVar[str] = "convert"
    bits: int | None = None
    maxpool: Literal["refuse", "average"] = "refuse"
    percentile: float = 99.9

    def __post_init__(self) -> None:
        if self.bits is not None and not 2 <= self.bits <= 8:
            raise ValueError(f"bits must be 2 to 8, or none, not {self.bits}")
        if self.maxpool not in ("refuse", "average"):
            raise ValueError(f"maxpool must be refuse or average, not {self.maxpool}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile must be in (0, 100], not {self.percentile}")

    def pipeline(self) -> str:
        balance = (
            "threshold-balance{source=ann statistic=percentile "
            f"percentile={self.percentile:g} granularity=channel}}"
        )
        passes = [
            *(["replace-maxpool"] if self.maxpool == "average" else []),
            "fold-batchnorm",
            "fold-normalization",
            "lower-avgpool",
            "activations-to-neurons",
            balance,
            "initialize-potential{fraction=0.5}",
            "fold-scale",
            *([] if self.bits is None else [f"quantize{{bits={self.bits}}}"]),
        ]
        return ",".join(passes)
