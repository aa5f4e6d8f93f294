"""The state of a module as a file gives it: attributes, members, hooks."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from snnc.errors import ModelError
from snnc.frontends.records import Record, entries, is_mapping, is_module, kind_of, referred_name

AGAIN = (
    "save it again with torch.save(model, path), or name its code and a state dict: "
    "net.py:factory --weights weights.pt"
)

_NAME = re.compile(r"[\w +\-/:>]+", re.ASCII)  # shown in messages, reports and texts of graphs
_HOOKS = re.compile(r"_\w*hooks\w*")
BOOKKEEPING = frozenset(vars(nn.Module()))
"""Attributes that `nn.Module.__init__` sets."""

SEQUENCES = (list, tuple, set)


def names_used(module: Record) -> set[str]:
    """The names of all modules, functions and classes that a module holds, at any depth."""
    names: set[str] = set()
    seen: set[int] = set()
    waiting: list[Any] = [module]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        referred = referred_name(value)
        if referred is not None:
            names.add(referred)
        elif is_module(value):
            names.add(type(value).name)
            state = entries(value.state)
            waiting += [part for name, part in state if not _is_hooks(name)]
        elif is_mapping(value):
            waiting += [part for entry in entries(value) for part in entry]
        elif type(value) in SEQUENCES:
            waiting += value
    return names


def state_of(record: Record, where: str) -> dict[str, Any]:
    """The attributes in the file, by name."""
    if not is_module(record):
        raise ModelError(f"{where} is not saved as torch saves modules", hint=AGAIN)
    found = entries(record.state)
    for name, _ in found:
        if type(name) is not str or not name.isidentifier():
            raise ModelError(f"{where} has an attribute called {str(name)[:40]!r}", hint=AGAIN)
    return dict(found)


def members(state: dict[str, Any], kind: str, where: str) -> list[tuple[str, Any]]:
    """The parameters, buffers or children in a state."""
    if not is_mapping(state.get(kind)):
        raise ModelError(f"{where} has no {kind}", hint=AGAIN)
    found = entries(state[kind])
    for name, _ in found:
        if type(name) is not str or not _NAME.fullmatch(name):
            raise ModelError(f"{where} has a member called {str(name)[:40]!r}", hint=AGAIN)
    return found


def _is_hooks(name: Any) -> bool:
    return type(name) is str and _HOOKS.fullmatch(name) is not None


def refuse_hooks(state: dict[str, Any], where: str) -> None:
    for name, value in state.items():
        if not _is_hooks(name) or not (name in BOOKKEEPING or is_mapping(value)):
            continue
        if not is_mapping(value) or entries(value):
            raise ModelError(
                f"{where} carries its own {name}, which is not run",
                hint="remove the hooks before you save it, or name its code and a state dict: "
                "net.py:factory --weights weights.pt",
            )


def children_of(state: dict[str, Any], where: str) -> list[tuple[str, Record | None]]:
    """The submodules in a state, as records."""
    found = members(state, "_modules", where)
    for name, value in found:
        if value is not None and not is_module(value):
            raise ModelError(f"{where}: {name} is a {kind_of(value)}, not a module", hint=AGAIN)
    return found
