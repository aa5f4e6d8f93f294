"""Lookup of the plugin names in a spec text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from snnc.errors import UsageError
from snnc.pipeline.values import Hint, group_of
from snnc.plugins import guess


class Names(Protocol):
    """Resolves plugin names: a `snnc.plugins.Registry`, or anything with these members."""

    @property
    def noun(self) -> str: ...
    def names(self) -> list[str]: ...
    def get(self, name: str) -> Any: ...


class Table:
    """A fixed set of dataclasses.

    Args:
        noun: what messages call them.
        classes: the dataclasses by name.
    """

    def __init__(self, noun: str, classes: Mapping[str, Any]) -> None:
        self.noun, self._classes = noun, classes

    def names(self) -> list[str]:
        """All names, in their order."""
        return list(self._classes)

    def get(self, name: str) -> Any:
        """The class called `name`. Raises `UsageError` listing the valid names."""
        cls = self._classes.get(name)
        if cls is None:
            hint = f"{guess(name, self._classes)}one of: {', '.join(self._classes)}"
            raise UsageError(f"unknown {self.noun} {name!r}", hint=hint)
        return cls


def names_for(
    name: str, noun: str, hints: tuple[Hint, ...], registry: Callable[[str], Names]
) -> Names:
    """The table or registry that holds plugin `name` of an option annotated with `hints`.

    Args:
        noun: what messages call a plugin of a fixed set: the name of the option.
        registry: gives the plugins of a group.
    """
    groups = [group for hint in hints if (group := group_of(hint)) is not None]
    classes = [hint for hint in hints if group_of(hint) is None]
    sources: list[Names] = [Table(noun, {each.name: each for each in classes})] if classes else []
    sources += [registry(group) for group in groups]
    return next((source for source in sources if name in source.names()), sources[0])
