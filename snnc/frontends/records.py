"""Reads a file that torch saved without building anything it names.

Every class or function the file names is replaced by a class of records, which keeps the arguments
and the state that the file gives and does nothing. What torch builds by itself (containers,
tensors, parameters) is real, and may carry attributes of its own that hide its methods: it is read
by `entries` and `plain_tensor`, which ask the types, never the objects.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeGuard, cast

import torch
from torch import Tensor, nn

LARGEST_PICKLE = 1 << 22
"""Bytes of a pickle, in which tensors are names only."""

Stand = tuple[Callable[..., Any], str]
"""What is called in place of a name in the file, and the name."""


class Record:
    """One object of the file: the name of its class, and its state. It has no behaviour."""

    __slots__ = ("state",)
    name: ClassVar[str]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        """Arguments are dropped: modules have none, and other objects are not built."""
        made = object.__new__(cls)
        object.__setattr__(made, "state", None)
        return made

    def __init__(self, *args: Any) -> None:
        """Nothing to do: `__new__` has done it."""

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it is in the file."""
        object.__setattr__(self, "state", state)


def record_class(name: str) -> type[Record]:
    """The class of the records of what the file calls `name`."""
    return type("Record", (Record,), {"__slots__": (), "name": name})


class _Entries:
    """Stands for a class that is a dict: an OrderedDict, whatever the arguments."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict[Any, Any]()


def read_records(path: Path | str) -> Any:
    """What the file holds: containers, tensors, and records of everything else.

    Raises:
        UnpicklingError: torch does not load it without running code.
        Exception: whatever torch raises for a damaged file.
    """
    _require_small(path)
    names = named_classes(path)
    try:
        return _load(path, [(record_class(name), name) for name in names])
    except pickle.UnpicklingError:
        dicts = [name for name in names if not name.startswith(("numpy.", "torch."))]
        if not dicts:
            raise
    stands: list[Stand] = [
        (type("_Entries", (_Entries,), {}) if name in dicts else record_class(name), name)
        for name in names
    ]
    return _load(path, stands)


def _load(path: Path | str, stands: Sequence[Stand]) -> Any:
    with warnings.catch_warnings(), _only(stands):
        warnings.simplefilter("ignore")  # of formats it then refuses
        return torch.load(path, map_location="cpu", weights_only=True)


def _require_small(path: Path | str) -> None:
    """Raise `ValueError` for a zip whose pickle is too long to be read, or that expands.

    torch reads pickles opcode by opcode, and compressed members, which it never writes.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    pickled = max((m.file_size for m in members if m.filename.endswith("data.pkl")), default=0)
    if pickled > LARGEST_PICKLE:
        raise ValueError(f"its pickle has {pickled} bytes; at most {LARGEST_PICKLE} are read")
    if sum(m.file_size for m in members) > Path(path).stat().st_size:
        raise ValueError("its members are larger than the file")


def named_classes(path: Path | str) -> list[str]:
    """Names in the file that are not plain tensors or containers; none is imported or run."""
    try:
        _require_small(path)
        with _only(()):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # whatever torch and zipfile raise for a damaged file; `read_records` says it
        return []


@contextlib.contextmanager
def _only(stands: Sequence[Stand]) -> Iterator[None]:
    """torch builds these and nothing else, also where the process allowed it more before."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(cast("list[Any]", list(stands)))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    """Whether it is one of the mappings torch builds."""
    return type(value) in (dict, OrderedDict, Counter)


def entries(mapping: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The items of a mapping of the file, whatever attributes it carries."""
    return list(dict.items(mapping))


def plain_tensor(value: Any) -> Tensor | None:
    """A tensor of the file without the attributes it carries; None for what is no plain one."""
    if type(value) not in (Tensor, nn.Parameter):
        return None
    plain = Tensor.detach(value)
    usable = plain.layout == torch.strided and not plain.is_quantized and not plain.is_nested
    return plain if usable and not plain.is_meta else None


def referred_name(value: Any) -> str | None:
    """The name of a class or function that the file holds itself, not an object of it."""
    return value.name if isinstance(value, type) and issubclass(value, Record) else None


def kind_of(value: Any) -> str:
    """What messages call a value of the file."""
    referred = referred_name(value)
    if referred is not None:
        return referred
    return type(value).name if isinstance(value, Record) else type(value).__name__


def is_module(value: Any) -> TypeGuard[Record]:
    """Whether it is the record of a torch module: by its state, as its class is not known."""
    if not isinstance(value, Record) or not is_mapping(value.state):
        return False
    state = dict(entries(value.state))
    return "_modules" in state and "_parameters" in state
