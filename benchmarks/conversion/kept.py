"""Results that are kept in a file, so that a stopped measurement goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snnc.new_file import new_file


def kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON of `path`; where there is none, what `measure` gives, which is then written there.

    The file is there whole or not at all, whenever the process ends.
    """
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    found = measure()
    with new_file(path) as new:
        new.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found
