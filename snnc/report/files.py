"""Writing `report.json`, and `report.html` drawn from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnc.errors import UsageError
from snnc.new_file import new_file

REPORT = "report.json"
PAGE = "report.html"
MISSING = f"{PAGE} was left out, its pictures need matplotlib: pip install 'snnc[report]'"


@dataclass(frozen=True)
class Written:
    """Absolute paths of the files; without matplotlib `page` is None and `note` says so."""

    json: Path
    page: Path | None
    note: str | None = None

    @property
    def shown(self) -> Path:
        """The file to open: the page if there is one, else the JSON."""
        return self.page or self.json


def to_json(report: Mapping[str, Any]) -> str:
    """The report as JSON text; numpy values become numbers or lists, paths become strings."""
    return json.dumps(report, indent=2, default=_plain, ensure_ascii=False)


def write_report(folder: Path, report: Mapping[str, Any]) -> Written:
    """Write `report.json` and `report.html` into `folder`, which is created if missing.

    Without matplotlib no page is written, and one of an earlier run is removed.

    Raises `UsageError` if a file cannot be written.
    """
    text = to_json(report)
    page = _page(text)
    path, page_path = folder.resolve() / REPORT, folder.resolve() / PAGE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text + "\n")
        if page is None:
            page_path.unlink(missing_ok=True)
        else:
            _replace(page_path, page)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {path}: {reason}", hint="another --report DIR") from None
    return Written(path, None, MISSING) if page is None else Written(path, page_path)


def _page(text: str) -> str | None:
    """The page of a report in JSON, or None without matplotlib."""
    from snnc.report.page import render

    try:
        return render(json.loads(text))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None


def _replace(path: Path, text: str) -> None:
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
