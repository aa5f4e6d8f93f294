"""JSON members of an artifact: written in canonical form, read strictly."""

from __future__ import annotations

import json
from typing import Any

from snnc.errors import ArtifactError, one_line


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
    """Parse a JSON object without NaN or duplicate keys. Raises `ArtifactError` naming `what`."""
    try:
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} is not readable JSON: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{what} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"key {name!r} twice")
        members[name] = value
    return members


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
