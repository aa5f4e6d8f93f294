"""Plugin discovery by entry points; built-in plugins are found like third-party ones.

A `Registry` reads the names of one group from the metadata of the installed distributions and
imports a plugin only when its name is used. A plugin that cannot be imported therefore breaks only
its own name, and listing the installed plugins imports nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from snnc.errors import PluginError, UsageError

PASSES = "snnc.passes"
RECIPES = "snnc.recipes"
BACKENDS = "snnc.backends"
FRONTENDS = "snnc.frontends"
DEVICES = "snnc.devices"
EXPORTERS = "snnc.exporters"

_NOUNS = {
    PASSES: "pass",
    RECIPES: "recipe",
    BACKENDS: "target",
    FRONTENDS: "frontend",
    DEVICES: "device",
    EXPORTERS: "exporter",
}


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """The distribution a plugin comes from."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Registry:
    """The plugins of one entry-point group, by name; each is imported on first use.

    Args:
        group: the entry-point group, e.g. `"snnc.passes"`.
        entries: entry points to use instead of those installed (for tests).
    """

    def __init__(self, group: str, entries: Iterable[EntryPoint] | None = None) -> None:
        self.group = group
        self.noun = _NOUNS.get(group, "plugin")
        installed = entry_points(group=group) if entries is None else entries
        self._entries: dict[str, list[EntryPoint]] = {}
        for entry in sorted(installed, key=lambda entry: entry.name):
            self._entries.setdefault(entry.name, []).append(entry)
        for claims in self._entries.values():
            if claims[1:]:  # to tell the owner of an entry takes a read of its metadata
                claims.sort(key=lambda entry: (_owner(entry), entry.value))

    def names(self) -> list[str]:
        """Every installed name, sorted; includes ambiguous and broken plugins."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def owner(self, name: str) -> Owner:
        """The distribution that provides `name`, with its version; imports nothing.

        Raises:
            UsageError: no such name.
            PluginError: two distributions claim it.
        """
        return _owner(self._entry(name))

    def get(self, name: str) -> Any:
        """Import the plugin called `name` and return the object its entry point names.

        Raises:
            UsageError: no such name; the hint lists the installed ones.
            PluginError: two distributions claim the name, or importing it fails.
        """
        entry = self._entry(name)
        try:
            plugin = entry.load()
        except Exception as error:  # a third-party module may raise anything
            raise PluginError(
                f"{self.noun} {name!r} of {_owner(entry)} cannot be loaded: "
                f"{entry.value}: {type(error).__name__}: {error}",
                hint=f"repair, upgrade or uninstall {_owner(entry).distribution}",
            ) from error
        declared = getattr(plugin, "name", name)
        if declared != name:
            raise PluginError(
                f"{self.noun} {name!r} of {_owner(entry)} calls itself {declared!r}: {entry.value}",
                hint="its `name` and the name of its entry point must be the same",
            )
        return plugin

    def problems(self) -> list[str]:
        """One line for every name that more than one distribution claims; imports nothing."""
        return [
            self._clash(name, entries) for name, entries in self._entries.items() if entries[1:]
        ]

    def _entry(self, name: str) -> EntryPoint:
        entries = self._entries.get(name)
        if entries is None:
            raise UsageError(f"unknown {self.noun} {name!r}", hint=self._suggestion(name))
        if entries[1:]:
            raise PluginError(self._clash(name, entries), hint="uninstall all but one of them")
        return entries[0]

    def _clash(self, name: str, entries: Sequence[EntryPoint]) -> str:
        owners = " and ".join(f"{_owner(entry)} ({entry.value})" for entry in entries)
        return f"{self.noun} {name!r} is claimed by {owners}"

    def _suggestion(self, name: str) -> str:
        if not self._entries:
            return f"nothing is installed in the group {self.group!r}; reinstall snnc"
        return f"{guess(name, self._entries)}installed: {', '.join(self._entries)}"


def guess(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? ` for the known name that is most like `name`; "" if none is like it."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _owner(entry: EntryPoint) -> Owner:
    if entry.dist is None:
        return Owner("unknown distribution", "?")
    # The metadata of a half-installed package have neither.
    return Owner(entry.dist.name or "unknown distribution", entry.dist.version or "?")
