"""How the cores of a chip are connected: the option `mesh`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from snnc_backends.crossbar.placement.h_tree import HTree
from snnc_backends.crossbar.placement.mesh import Mesh

Topology = Mesh | HTree
MOST_SITES = 1 << 12
LEVELS = range(1, 7)
"""Levels of an H-tree: 4 to 4096 cores."""


def topology(text: str) -> Topology | None:
    """That of an option: COLUMNSxROWS, h-tree-CORES, or None for `none`. Raises `ValueError`."""
    if text == "none":
        return None
    tree = next((HTree(levels) for levels in LEVELS if HTree(levels).name == text), None)
    if tree is not None:
        return tree
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) * int(found[2]) <= MOST_SITES:
        raise ValueError(
            f"mesh must be none, COLUMNSxROWS of at most {MOST_SITES} cores, e.g. 4x4, or h-tree-N "
            f"with N cores, a power of 4 from 4 to {MOST_SITES}, not {text!r}"
        )
    return Mesh(int(found[1]), int(found[2]))


def from_json(stored: Mapping[str, Any]) -> Topology:
    """That of a `placement.json`. Raises `ValueError`, `KeyError` or `TypeError`."""
    if "h_tree" in stored:
        found = topology(f"h-tree-{stored['h_tree']}")
    else:
        columns, rows = stored["mesh"]
        found = topology(f"{columns}x{rows}")
    if found is None:
        raise ValueError("no mesh")
    return found
