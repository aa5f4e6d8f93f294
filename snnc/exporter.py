"""What an exporter is: it writes a network in the form of another tool, and leaves snnc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from snnc.errors import Loc

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.target import Artifact, Backend


class Fidelity(StrEnum):
    """How well an op is expressed in another form."""

    EXACT = "exact"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class NodeFidelity:
    """What becomes of one node.

    Attributes:
        op: what it is.
        node: the node's name.
        loc: the user's line and module.
        fidelity: exact, approximate or refused.
        reason: why it is not exact: what the other form cannot say.
        remedy: what to do about it.

    Raises:
        ValueError: not exact, and no reason or no remedy.
    """

    op: str
    node: str
    loc: Loc
    fidelity: Fidelity
    reason: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.fidelity is not Fidelity.EXACT and not (self.reason and self.remedy):
            raise ValueError(f"{self.node} is {self.fidelity}: a reason and a remedy are needed")

    def __str__(self) -> str:
        text = f"{self.loc}: {self.node} ({self.op}): {self.fidelity}"
        return f"{text}: {self.reason}; {self.remedy}" if self.reason else text


class Exporter(Protocol):
    """Another form, a plugin of the group `snnc.exporters`; a frozen dataclass.

    Its fields are its options: `--format nir{version=1}` is `Nir(version=1)`.
    """

    name: ClassVar[str]

    def check(self, graph: Graph) -> list[NodeFidelity]:
        """What would become of each node of a graph of any stage: one entry a node, in order."""
        ...

    def export(self, graph: Graph, folder: Path) -> Sequence[Path]:
        """Write the graph into an empty folder that is there; the files, relative to it.

        It is called for graphs of which `check` refuses no node. The same graph gives the same
        bytes. The folder gets its final name afterwards, so that nothing half written stays.
        """
        ...


@runtime_checkable
class ReadsArtifact(Protocol):
    """An exporter that writes more than the graph: also what the target made of it."""

    def of_artifact(self, artifact: Artifact, target: Backend | None) -> Exporter:
        """The exporter to use for the graph of this artifact.

        Args:
            target: that of the artifact, with its options; None if it was compiled for none.

        Raises:
            UsageError: the artifact lacks what is written.
            ArtifactError: a member is damaged.
        """
        ...
