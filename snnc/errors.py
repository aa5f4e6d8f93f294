"""What can go wrong, said in one line: what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import category


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


LONGEST_REASON = 200
"""Characters of what a library says that are shown."""

_UNSHOWN = ("Cc", "Cs")
"""Unicode categories of control characters, and of halves of surrogate pairs."""


def one_line(error: BaseException) -> str:
    """What a library says of a file, which it may quote: one short line."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def is_shown(text: str) -> bool:
    """Whether a terminal shows every character of a text, rather than obeys it."""
    return all(category(each) not in _UNSHOWN for each in text)


def _escaped(text: str) -> str:
    """`text` with control characters, which may come from a file, as escapes; lines stay."""
    return "".join(c if c == "\n" or is_shown(c) else ascii(c)[1:-1] for c in text)


class SnncError(Exception):
    """Base of every error a user can cause. Shown as `error: …` and `hint: …`, without traceback.

    Args:
        message: what is wrong, and where.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = _escaped(message)
        self.hint = None if hint is None else _escaped(hint)
        super().__init__(self.message)


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
