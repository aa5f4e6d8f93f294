"""The passes of every recipe that make an ANN of layers and activations."""

from __future__ import annotations

from snnc_passes.recipes._max_pooling import MaxPooling


def layers(maxpool: MaxPooling) -> list[str]:
    """The passes before `activations-to-neurons`; with "refuse" that pass refuses max pools."""
    return [
        *(["replace-maxpool"] if maxpool == "average" else []),
        "fold-batchnorm",
        "fold-normalization",
        "lower-avgpool",
        *(["lower-maxpool"] if maxpool == "count" else []),
        "split-sums",
        "linear-bottlenecks",
    ]
