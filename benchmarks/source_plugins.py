"""The plugins of this repository where it is not installed, but on PYTHONPATH."""

from __future__ import annotations

import sys
import tomllib
from importlib import invalidate_caches
from pathlib import Path

from benchmarks.repository import ROOT
from snnc.plugins import PASSES, Registry


def offer_plugins(folder: Path) -> None:
    """Write the metadata of the distribution into `folder` and put that on the path of modules.

    Does nothing where snnc is installed. The names of plugins are those of pyproject.toml.
    """
    if Registry(PASSES).names():
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", ""]
    (metadata / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()), ""])
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    sys.path.append(str(folder))
    invalidate_caches()
