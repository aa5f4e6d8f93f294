"""The option `maxpool` of recipes."""

from __future__ import annotations

from typing import Literal, get_args

MaxPooling = Literal["count", "average", "refuse"]


def check_max_pooling(value: str) -> None:
    """Raise `ValueError` for anything but a `MaxPooling`."""
    if value not in get_args(MaxPooling):
        raise ValueError(f"maxpool must be {', '.join(get_args(MaxPooling))}, not {value}")
