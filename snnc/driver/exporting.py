"""Write a saved network in the form of another tool, into a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from snnc.artifact import open_artifact
from snnc.errors import Diagnostic, PluginError, UnsupportedError, UsageError
from snnc.exporter import Exporter, Fidelity, NodeFidelity, ReadsArtifact
from snnc.ir import Graph
from snnc.new_folder import new_folder
from snnc.pipeline import format_spec, parse_one
from snnc.plugins import BACKENDS, EXPORTERS, Registry


@dataclass(frozen=True)
class Export:
    """An exported network.

    Attributes:
        format: the text of the exporter.
        folder: where it is.
        files: paths within the folder, sorted.
        nodes: what became of every node.
    """

    format: str
    folder: Path
    files: tuple[str, ...]
    nodes: tuple[NodeFidelity, ...]

    @property
    def approximate(self) -> tuple[NodeFidelity, ...]:
        """The nodes that the other form does not say exactly."""
        return tuple(each for each in self.nodes if each.fidelity is Fidelity.APPROXIMATE)

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "format": self.format,
            "folder": str(self.folder.resolve()),
            "files": list(self.files),
            "nodes": len(self.nodes),
            "approximate": [
                {
                    "node": each.node,
                    "op": each.op,
                    "loc": str(each.loc),
                    "reason": each.reason,
                    "remedy": each.remedy,
                }
                for each in self.approximate
            ],
        }


def export_artifact(path: str | Path, format: str, folder: str | Path) -> Export:
    """Export the stored graph of an artifact.

    Args:
        path: the `.snnc` file, of any stage.
        format: an exporter, with options in braces.
        folder: what to make; an empty folder will do, files are never overwritten.

    Raises:
        UnsupportedError: it lists every node that the exporter refuses.
        UsageError: the folder cannot be made, or the artifact lacks what the exporter writes; then
            nothing is left behind.
        PluginError: the exporter does not write what it says.
        SpecError, ArtifactError.
    """
    exporter = chosen = cast(Exporter, parse_one(format, Registry(EXPORTERS)))
    place = Path(folder)
    _check_place(place)
    artifact = open_artifact(path)
    graph = artifact.graph()
    if isinstance(chosen, ReadsArtifact):
        target = artifact.manifest["target"]
        exporter = chosen.of_artifact(
            artifact, parse_one(target, Registry(BACKENDS)) if target else None
        )
    nodes = exporter.check(graph)
    _require_none_refused(exporter, nodes)
    with new_folder(place) as temporary:
        files = _written(exporter, graph, temporary)
    return Export(format_spec(chosen), place, files, tuple(nodes))


def _check_place(place: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise UsageError(f"-o {place} is there already, and is no folder", hint="another -o DIR")
    if place.is_dir() and any(place.iterdir()):
        raise UsageError(f"-o {place} is not empty", hint="remove it, or choose another -o DIR")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"-o {place}: there is no folder {place.absolute().parent}")


def _require_none_refused(exporter: Exporter, nodes: Sequence[NodeFidelity]) -> None:
    refused = [each for each in nodes if each.fidelity is Fidelity.REFUSED]
    if not refused:
        return
    count = "1 node" if len(refused) == 1 else f"{len(refused)} nodes"
    raise UnsupportedError.listing(
        f"exporter {exporter.name} cannot take {count} of this network:",
        [Diagnostic(n.op, n.node, n.loc, n.reason, n.remedy) for n in refused],
    )


def _written(exporter: Exporter, graph: Graph, folder: Path) -> tuple[str, ...]:
    """Let the exporter write; the files, which must be those it tells of."""
    told = sorted(str(path) for path in exporter.export(graph, folder))
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())
    if told != found or not found:
        raise PluginError(f"exporter {exporter.name} tells of the files {told} and wrote {found}")
    return tuple(found)
