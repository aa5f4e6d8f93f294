"""The base of kernels: frozen parameters, the buffers they need, the LLVM IR they generate.

A kernel stands for one function `void (inputs…, output, arrays…, scratch, i64 T, i64 part, i64
parts)`. Tensors are laid out (T, *spatial, C), or (1, *spatial, C) when they are constant in time.
Whatever its parameters, a kernel reads and writes only the buffers that `inputs`, `output`,
`arrays` and `scratch` state, so a plan from an untrusted file is safe to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.number_types import DTYPES, LARGEST

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

SHORTEST = 1024
"""A potential or count that fits few bits for fewer steps than this is stored in more."""
ASSUMED = 0.12
"""Spikes per neuron and step of a population that was not profiled."""
NS_PER_ELEMENT = 0.06
"""Time of an element that a kernel of simple loops reads or writes (Zen 4, one core)."""


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


@dataclass(frozen=True)
class Work:
    """What the time of a kernel depends on, beside its fields.

    Attributes:
        rates: events per element and step of each input; 1 for what is no tensor of events.
        timesteps: the window.
        tiles: on a processor with tiles.
    """

    rates: tuple[float, ...]
    timesteps: int
    tiles: bool = False

    def steps(self, constant: bool) -> int:
        """The steps of a tensor."""
        return 1 if constant else self.timesteps


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Base of all kernels; the fields of a subclass are its parameters, stored in `plan.json`.

    Class attributes:
        name: in a plan.
        shares: its code does the part of the work that it is told (`Code.part` of `Code.parts`), so
            that several threads do it together; the code of others does all of it.
        tiled: it is for processors with tiles, and in a plan beside a kernel for all processors.
    """

    name: ClassVar[str]
    shares: ClassVar[bool] = False
    tiled: ClassVar[bool] = False

    @classmethod
    def match(cls, site: Site) -> Match | None:
        """How it computes the node of `site`, and nodes before it; None if it cannot."""
        raise NotImplementedError

    def cost(self, work: Work) -> float:
        """Expected time of one sample in ns."""
        ports = (*self.inputs(), self.output())
        return sum(port.size * work.steps(port.constant) for port in ports) * NS_PER_ELEMENT

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A kernel from its parameters, less those of older plans that have a default.

        Raises `ValueError` for a wrong field, type or range.
        """
        types = {f.name: str(f.type) for f in fields(cls)}
        needed = {f.name for f in fields(cls) if f.default is MISSING}
        if not needed <= set(data) <= set(types):
            raise ValueError(f"{cls.name}: wrong set of fields {sorted(data)}")
        return cls(**{name: _field(name, types[name], value) for name, value in data.items()})

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


@dataclass(frozen=True)
class Match:
    """A kernel that computes a node, and perhaps nodes before it, which nobody else reads.

    Attributes:
        kernel: with its fields.
        arrays: its constants, by name, or what makes them.
        inputs: the nodes that it reads.
        absorbed: the nodes it computes on the way, whose results are nowhere.
        longest: the longest window in which none of its integers can overflow.
    """

    kernel: Kernel
    arrays: Mapping[str, NDArray[Any] | Callable[[], NDArray[Any]]]
    inputs: tuple[str, ...]
    absorbed: tuple[str, ...] = ()
    longest: int = LARGEST

    def array(self, name: str) -> NDArray[Any]:
        """A constant."""
        found = self.arrays[name]
        return found() if callable(found) else found


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
