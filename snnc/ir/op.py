"""Base class of all operations: frozen data with a name, its stages, and shape inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from snnc.ir.types import Ref, Signal, Stage, TensorType

Params = Mapping[str, NDArray[np.generic]]
Types = Sequence[TensorType]
BOTH = frozenset({Stage.ANN, Stage.SNN})
EVENTS = frozenset({Signal.SPIKE, Signal.COUNT})


class OpError(ValueError):
    """An op does not accept its inputs or parameters."""


@dataclass(frozen=True, kw_only=True)
class Op:
    """Base of all operations.

    Class attributes: `mnemonic`: name in text and JSON; `stages`: where it is legal; `arity`:
    number of inputs (None: two or more); `makes_events`: a run records its events; `keeps_sign`:
    its result is non-negative if its inputs are; `before_encode`: legal between the input of an
    `snn` graph and its encoder.
    """

    mnemonic: ClassVar[str]
    stages: ClassVar[frozenset[Stage]] = BOTH
    arity: ClassVar[int | None] = 1
    makes_events: ClassVar[bool] = False
    keeps_sign: ClassVar[bool] = False
    before_encode: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Convert fields to plain data: numpy numbers to Python numbers, lists to tuples."""
        for f in fields(self):
            object.__setattr__(self, f.name, _plain(getattr(self, f.name)))

    def refs(self) -> dict[str, Ref]:
        """The fields of this op that refer to an array, by field name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Ref)}

    def stated(self) -> dict[str, object]:
        """The fields that files and fingerprints state, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def infer(self, inputs: Types, params: Params) -> TensorType:
        """Type of the result. Raises `OpError` for invalid inputs or parameters."""
        raise NotImplementedError(type(self).__name__)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return cast(object, value.item())
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in cast(Sequence[object], value))
    return value


def require(condition: bool, reason: str) -> None:
    """Raise `OpError(reason)` unless `condition` holds."""
    if not condition:
        raise OpError(reason)


def array_of(value: Ref | float, params: Params) -> NDArray[np.generic]:
    """The array behind a `Ref`, or a 0-d array of the number itself."""
    return params[value.name] if isinstance(value, Ref) else np.asarray(value)


def broadcast_to_sample(array: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Reshape a parameter, scalar, (C,) or of the full shape, to broadcast against `shape`.

    Raises `OpError` for any other shape.
    """
    if array.ndim == 0 or array.shape == shape:
        return array
    require(
        bool(shape) and array.shape == (shape[0],),
        f"a parameter of shape {array.shape} fits neither the channels nor the sample {shape}",
    )
    return array.reshape((shape[0],) + (1,) * (len(shape) - 1))


def check_sample_param(
    what: str, value: Ref | float | None, shape: tuple[int, ...], p: Params
) -> None:
    if value is None:
        return
    try:
        broadcast_to_sample(array_of(value, p), shape)
    except OpError as error:
        raise OpError(f"{what}: {error}") from None


def check_upper(upper: Ref | float | None, shape: tuple[int, ...], params: Params) -> None:
    """Raise `OpError` unless a bound is None, or a positive number or one per channel."""
    if upper is None:
        return
    array = np.asarray(array_of(upper, params), np.float64)
    require(array.shape in ((), shape[:1]), f"upper: {array.shape} is not one value per channel")
    require(bool(np.all(array > 0) and np.all(np.isfinite(array))), "an upper bound not above 0")


def linear_result(x: TensorType, shape: tuple[int, ...], param: NDArray[np.generic]) -> TensorType:
    """ANALOG stays ANALOG; events and currents become CURRENT, integer when the weights are."""
    if x.signal is Signal.ANALOG:
        return TensorType(shape, Signal.ANALOG)
    integer = np.issubdtype(param.dtype, np.integer)
    require(
        x.signal in EVENTS or integer == x.quantized,
        f"{'integer' if integer else 'real'} parameters on an input of type {x}",
    )
    dtype = "int32" if integer else "float32"
    return TensorType(shape, Signal.CURRENT, dtype=dtype, constant_in_time=x.constant_in_time)
