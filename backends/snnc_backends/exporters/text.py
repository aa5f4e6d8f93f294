"""The exporter `text`: the graph as text, its arrays as safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from snnc.exporter import Fidelity, NodeFidelity
from snnc.ir import Graph
from snnc.ir.text import to_text

GRAPH = Path("graph.txt")
ARRAYS = Path("arrays.safetensors")


@dataclass(frozen=True)
class TextExporter:
    """Writes `graph.txt`, the text of `snnc inspect --ir`, and its arrays by name. No options."""

    name: ClassVar[str] = "text"

    def check(self, graph: Graph) -> list[NodeFidelity]:
        """Every op has an exact text."""
        return [
            NodeFidelity(node.op.mnemonic, node.name, node.loc, Fidelity.EXACT)
            for node in graph.nodes
        ]

    def export(self, graph: Graph, folder: Path) -> Sequence[Path]:
        """Write both files."""
        import safetensors.numpy

        (folder / GRAPH).write_text(to_text(graph), encoding="utf-8")
        (folder / ARRAYS).write_bytes(safetensors.numpy.save(dict(graph.params)))
        return (GRAPH, ARRAYS)
