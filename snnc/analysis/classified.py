"""Outputs of a batch, and the class each of them stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.deviation import Outputs
from snnc.output_function import OutputFunction


@dataclass(frozen=True)
class Classified:
    """Outputs of a batch as the model gives them, (N, …), and the class of each sample, (N,)."""

    values: Outputs
    classes: NDArray[np.intp]

    @classmethod
    def read(cls, readout: Outputs, function: OutputFunction | None) -> Classified:
        """Of what a program reads out; classes are exact also where the function saturates."""
        values = readout if function is None else function(readout)
        return cls(values, _classes(readout, 0.0))

    @classmethod
    def given(cls, values: Outputs, function: OutputFunction | None) -> Classified:
        """Of outputs of the model itself, with its function."""
        return cls(values, _classes(values, 0.0 if function is None else function.at_zero))


def _classes(output: Outputs, boundary: float) -> NDArray[np.intp]:
    """The largest output of each sample; of a single output, 1 where it is above `boundary`."""
    values = output.reshape(len(output), -1)
    return (
        values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > boundary).astype(np.intp)
    )
