"""What a NIR file leaves open: how its equations become steps, and how neurons are reset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from snnc.errors import ModelError, UsageError

Dialect = Literal["spec", "snntorch", "norse", "spikingjelly", "sinabs"]
Reset = Literal["zero", "subtract"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
RESETS: tuple[Reset, ...] = get_args(Reset)


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How a library reads the continuous equations of NIR (its own reader's and writer's way).

    A neuron does v <- leak*v + gain*I at every step; leak and gain come from tau, r and the length
    of a step.

    Attributes:
        dialect: name of the library, or "spec".
        dt: length of a step in the unit of tau; None where it is not told.
        reset: how neurons are reset; None where it is not told.
        exponential: leak = exp(-1/tau) and gain 1, tau in steps; else Euler's leak = 1 - dt/tau.
        resistance: r multiplies the current; else it is ignored.
        strict: fires where v > threshold; else where v >= threshold.
        resets_to: neurons are reset to `v_reset`; else to 0, whatever it is.
        batch_axis: `Flatten` counts the batch as axis 0.
        delayed_reset: the threshold is subtracted in the next step, after the leak.
    """

    dialect: Dialect
    dt: float | None = None
    reset: Reset | None = None
    exponential: bool = False
    resistance: bool = True
    strict: bool = True
    resets_to: bool = False
    batch_axis: bool = False
    delayed_reset: bool = False


CONVENTIONS: Mapping[Dialect, Convention] = {
    convention.dialect: convention
    for convention in (
        Convention(dialect="spec", resets_to=True),
        Convention(dialect="snntorch", dt=1e-4, batch_axis=True, delayed_reset=True),
        Convention(dialect="norse", dt=1e-3, reset="zero", resistance=False, batch_axis=True),
        Convention(dialect="spikingjelly", dt=1e-4, reset="zero", strict=False, resets_to=True),
        Convention(
            dialect="sinabs",
            dt=1.0,
            reset="subtract",
            exponential=True,
            resistance=False,
            strict=False,
        ),
    )
}


def convention_of(
    name: str,
    metadata: Mapping[str, Any],
    *,
    dialect: Dialect | None,
    dt: float | None,
    reset: Reset | None,
) -> Convention:
    """What the user says, else what the file `name` notes in its metadata, else the dialect's own.

    Raises `ModelError` for metadata with other values.
    """
    chosen = dialect or _noted(name, metadata, "dialect", DIALECTS) or "spec"
    told = CONVENTIONS[chosen]
    step = dt if dt is not None else _step(name, metadata)
    how = reset or _noted(name, metadata, "reset", RESETS)
    return replace(told, dt=told.dt if step is None else step, reset=how or told.reset)


def require_told(name: str, convention: Convention, needed: Iterable[str]) -> None:
    """Raise `UsageError`, naming every option, unless the facts called `needed` are known."""
    missing = [fact for fact in sorted(needed) if getattr(convention, fact) is None]
    if not missing:
        return
    words = {"dt": "how long a step is", "reset": "how its neurons are reset"}
    examples = {"dt": "dt=1e-4", "reset": "reset=subtract"}
    options = " ".join(examples[fact] for fact in missing)
    hint = f"--frontend 'nir{{{options}}}'"
    if "reset" in missing:
        hint += " (or reset=zero)"
    raise UsageError(f"{name} does not say {' and '.join(words[f] for f in missing)}", hint=hint)


def _noted(name: str, metadata: Mapping[str, Any], key: str, choices: tuple[Any, ...]) -> Any:
    """A choice that the file notes, or None."""
    value = metadata.get(key)
    if value is None or value in choices:
        return value
    raise ModelError(f"{name} notes {key} {str(value)[:40]!r}; known are {', '.join(choices)}")


def _step(name: str, metadata: Mapping[str, Any]) -> float | None:
    value = metadata.get("dt")
    if value is None:
        return None
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "fiu":
        raise ModelError(f"{name} notes a step that is no number: {str(value)[:40]!r}")
    step = float(number.reshape(()))
    if not 0 < step < math.inf:
        raise ModelError(f"{name} notes a step of {step}, which is not positive")
    return step
