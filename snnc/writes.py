"""The mark of an option that names what is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Writes:
    """Marks an option: what it names is written, and must be no input of the command.

    Attributes:
        files: of a folder, patterns of the paths that are written there; empty for a file.
    """

    files: tuple[str, ...] = ()
