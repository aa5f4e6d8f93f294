"""Builds a torch module afresh from the records of a file.

Nothing of the file becomes part of the module by itself. A layer of torch is made by its
constructor; a class of the user's starts from `nn.Module.__init__`. Both are then given the
tensors, the children and the plain values of the file, none of which may hide anything of a class.
"""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from snnc.errors import ModelError, UsageError, one_line
from snnc.frontends.module_state import (
    AGAIN,
    BOOKKEEPING,
    SEQUENCES,
    children_of,
    members,
    refuse_hooks,
    state_of,
)
from snnc.frontends.records import Record, entries, is_module, kind_of, plain_tensor, referred_name
from snnc.frontends.weights import COUNTED, COUNTER

T = TypeVar("T")
DEEPEST = 50
"""Levels of modules within modules that are built."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SCALARS = (type(None), bool, int, float, complex, str, bytes, torch.Size, torch.dtype)
_CHANGED_WEIGHTS = ("_orig", "_mask", "_g", "_v", "_u")
_DEEP_ARGUMENTS = 3  # levels of tuples within tuples in an argument of a constructor
_ABSENT = object()


class _LeftOutError(Exception):
    """A value that is not built: says its kind."""


@dataclass
class Rebuilder:
    """Builds the modules of one file.

    Attributes:
        file: what messages call it.
        layers: torch's own layers, by their names in the file.
        allowed: what the user allows, by its name in the file.
        left_out: attributes that were not built, with what they are.
    """

    file: str
    layers: Mapping[str, Any]
    allowed: Mapping[str, Any]
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    _built: dict[int, Any] = field(default_factory=dict[int, Any])
    _begun: list[int] = field(default_factory=list[int])

    def module(self, record: Record, path: str = "") -> nn.Module:
        """The module of a record. Raises `ModelError`, `UsageError`."""
        if id(record) in self._built:
            return self._built[id(record)]
        where = f"{self.file}: {path or 'the module'}"
        if id(record) in self._begun:
            raise ModelError(f"{where} contains itself", hint=AGAIN)
        if len(self._begun) >= DEEPEST:
            raise ModelError(
                f"{self.file} holds modules nested more than {DEEPEST} deep", hint=AGAIN
            )
        self._begun.append(id(record))
        made = self._made(record, path, where)
        self._begun.pop()
        self._built[id(record)] = made
        return made

    def _made(self, record: Record, path: str, where: str) -> nn.Module:
        state = state_of(record, where)
        kind = self.layers.get(record.name, self.allowed.get(record.name))
        if not isinstance(kind, type) or not issubclass(kind, nn.Module):
            raise UsageError(f"--allow {record.name}: it is not a class of modules")
        refuse_hooks(state, where)
        if kind is nn.DataParallel:
            kind = nn.Sequential  # computes the same, and its child is called `module` as well
            if [name for name, _ in members(state, "_modules", where)] != ["module"]:
                raise ModelError(f"{where}, a DataParallel, holds no module", hint=AGAIN)
        if record.name in self.layers:
            return self._layer(kind, state, path, where)
        return self._own(kind, state, path, where)

    # -- layers of torch --------------------------------------------------------------------------

    def _layer(
        self, kind: type[nn.Module], state: dict[str, Any], path: str, where: str
    ) -> nn.Module:
        arguments = self._arguments(kind, state, where)
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = kind(**arguments)
        except Exception as error:  # torch raises all kinds for wrong arguments
            raise _damaged(where, kind, error) from error
        for part in ("_parameters", "_buffers"):
            self._fill(getattr(made, part), members(state, part, where), where, part)
        children = children_of(state, where)
        if children and kind not in _CONTAINERS:
            raise ModelError(
                f"{where}, a {kind.__name__}, has a child {children[0][0]}", hint=AGAIN
            )
        self._add_children(made, children, path, where)
        for name, value in state.items():
            if name not in arguments:
                self._layers_attribute(made, name, value, where)
        return made

    def _arguments(
        self, kind: type[nn.Module], state: dict[str, Any], where: str
    ) -> dict[str, Any]:
        """What the constructor takes, from the attributes of the same names."""
        found: dict[str, Any] = {}
        if kind in _CONTAINERS:
            return found
        for name, parameter in inspect.signature(kind).parameters.items():
            if name == "bias":
                found[name] = dict(members(state, "_parameters", where)).get("bias") is not None
            elif name in state and name not in ("device", "dtype"):
                found[name] = self._data(state[name], f"{where}: {name}")
            elif parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                raise ModelError(f"{where}, a {kind.__name__}, has no {name}", hint=AGAIN)
        return found

    def _layers_attribute(self, made: nn.Module, name: str, value: Any, where: str) -> None:
        """Keep an attribute that a user added, and refuse one that torch would not have set."""
        if name in vars(made):
            own = vars(made)[name]
            usual = name.startswith("_") or name == "training"
            if not usual and self._data(value, f"{where}: {name}") != own:
                raise ModelError(
                    f"{where} has {name} {_shown(value)}, not the {own} of every "
                    f"{type(made).__name__}",
                    hint=AGAIN,
                )
            return
        _refuse_hiding(type(made), name, where)
        if not name.startswith("__"):
            self._attribute(made, name, value, where)

    def _fill(
        self,
        into: dict[str, Tensor | None],
        given: list[tuple[str, Any]],
        where: str,
        part: str,
    ) -> None:
        """Put the tensors of the file where the constructor has made some without values."""
        if COUNTER in into:
            into[COUNTER] = torch.tensor(0)  # it computes nothing, and may be absent
        known = [(name, value) for name, value in given if name not in COUNTED]
        unknown = [name for name, _ in known if name not in into]
        if unknown:
            raise _unknown_members(unknown, where)
        given_names = {COUNTER, *dict(known)}
        missing = [name for name in into if name not in given_names and into[name] is not None]
        if missing:
            raise ModelError(f"{where} lacks {', '.join(missing)}", hint=AGAIN)
        for name, value in known:
            into[name] = self._member(value, f"{where}: {name}", part == "_parameters")

    # -- classes of the user's --------------------------------------------------------------------

    def _own(
        self, kind: type[nn.Module], state: dict[str, Any], path: str, where: str
    ) -> nn.Module:
        try:
            made: Any = object.__new__(kind)
            nn.Module.__init__(made)
        except Exception as error:  # an abstract class, or the user's own __setattr__
            raise _damaged(where, kind, error) from error
        passing = state.get("_non_persistent_buffers_set")
        passing = passing if type(passing) is set else set[Any]()
        for name, value in members(state, "_parameters", where):
            parameter = self._member(value, f"{where}: {name}", True)
            _registered(lambda n=name, p=parameter: nn.Module.register_parameter(made, n, p), where)
        for name, value in members(state, "_buffers", where):
            if name not in COUNTED:
                buffer = self._member(value, f"{where}: {name}", False)
                kept = name not in passing
                _registered(
                    lambda n=name, b=buffer, k=kept: nn.Module.register_buffer(made, n, b, k), where
                )
        self._add_children(made, children_of(state, where), path, where)
        for name, value in state.items():
            if name not in BOOKKEEPING:
                self._attribute(made, name, value, where)
        return made

    def _attribute(self, made: nn.Module, name: str, value: Any, where: str) -> None:
        if any(name in members for members in _members_of(made)):
            raise ModelError(f"{where} has two things called {name}", hint=AGAIN)
        try:
            built = self._value(value, where)
        except _LeftOutError as kind:
            _refuse_hiding(type(made), name, where)
            self.left_out[name] = str(kind)
            return
        _refuse_hiding(type(made), name, where, data=_is_data(built))
        if not name.startswith("__"):
            object.__setattr__(made, name, built)

    def _add_children(
        self, made: nn.Module, children: list[tuple[str, Record | None]], path: str, where: str
    ) -> None:
        for name, value in children:
            inner = f"{path}.{name}" if path else name
            child = None if value is None else self.module(value, inner)
            _registered(lambda n=name, c=child: nn.Module.register_module(made, n, c), where)

    # -- values -----------------------------------------------------------------------------------

    def _member(self, value: Any, where: str, parameter: bool) -> Any:
        """A parameter or buffer of a module; None stays None."""
        if value is None:
            return None
        if plain_tensor(value) is None:
            raise ModelError(f"{where} is a {kind_of(value)}, not a dense tensor", hint=AGAIN)
        found = self._value(value, where)
        return _as_parameter(found) if parameter and type(found) is Tensor else found

    def _data(self, value: Any, where: str) -> Any:
        """A plain value, as constructors take it. Raises `ModelError` for anything else."""
        try:
            built = self._value(value, where, DEEPEST - _DEEP_ARGUMENTS)
        except _LeftOutError as kind:
            raise ModelError(f"{where} is a {kind}", hint=AGAIN) from None
        if not _is_data(built):
            raise ModelError(f"{where} is a {kind_of(value)}", hint=AGAIN)
        return built

    def _value(self, value: Any, where: str, depth: int = 0) -> Any:
        """A copy of plain values, tensors, modules, and what the user allowed."""
        if type(value) in _SCALARS:
            return value
        if id(value) not in self._built:
            if depth > DEEPEST:
                raise ModelError(f"{where} is nested too deep", hint=AGAIN)
            self._built[id(value)] = self._copy(value, where, depth)
        return self._built[id(value)]

    def _copy(self, value: Any, where: str, depth: int) -> Any:
        referred = referred_name(value)
        if referred is not None:
            found = self.layers.get(referred, self.allowed.get(referred))
            if found is None:
                raise _LeftOutError(referred)
            return found
        if is_module(value):
            return self.module(value)
        tensor = plain_tensor(value)
        if tensor is not None:
            return _as_parameter(tensor) if type(value) is nn.Parameter else tensor
        if type(value) in SEQUENCES:
            return type(value)([self._value(part, where, depth + 1) for part in value])
        if type(value) in (dict, OrderedDict):
            pairs = [
                (self._value(key, where, depth + 1), self._value(part, where, depth + 1))
                for key, part in entries(value)
            ]
            return type(value)(pairs)
        raise _LeftOutError(kind_of(value))


def _members_of(made: nn.Module) -> tuple[dict[str, Any], ...]:
    return made._parameters, made._buffers, made._modules


def _shown(value: Any) -> str:
    return str(value)[:40] if type(value) in _SCALARS else f"a {kind_of(value)}"


def _as_parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=tensor.is_floating_point())


def _is_data(value: Any) -> bool:
    """Whether it is numbers and texts alone; what lies in many containers is looked at once."""
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop()
        if type(value) in _SCALARS or id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) in SEQUENCES:
            waiting += value
        elif type(value) in (dict, OrderedDict):
            waiting += [*value.keys(), *value.values()]
        else:
            return False
    return True


def _refuse_hiding(kind: type[nn.Module], name: str, where: str, *, data: bool = False) -> None:
    """Raise `ModelError` for an attribute that hides one of the class.

    Data may hide data of the user's classes, never what `nn.Module` has.
    """
    hidden = inspect.getattr_static(kind, name, _ABSENT)
    if hidden is _ABSENT:
        return
    of_torch = inspect.getattr_static(nn.Module, name, _ABSENT) is not _ABSENT
    if of_torch or not data or not _is_data(hidden):
        raise ModelError(f"{where} carries its own {name}, which is not run", hint=AGAIN)


def _unknown_members(names: list[str], where: str) -> ModelError:
    shown = ", ".join(names)
    if names[0].endswith(_CHANGED_WEIGHTS):
        return ModelError(
            f"{where} has {shown}: it was saved while pruned or with weight norm, which is not run "
            "from a file",
            hint=f"torch.nn.utils.prune.remove or remove_weight_norm first, then {AGAIN}",
        )
    return ModelError(f"{where} has {shown}, which its class has not", hint=AGAIN)


def _registered(register: Any, where: str) -> None:
    try:
        register()
    except Exception as error:  # a name the class has already, or the user's own __getattr__
        reason = one_line(error)
        raise ModelError(f"{where} does not fit its class: {reason}", hint=AGAIN) from error


def _damaged(where: str, kind: type[nn.Module], error: Exception) -> ModelError:
    reason = one_line(error)
    return ModelError(
        f"{where}, a {kind.__name__}, is damaged, or of another torch: {reason}", hint=AGAIN
    )
