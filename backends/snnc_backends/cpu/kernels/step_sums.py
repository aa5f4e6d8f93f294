"""Steps of a window whose inputs a layer sums before it multiplies them."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code


@dataclass(frozen=True)
class StepSums:
    """A block of steps, first .. end - 1, whose inputs are summed `each` at a time."""

    first: Value
    end: Value
    each: Value

    def more(self, code: Code) -> Value:
        """Whether steps of the window follow."""
        return code.builder.icmp_signed("<", self.end, code.timesteps)

    def count(self, code: Code) -> Value:
        """The number of sums; the last may be of fewer steps."""
        b = code.builder
        rounded = b.add(b.sub(self.end, self.first), b.sub(self.each, code.int(1)))
        return b.udiv(rounded, self.each)

    def sum(self, code: Code, s: Value) -> tuple[Value, Value]:
        """The first step of sum s, and the one behind its last."""
        begin = code.builder.add(self.first, code.builder.mul(s, self.each))
        return begin, code.minimum(code.builder.add(begin, self.each), self.end)
