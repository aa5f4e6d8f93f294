"""What lies in the folder: JSON always, a page where it can be drawn; every key is documented."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from snnc.errors import UsageError
from snnc.report import write_report

Report = dict[str, Any]
FREE = ("metrics", "distributions", "stats", "totals", "per_inference")
"""Keys below these are named by plugins."""
BY_NODE = ("layers",)
"""A mapping below these is from node names."""


def keys_of(value: Any) -> set[str]:
    """Every key that snnc itself gives a name to."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    found = set(value)
    for key, below in value.items():
        if key in BY_NODE and isinstance(below, dict):
            found |= keys_of(list(below.values()))
        elif key not in FREE:
            found |= keys_of(below)
    return found


def test_every_key_is_documented(compiled: Report, measured: Report, repository: Path) -> None:
    documented = (repository / "docs" / "report.md").read_text()
    named = keys_of(compiled) | keys_of(measured)
    assert {"report_version", "activation_error", "spikes_per_inference", "raster"} <= named
    assert sorted(key for key in named if f"`{key}`" not in documented) == []


def test_json_and_page_lie_side_by_side(compiled: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = write_report(tmp_path / "a" / "b", compiled)
    assert written.shown == written.page == (tmp_path / "a" / "b" / "report.html").resolve()
    assert json.loads(written.json.read_text()) == compiled
    assert sorted(path.name for path in written.json.parent.iterdir()) == [
        "report.html",
        "report.json",
    ]
    assert len(written.page.read_bytes()) < 500_000


def test_without_matplotlib_the_json_is_written_and_the_page_named(
    compiled: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("of an earlier run")
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    written = write_report(tmp_path, compiled)
    assert written.page is None and written.shown == tmp_path.resolve() / "report.json"
    assert written.note is not None and "pip install 'snnc[report]'" in written.note
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_folder_that_cannot_be_written_is_a_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*report\.json"):
        write_report(tmp_path / "file", {"kind": "eval"})
