"""What can go wrong, said in one line: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
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


@dataclass(frozen=True)
class Diagnostic:
    """One reason why a model cannot be compiled.

    Attributes:
        op: the unsupported operation.
        node: the node's name.
        loc: the user's line and module.
        reason: why.
        remedy: what to do.
    """

    op: str
    node: str
    loc: Loc
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.loc}: {self.node} ({self.op}): {self.reason}; {self.remedy}"


LONGEST_REASON = 200
"""Characters of what a library says that are shown."""

_UNSHOWN = ("Cc", "Cs")
"""Unicode categories of control characters, and of halves of surrogate pairs."""


def one_line(error: BaseException) -> str:
    """What a library says of a file, which it may quote: one short line."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def is_shown(text: str) -> bool:
    """Whether a terminal shows every character of a text, rather than obeys it."""
    return text.isprintable() or all(category(each) not in _UNSHOWN for each in text)


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


class UnknownShapeError(UsageError):
    """A model that takes samples of several shapes, read without one.

    Args:
        message: what is wrong, and where.
        sizes: of a sample, channels first, as far as they are known; None for the others. Empty if
            not even their number is known.
    """

    def __init__(self, message: str, sizes: Sequence[int | None] = ()) -> None:
        first, *others = sizes or (None, None, None)
        shape = (first or 3, *(size or 32 for size in others))
        shown = ",".join(map(str, shape))
        super().__init__(
            message, hint=f"the shape of one sample, channels first: --input-shape {shown}"
        )


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
    """A model that cannot be compiled for the target; every problem is listed.

    Attributes:
        problems: what is not supported, in the order of the model.
    """

    exit_code = 3

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Sequence[Diagnostic] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    @classmethod
    def listing(
        cls, title: str, problems: Sequence[Diagnostic], *, hint: str | None = None
    ) -> UnsupportedError:
        """An error whose message is `title`, and below it every problem."""
        lines = (line for alike in _alike(problems) for line in _lines(alike))
        return cls("\n  ".join((title, *lines)), hint=hint, problems=problems)

    def report(self) -> dict[str, Any]:
        """JSON-able: `error`, `hint`, `exit_code`, and `unsupported` as by that function."""
        return {
            "error": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "unsupported": unsupported(self.problems),
        }


def unsupported(problems: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """JSON-able: problems that differ in their place only are one entry with a count."""
    return [
        {
            "op": alike[0].op,
            "count": len(alike),
            "reason": alike[0].reason,
            "remedy": alike[0].remedy,
            "places": [
                {"node": p.node, "file": p.loc.file, "line": p.loc.line, "module": p.loc.module}
                for p in alike
            ],
        }
        for alike in _alike(problems)
    ]


def _alike(problems: Iterable[Diagnostic]) -> list[list[Diagnostic]]:
    """Problems by operation, reason and remedy, in the order of the first of each."""
    found: dict[tuple[str, str, str], list[Diagnostic]] = {}
    for p in problems:
        found.setdefault((p.op, p.reason, p.remedy), []).append(p)
    return list(found.values())


def _lines(alike: Sequence[Diagnostic]) -> Iterator[str]:
    """A line for one problem; for several what they have in common, and a line for each place."""
    first, *others = alike
    if not others:
        yield str(first)
        return
    yield f"{len(alike)} x {first.op}: {first.reason}; {first.remedy}"
    nodes: dict[str, list[str]] = {}
    for p in alike:  # a line that a loop runs again is listed once
        nodes.setdefault(str(p.loc) if p.loc != Loc() else p.node, []).append(p.node)
    for place, (name, *repeated) in nodes.items():
        again = f" ({1 + len(repeated)} times)" if repeated else ""
        yield f"  {place}: {name}{again}" if place != name else f"  {name}{again}"


class GraphError(SnncError):
    """A graph that breaks a rule of its stage: a defect of the pass or frontend that made it."""


class CheckFailed(SnncError):
    """A check the user asked for did not hold (`verify`, `eval --min-accuracy`)."""

    exit_code = 1
