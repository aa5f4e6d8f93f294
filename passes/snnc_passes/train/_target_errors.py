"""Weights with the errors of the target's cells, new in every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from snnc.training import SpikingNetwork
from snnc.training.parameters import roles
from snnc.transform import TargetInfo
from snnc_passes._largest_weight import largest_weight

QUANTIZE_BITS = 8
"""Most bits to which `quantize` rounds."""


class TargetErrors:
    """Adds to all weights what a chip of the target would read in place of them.

    A weight is taken in units of the scale that `quantize` would give its output channel, with the
    bits of the target's weights, at most 8. The error is that of one chip and one read
    (`TargetInfo.read_weights`) without the rounding of `quantize`; its seed comes from torch's
    generator.
    """

    def __init__(self, network: SpikingNetwork, target: TargetInfo) -> None:
        self._target = target
        bits = min(int(target.limits.get("weight_bits", QUANTIZE_BITS)), QUANTIZE_BITS)
        self._largest = largest_weight(bits, target)
        names = (name for name, fields in roles(network.source).items() if "weight" in fields)
        self._weights: list[nn.Parameter] = [network.parameter(name) for name in names]

    @contextmanager
    def added(self) -> Iterator[None]:
        """Inside, the weights have errors; afterwards, also if it fails, they are as before."""
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        kept = [weight.detach().clone() for weight in self._weights]
        try:
            with torch.no_grad():
                for weight in self._weights:
                    weight += self._error(weight, rng)
            yield
        finally:
            with torch.no_grad():
                for weight, before in zip(self._weights, kept, strict=True):
                    weight.copy_(before)

    def _error(self, weight: Tensor, rng: np.random.Generator) -> Tensor:
        values = weight.detach().cpu().to(torch.float64).flatten(1).numpy()
        scale = np.abs(values).max(1, keepdims=True) / self._largest
        scale = np.where(scale > 0, scale, 1.0)
        integers = np.rint(values / scale).astype(np.int64)
        read = self._target.read_weights(integers.T, rng).T
        error = torch.from_numpy((read - integers) * scale).reshape(weight.shape)
        return error.to(weight)
