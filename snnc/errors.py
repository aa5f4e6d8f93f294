"""What can go wrong, said in one line: what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """Where a node comes from in the user's model: file and line, and the path of its module."""

    file: str | None = None
    line: int | None = None
    module: str | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else self.file
        place += "" if self.line is None else f":{self.line}"
        module = "" if not self.module else f"({self.module})"
        return " ".join(part for part in (place, module) if part) or "unknown location"


class SnncError(Exception):
    """Base of every error a user can cause. Shown as `error: …` and `hint: …`, without traceback.

    Args:
        message: what is wrong, and where.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SnncError):
    """A wrong flag, option, name or combination of them."""


class SpecError(UsageError):
    """A pipeline, target or recipe text that cannot be read; the message carries a caret."""


class PluginError(SnncError):
    """An installed plugin that cannot be found, loaded or told from another of the same name."""


class DataError(SnncError):
    """Calibration, training or evaluation data that does not fit."""


class ModelError(SnncError):
    """A model file that cannot be read, or weights that cannot be used."""


class ArtifactError(SnncError):
    """An artifact that is damaged, hostile, or of a newer major version."""


class PassError(SnncError):
    """A pass that cannot do its work on this graph; the manager adds pass, node and user's line."""


class UnsupportedError(SnncError):
    """A model that cannot be compiled for the target; every problem is listed."""

    exit_code = 3


class GraphError(SnncError):
    """A graph that breaks a rule of its stage: a defect of the pass or frontend that made it."""


class CheckFailed(SnncError):
    """A check the user asked for did not hold (`verify`, `eval --min-accuracy`)."""

    exit_code = 1
