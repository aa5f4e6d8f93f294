"""The base of kernels: frozen parameters, the buffers they need, the LLVM IR they generate.

A kernel stands for one function `void (inputs…, output, arrays…, scratch, i64 T)`. Tensors are laid
out (T, *spatial, C), or (1, *spatial, C) when they are constant in time. Whatever its parameters,
a kernel reads and writes only the buffers that `inputs`, `output`, `arrays` and `scratch` state, so
a plan from an untrusted file is safe to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from snnc_backends.cpu.kernels.code import Code

DTYPES = {
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
LARGEST = 2**31 - 1
"""The largest extent, and the largest number of elements, in a plan."""


@dataclass(frozen=True)
class Port:
    """A tensor of a kernel: type, elements per step, whether it is constant in time."""

    dtype: str
    size: int
    constant: bool


@dataclass(frozen=True)
class Table:
    """An array of constants that a kernel reads: type and number of elements."""

    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        """Its size in `weights.bin`, in bytes."""
        return self.count * DTYPES[self.dtype].itemsize


Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Base of all kernels; the fields of a subclass are its parameters, stored in `plan.json`."""

    name: ClassVar[str]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A kernel from its parameters. Raises `ValueError` for a wrong field, type or range."""
        if set(data) != {f.name for f in fields(cls)}:
            raise ValueError(f"{cls.name}: wrong set of fields {sorted(data)}")
        return cls(**{f.name: _field(f.name, str(f.type), data[f.name]) for f in fields(cls)})

    def inputs(self) -> tuple[Port, ...]:
        """The tensors it reads."""
        raise NotImplementedError

    def output(self) -> Port:
        """The tensor it writes."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Table]:
        """The constants it reads, in the order of its arguments."""
        return {}

    def scratch(self) -> int:
        """Bytes of working memory it needs."""
        return 0

    def check(self, arrays: Arrays) -> None:
        """Raise `ValueError` if a table of positions points outside a tensor."""

    def emit(self, code: Code) -> None:
        """Generate the body of the function."""
        raise NotImplementedError


def _field(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple["):
        if not isinstance(value, list | tuple) or len(value) > 65536:
            raise ValueError(f"{name} is not a list")
        inner = kind.removeprefix("tuple[").split(",")[0]
        return tuple(_field(name, inner, item) for item in value)
    expected = {"int": int, "bool": bool, "str": str}[kind]
    if type(value) is not expected:
        raise ValueError(f"{name} is {value!r:.40}, not of type {kind}")
    if kind == "int" and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name}={value} is out of range")
    return value


def require(condition: bool, reason: str) -> None:
    """Raise `ValueError(reason)` unless `condition` holds."""
    if not condition:
        raise ValueError(reason)


def one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is among `allowed`."""
    require(value in allowed, f"{what} {value!r:.40} is none of {', '.join(allowed)}")


def positive(**values: int) -> None:
    """Raise `ValueError` unless every value is above zero."""
    for name, value in values.items():
        require(value > 0, f"{name}={value} is not positive")
