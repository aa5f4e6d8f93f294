"""Machine descriptions: a TOML file that sets options of the chip."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from snnc.errors import one_line
from snnc.special_file import is_special

LARGEST = 1 << 20
"""Bytes of a description that are read."""
TEXT = ("cells", "partial-sums", "packing", "replication")
OPTIONS = (
    "rows", "cols", "cells", "cell-bits", "weight-bits", "partial-sums", "packing",
    "replication", "tiles", "cores", "tiles-per-core", "axons-per-core", "synapses-per-core",
)  # fmt: skip
"""The options that a description may set."""


def read_machine(path: Path) -> Mapping[str, Any]:
    """Options by the name of their field, as a description sets them.

    A description has names of options as keys: `rows = 128`, `tiles-per-core = 16`.

    Raises:
        ValueError: it cannot be read, is not TOML, or has an unknown key or a value of a wrong
            type; the line names the file and the key.
    """
    options = _table(path)
    for key, value in options.items():
        if key not in OPTIONS:
            near = get_close_matches(key, OPTIONS, 1)
            meant = f"did you mean {near[0]}?" if near else f"keys are {', '.join(OPTIONS)}"
            raise ValueError(f"machine {path}: unknown key {key!r:.40}; {meant}")
        kind, wanted = (str, "text") if key in TEXT else (int, "a whole number")
        if type(value) is not kind and (key, value) != ("cell-bits", "list"):
            raise ValueError(f"machine {path}: {key} must be {wanted}, not {value!r:.40}")
    return {key.replace("-", "_"): value for key, value in options.items()}


def _table(path: Path) -> Mapping[str, Any]:
    if is_special(path) or path.is_dir():
        raise ValueError(f"machine {path} is no file")
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"machine {path}: {error.strerror}") from None
    if len(text) > LARGEST:
        raise ValueError(f"machine {path}: more than {LARGEST} bytes")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"machine {path} is not TOML: {one_line(error)}") from None
