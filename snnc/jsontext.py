"""JSON in files: written in canonical form, read strictly."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from snnc.errors import ArtifactError, one_line

_LONGEST = 308
"""Characters of the longest whole number that is read: what is below 10^308 fits float64."""


def dump_json(value: object, what: str) -> bytes:
    """Canonical JSON: sorted keys, no spaces, ASCII.

    Raises `ArtifactError` for values that JSON cannot hold (NaN, arrays, numpy numbers).
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"{what} cannot be written as JSON: {error}",
            hint="stats, meta and info hold finite numbers, text, lists and dicts only",
        ) from None
    return text.encode("ascii")


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a member of an artifact; see `strict`. Raises `ArtifactError`."""
    try:
        value = strict(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} is not readable JSON: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{what} is not a JSON object")
    return value


def strict(data: bytes | str) -> Any:
    """What a JSON text holds, whose numbers are finite and whose keys are unique.

    Raises:
        ValueError: it is no such text, or a number is beyond float64.
        RecursionError: it is nested too deep.
    """
    return json.loads(
        data,
        object_pairs_hook=_unique,
        parse_constant=_refuse,
        parse_int=_whole,
        parse_float=_real,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"key {name!r} twice")
        members[name] = value
    return members


def _whole(text: str) -> int:
    if len(text) > _LONGEST:
        raise ValueError(f"{text:.20}… is beyond float64")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text:.20} is not a finite number")
