"""The integers of one group of a layer, from the data that reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from snnc_passes.calibrate._layer_products import LayerProducts
from snnc_passes.calibrate._weight_correction import LeastSquares, Part
from snnc_passes.quantize._sequential_rounding import rounded_together

ROWS_PER_WEIGHT = 4
"""Output positions needed per weight of an output to correct its real weights first."""
RIDGE = 1.0
"""Penalty on that correction, relative to the mean squared input. Smaller ones learn the samples:
at 0.01 networks of 8 bits lost more by it than by their rounding."""


@dataclass(frozen=True)
class RoundedGroup:
    """A linear layer, a convolution, or one group of it.

    Attributes:
        layer: the products of its inputs.
        parts: its samples.
        upper: see `LeastSquares.solve`.
        biased: whether a bias makes up for the mean of the error.
    """

    layer: LayerProducts
    parts: Sequence[Part]
    upper: Tensor | None
    biased: bool

    def integers(self, weight: Tensor, step: Tensor, kept: Tensor, largest: int) -> Tensor:
        """(C, K) integers q, in float64, such that q * step stands for the weights.

        First the real weights are corrected for the errors of the inputs, then rounded together.

        Args:
            weight: real, (C, K), in float64.
            step: (C, 1) what an integer of 1 stands for.
            kept: (C, K) of bool; the others become 0.
            largest: the largest magnitude of an integer.
        """
        rows = sum(part.sums[:, 0].numel() for part in self.parts)
        if rows >= ROWS_PER_WEIGHT * weight.shape[1]:
            solver = LeastSquares(RIDGE, rounds=3)
            some = None if bool(kept.all()) else kept
            weight = weight + solver.solve(self.layer, self.parts, self.upper, some)[0]
        return rounded_together(weight / step, self._gram(), largest, kept)

    def _gram(self) -> Tensor:
        """(K, K) mean products of the inputs; of what varies of them where a bias adds the mean."""
        gram = self.layer.gram((part.x, 1.0) for part in self.parts)
        gram = gram / gram[-1, -1]
        mean = gram[:-1, -1]
        return gram[:-1, :-1] - mean[:, None] * mean if self.biased else gram[:-1, :-1]


def of_group(parts: Sequence[Part], groups: int, group: int) -> Sequence[Part]:
    """Of each part the channels of one group of a convolution."""
    if groups == 1:
        return parts
    return [
        Part(*(values.tensor_split(groups, 1)[group] for values in (p.x, p.sums, p.wanted)))
        for p in parts
    ]
