"""How the analog input becomes events: the choices of `activations-to-neurons{encode=…}`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from snnc.encoding import direct
from snnc.ir import Encode, EncodeDirect, EncodeLatency, EncodePoisson
from snnc.transform import Batches
from snnc_passes._encoder_range import ranged
from snnc_passes._samples import chunks


@dataclass(frozen=True, kw_only=True)
class InputCode:
    """Base of the codes. The input is first rounded to integers q (docs/semantics.md, S21).

    Attributes:
        bits: of q, 1 to 16; few of them quantise the input before it is encoded.
        signed: whether negative inputs give negative events; false makes them silent; none
            decides by whether the calibration data hold any.
    """

    name: ClassVar[str]
    bits: int | None
    signed: bool | None = None

    def __post_init__(self) -> None:
        if self.bits is not None and not 1 <= self.bits <= 16:
            raise ValueError(f"bits must be 1 to 16, not {self.bits}")
        if self.signed and self.bits == 1:
            raise ValueError("bits must be 2 or more where signed=true: one is the sign")

    def __str__(self) -> str:
        """The text of the option, which reads back."""
        given = [
            f"{field.name}={str(value).lower()}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{self.name}{{{' '.join(given)}}}" if given else self.name

    @property
    def needs_data(self) -> bool:
        """Whether the range of the input has to be measured."""
        return True

    def encoder(self, batches: Batches) -> Encode:
        """The op, with the range of the data. Raises `DataError` if there are none."""
        raise NotImplementedError(type(self).__name__)

    def value(self, op: Encode, timesteps: int, batches: Batches) -> float:
        """What one event of `op` stands for, in the units of the input."""
        assert op.scale is not None
        return op.scale * op.hi


@dataclass(frozen=True, kw_only=True)
class DirectInput(InputCode):
    """The input itself at every step.

    Attributes:
        bits: none leaves real values; else the input is rounded to integers of that width.
    """

    name: ClassVar[str] = "direct"
    bits: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits is None and self.signed is not None:
            raise ValueError("signed needs bits: real values keep their sign")

    @property
    def needs_data(self) -> bool:
        return self.bits is not None

    def encoder(self, batches: Batches) -> Encode:
        op = EncodeDirect()
        return op if self.bits is None else ranged(op, batches, self.bits, self.signed)

    def value(self, op: Encode, timesteps: int, batches: Batches) -> float:
        return 1.0 if op.scale is None else op.scale


@dataclass(frozen=True, kw_only=True)
class PoissonInput(InputCode):
    """Spikes at random, with probability rate * |input| / the largest |input|, at every step.

    Attributes:
        rate: probability of a spike of the largest input, in (0, 1]. A spike stands for as much
            more as there are fewer.
    """

    name: ClassVar[str] = "poisson"
    bits: int = 8
    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be in (0, 1], not {self.rate}")

    def encoder(self, batches: Batches) -> Encode:
        return ranged(EncodePoisson(), batches, self.bits, self.signed, self.rate)


@dataclass(frozen=True, kw_only=True)
class LatencyInput(InputCode):
    """One spike in the window, the earlier the larger the input; none for zero.

    Neurons that count see only that an input fired. A spike stands for the window times the mean
    of the inputs that fire, which is the best constant; learning finds what the time tells.
    """

    name: ClassVar[str] = "latency"
    bits: int = 8

    def encoder(self, batches: Batches) -> Encode:
        return ranged(EncodeLatency(), batches, self.bits, self.signed)

    def value(self, op: Encode, timesteps: int, batches: Batches) -> float:
        assert op.scale is not None
        total = fired = 0
        for x in chunks(batches):
            q = np.abs(direct(x, op.scale, op.lo, op.hi))
            total, fired = total + int(q.sum(dtype=np.int64)), fired + int(np.count_nonzero(q))
        return timesteps * op.scale * (total / fired if fired else 1.0)


AnyInputCode = DirectInput | PoissonInput | LatencyInput
