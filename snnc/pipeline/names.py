"""What the names in a text are read against."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from snnc.errors import UsageError
from snnc.pipeline.values import Hint, group_of


class Names(Protocol):
    """What a text is read against: a `snnc.plugins.Registry`, or anything with these three."""

    @property
    def noun(self) -> str: ...
    def names(self) -> list[str]: ...
    def get(self, name: str) -> Any: ...


class Table:
    """A fixed choice of dataclasses, by their `name`.

    Args:
        noun: what they are, for messages.
        classes: the dataclasses.
    """

    def __init__(self, noun: str, classes: Iterable[Any]) -> None:
        self.noun = noun
        self._classes: dict[str, type] = {each.name: each for each in classes}

    def names(self) -> list[str]:
        """In the order of the annotation."""
        return list(self._classes)

    def get(self, name: str) -> Any:
        """The class called `name`. Raises `UsageError` with the right names."""
        found = self._classes.get(name)
        if found is None:
            close = difflib.get_close_matches(name, self._classes, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            hint = f"{guess}one of: {', '.join(self._classes)}"
            raise UsageError(f"unknown {self.noun} {name!r}", hint=hint)
        return found


def names_for(
    name: str, noun: str, hints: tuple[Hint, ...], registry: Callable[[str], Names]
) -> Names:
    """Where to look for the plugin `name` of an option annotated with one or more `hints`.

    Args:
        noun: what plugins of a fixed choice are called: the option.
        registry: gives the plugins of a group.
    """
    groups = [group for hint in hints if (group := group_of(hint)) is not None]
    classes = [hint for hint in hints if group_of(hint) is None]
    found: list[Names] = [Table(noun, classes)] if classes else []
    found += [registry(group) for group in groups]
    return next((each for each in found if name in each.names()), found[0])
