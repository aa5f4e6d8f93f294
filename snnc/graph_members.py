"""A graph as members of a backend's own folder in an artifact, for one that runs its own copy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snnc.errors import ArtifactError, GraphError, one_line
from snnc.ir import Graph, verify
from snnc.ir.json import from_json, to_json
from snnc.jsontext import parse_json

if TYPE_CHECKING:
    from snnc.target import Artifact

GRAPH, TENSORS = "graph.json", "tensors.safetensors"
"""Names of the members, in the backend's folder."""


def graph_members(graph: Graph, folder: str) -> dict[str, bytes]:
    """The graph's structure and its arrays, by name, in `folder`."""
    import safetensors.numpy

    text = json.dumps(to_json(graph), separators=(",", ":"), allow_nan=False)
    tensors = safetensors.numpy.save(dict(graph.params))
    return {f"{folder}/{GRAPH}": text.encode(), f"{folder}/{TENSORS}": tensors}


def read_graph(artifact: Artifact, folder: str) -> Graph:
    """The graph that `graph_members` wrote. Raises `ArtifactError` if it is damaged."""
    import safetensors
    import safetensors.numpy

    place = f"{folder}/{GRAPH}"
    try:
        structure = parse_json(artifact.read(place), place)
        params = safetensors.numpy.load(artifact.read(f"{folder}/{TENSORS}"))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the graph in {folder} is damaged: {one_line(error)}") from None
    try:
        graph = from_json(structure, params)
        verify(graph)
    except GraphError as error:
        raise ArtifactError(f"{place}: {error.message}") from None
    return graph
