"""A mapping as a table: the matrix of every layer, and the tiles that it takes."""

from __future__ import annotations

from typing import Any

from snnc.errors import ArtifactError
from snnc.target import FIGURES, Artifact, figures_of
from snnc_backends.crossbar.cost.files import FOLDER

COLUMNS = (
    *("groups", "matrix_rows", "physical_cols", "row_blocks", "column_blocks", "tiles"),
    *("cells_used", "utilisation"),
)
"""Figures of a layer; docs/crossbar.md defines them."""
COPIES = "copies"
"""A figure that files of layers without copies may lack."""


def plan_rows(artifact: Artifact) -> list[dict[str, Any]]:
    """A row for each layer that has weights: the figures that were stored with its mapping.

    Raises `ArtifactError`.
    """
    member = f"{FOLDER}/{FIGURES}"
    stored = figures_of((member,), artifact.read, FOLDER)
    assert stored is not None  # None is for files that do not name the member
    return [_row(member, layer, found) for layer, found in stored["layers"].items()]


def _row(member: str, layer: str, found: Any) -> dict[str, Any]:
    row = {COPIES: 1, **found} if isinstance(found, dict) else {}
    for name in (*COLUMNS, COPIES):
        if not isinstance(row.get(name), int | float):
            raise ArtifactError(f"{member}: {layer} has no usable {name!r}")
    return {"layer": layer, **{name: row[name] for name in (*COLUMNS, COPIES)}}
