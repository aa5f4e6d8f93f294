"""Writing `report.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnc.errors import UsageError

REPORT = "report.json"


def to_json(report: Mapping[str, Any]) -> str:
    """One JSON document; numpy scalars and paths are written as what they stand for."""
    return json.dumps(report, indent=2, default=_plain, ensure_ascii=False)


def write_report(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write `report.json` into `folder`, made if it is not there; the absolute path.

    Raises `UsageError` if it cannot be written.
    """
    path = folder.resolve() / REPORT
    temporary = path.with_name(f".{REPORT}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(to_json(report) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {path}: {reason}", hint="another --report DIR") from None
    return path


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
