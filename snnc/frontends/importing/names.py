"""Names that a model file holds, as names of nodes and in messages."""

from __future__ import annotations

import re


def clean(name: str) -> str:
    """A name of the model as name of a node or an array: letters, digits, `_` and dots."""
    parts = (re.sub(r"[^A-Za-z0-9_]", "_", part) for part in re.split(r"[/.]+", name[:120]))
    return ".".join(part for part in parts if part) or "unnamed"


def shown(text: str, length: int = 100) -> str:
    """A text of the file for messages: printable and short."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= length else printable[:length] + "…"
