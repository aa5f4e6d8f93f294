"""The table of a mapping that `inspect --plan` shows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snnc.artifact import open_artifact
from snnc.errors import ArtifactError
from snnc_backends.crossbar.plan_rows import COLUMNS, plan_rows

FROZEN = Path(__file__).parents[1] / "frozen"


def with_layer(layer: Any) -> Any:
    """An artifact with the figures of one layer."""
    document = {"totals": {}, "layers": {"fc": layer}, "tiles": [], "tile_shape": [], "notes": []}
    return SimpleNamespace(read=lambda _: json.dumps(document).encode())


def figures(**changed: Any) -> Any:
    """One whose figures are 2, but for some."""
    return with_layer({**dict.fromkeys(COLUMNS, 2), **changed})


def test_files_that_know_no_copies_have_one_of_each_layer() -> None:
    paths = sorted(FROZEN.glob("v*/crossbar-*.snnc"))
    assert paths
    for path in paths:
        rows = plan_rows(open_artifact(path))
        assert rows and all(row["tiles"] > 0 and row["copies"] >= 1 for row in rows)
    assert plan_rows(figures())[0]["copies"] == 1
    assert plan_rows(figures(copies=3))[0]["copies"] == 3


@pytest.mark.parametrize("name", ["groups", "utilisation", "copies"])
def test_a_damaged_figure_is_named(name: str) -> None:
    with pytest.raises(ArtifactError, match=f"figures.json: fc has no usable '{name}'"):
        plan_rows(figures(**{name: "many"}))


def test_a_layer_without_figures_is_damaged() -> None:
    with pytest.raises(ArtifactError, match="fc has no usable 'groups'"):
        plan_rows(with_layer(1))
