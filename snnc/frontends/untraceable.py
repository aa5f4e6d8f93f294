"""Errors of code that cannot be traced, with the user's line, the reason and a remedy."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from snnc.errors import Diagnostic, Loc, UnsupportedError
from snnc.frontends.devices import moved, speaks_of_devices
from snnc.frontends.tracer import OWN_DIR, TORCH_DIR, shown_path

_CONTROL_FLOW = "control flow depends on the values of a tensor"
_ATTRIBUTES = "decide with attributes of the module, which are fixed when it is built"
_NUMBER = "a loop or a number depends on the values of a tensor"
_FIXED = "use a number that is fixed when the module is built"
WRITES_INTO_PART = (
    "writes into part of a tensor",
    "build it with torch.cat or torch.where",
)
"""Reason and remedy of `y[:, 0] = x`."""

_EXPLAINED = (
    ("cannot be iterated", "iterates over a tensor", "index it, or use torch.chunk"),
    ("item assignment", *WRITES_INTO_PART),
    ("control flow", _CONTROL_FLOW, _ATTRIBUTES),
    ("data-dependent", _CONTROL_FLOW, _ATTRIBUTES),
    ("interpreted as an integer", _NUMBER, _FIXED),
    ("or a real number, not", _NUMBER, _FIXED),
)


class UntraceableError(UnsupportedError):
    """The code of a module cannot be traced.

    Attributes:
        explained: the reason is told in words, not by the exception that the code raised.
    """

    def __init__(
        self, message: str, hint: str, explained: bool, problems: Sequence[Diagnostic] = ()
    ) -> None:
        super().__init__(message, hint=hint, problems=problems)
        self.explained = explained


def untraceable(error: Exception, name: str) -> UnsupportedError:
    """The error for `error`, raised while the module that messages call `name` was traced."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if not f.filename.startswith((TORCH_DIR, OWN_DIR, "<"))]
    loc = Loc(shown_path(user[-1].filename), user[-1].lineno) if user else Loc()
    if speaks_of_devices(error):
        return moved(name, loc)
    text = str(error)
    for sign, reason, remedy in _EXPLAINED:
        if sign in text:
            return _error(Diagnostic("forward", name, loc, reason, remedy), explained=True)
    first = text.strip().splitlines()[0] if text.strip() else ""
    reason = f"{type(error).__name__}: {first}"
    remedy = "the forward of the module must not look at the values of its input"
    return _error(Diagnostic("forward", name, loc, reason, remedy), explained=False)


def _error(problem: Diagnostic, explained: bool) -> UntraceableError:
    message = f"{problem.node} cannot be traced\n  {problem.loc}: {problem.reason}"
    return UntraceableError(message, problem.remedy, explained, [problem])
