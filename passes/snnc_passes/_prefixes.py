"""The windows that a network is fitted for: T alone, or shorter ones too."""

from __future__ import annotations

from math import ceil
from typing import Literal, get_args

Prefixes = Literal["last", "all"]
"""Which windows count: T, or also the prefixes of it."""
PARTS = 4
"""Windows that stand for all of them: so many equal parts of T, from the first step."""


def prefix_ends(timesteps: int, prefixes: Prefixes) -> list[int]:
    """The lengths of the windows, in ascending order: T, or T/4, T/2, 3T/4 and T, rounded up."""
    parts = PARTS if prefixes == "all" else 1
    return sorted({ceil(timesteps * part / parts) for part in range(1, parts + 1)})


def learned_windows(timesteps: int, prefixes: Prefixes) -> range:
    """The lengths of the windows that a network learns, in ascending order: T, or 1, 2, …, T."""
    return range(1 if prefixes == "all" else timesteps, timesteps + 1)


def check_prefixes(prefixes: str) -> None:
    """Raise `ValueError` for a value that is none of `Prefixes`."""
    if prefixes not in get_args(Prefixes):
        raise ValueError(f"prefixes must be last or all, not {prefixes}")
