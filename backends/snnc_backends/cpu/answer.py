"""Where the function `sample` writes what a sample gives."""

from __future__ import annotations

import ctypes

import numpy as np

from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.sample_code import FACTS


class Answer:
    """The results of one sample, at fixed addresses.

    Attributes:
        sums: those of the readout, (1, classes) int64, or the bits of float64 of real numbers.
        output: (1, classes) float32.
        facts: elements clipped, elements that are NaN; added up from sample to sample.
        addresses: of the three, in this order.
    """

    def __init__(self, plan: Plan) -> None:
        shape = (1, *plan.tensors[plan.outputs[0].source].shape)
        self.sums, self.output = np.empty(shape, np.int64), np.empty(shape, np.float32)
        self.facts = (ctypes.c_int64 * FACTS)()
        facts = ctypes.addressof(self.facts)
        self.addresses = self.sums.ctypes.data, self.output.ctypes.data, facts
