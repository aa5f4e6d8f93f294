"""Public names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_name(package: str, homes: Mapping[str, Sequence[str]], name: str) -> Any:
    """The object called `name`, imported from the module of `homes` that holds it.

    For the `__getattr__` of a package. Raises `AttributeError` if it is in none.
    """
    for home, names in homes.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
