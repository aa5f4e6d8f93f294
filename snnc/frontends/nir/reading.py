"""Reads a NIR file as data: nodes of the `nir` package, edges, and what it notes about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nir
import numpy as np

from snnc.errors import ModelError
from snnc.frontends.importing.names import shown
from snnc.frontends.nir.hdf5 import read_group

_NAMES = (
    "Affine AvgPool2d Conv1d Conv2d CubaLI CubaLIF Delay Flatten I IF Input LI LIF Linear NIRGraph "
    "Output Scale SumPool2d Threshold"
)
NODES = frozenset(_NAMES.split())
"""Types of nodes that the format has."""


@dataclass(frozen=True)
class NirModel:
    """A NIR file that was read.

    Attributes:
        name: what messages call it.
        nodes: nodes of the `nir` package, by name.
        edges: (from, to); both are in `nodes`.
        metadata: what the file notes about the graph.
    """

    name: str
    nodes: Mapping[str, Any]
    edges: Sequence[tuple[str, str]]
    metadata: Mapping[str, Any]

    def only(self, kind: type) -> str:
        """The name of the only node of a type. Raises `ModelError`."""
        found = [name for name, node in self.nodes.items() if isinstance(node, kind)]
        if len(found) != 1:
            noun = f"{kind.__name__} nodes"
            listed = shown(", ".join(found))
            raise ModelError(f"{self.name} has {len(found)} {noun} ({listed}); a network has one")
        return found[0]


def read(reference: str) -> NirModel:
    """Read a NIR file; nothing is run or written, and no other file is opened.

    Raises `ModelError` for a file that is damaged, too large, or holds no NIR graph.
    """
    root = read_group(Path(reference), "node")
    if root is None or root.get("type") != "NIRGraph":
        raise ModelError(
            f"{reference} is an HDF5 file that holds no NIR graph",
            hint="NIR files are written with nir.write; export a Keras model to ONNX",
        )
    described = root.get("nodes")
    if not isinstance(described, dict) or not described:
        raise ModelError(f"{reference} is damaged: it holds no nodes")
    nodes = {name: _node(entry, name, reference) for name, entry in described.items()}
    metadata = root.get("metadata")
    return NirModel(
        reference,
        nodes,
        _edges(root.get("edges"), nodes, reference),
        cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {},
    )


def _node(entry: Any, name: str, reference: str) -> Any:
    kind = entry.get("type") if isinstance(entry, dict) else None
    if kind not in NODES:
        raise ModelError(f"{reference}: {shown(name)} is of the unknown type {shown(str(kind))}")
    fields = {"nodes": {}, "edges": []} if kind == "NIRGraph" else {}  # one in a graph is refused
    try:
        return nir.dict2NIRNode({**cast("dict[str, Any]", entry), **fields})
    except Exception as error:  # the classes of nir raise whatever numpy does
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{reference} is damaged: {shown(name)} is no {kind}: {shown(first)}"
        ) from None


def _edges(found: Any, nodes: Mapping[str, Any], reference: str) -> list[tuple[str, str]]:
    pairs = isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[1] == 2
    if not pairs or found.dtype != object:
        raise ModelError(f"{reference} is damaged: its edges are no pairs of names")
    edges = [(str(a), str(b)) for a, b in found]
    for name in (name for edge in edges for name in edge):
        if name not in nodes:
            raise ModelError(f"{reference} is damaged: an edge names {shown(name)}, no node of it")
    if len(set(edges)) != len(edges):
        raise ModelError(f"{reference} is damaged: it has the same edge twice")
    return edges
