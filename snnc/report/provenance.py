"""When and with what a report was written."""

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("snnc", "torch", "numpy")


def provenance(now: datetime) -> dict[str, Any]:
    """JSON-able: the time of writing, to the second, and the versions of Python and packages."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # run from a folder that is not installed
    return {"date": now.isoformat(timespec="seconds"), "versions": versions}
