"""The program of an artifact; opening one imports neither torch nor what measures programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.artifact import ArtifactFile, open_artifact
from snnc.driver.threads import with_threads
from snnc.errors import ArtifactError, UnsupportedError
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Program, StoredApart

if TYPE_CHECKING:
    from snnc.ir import Graph


def load(path: str | Path, *, threads: int | None = None) -> Program:
    """The program of an artifact, which runs in `threads` threads unless its target says how many.

    Raises `ArtifactError`.
    """
    return open_program(open_artifact(path), threads=threads)


def open_program(
    artifact: ArtifactFile, target: str | None = None, threads: int | None = None
) -> Program:
    """The program of an opened artifact; `target` runs it as another one.

    `threads` are those of a target that sets none itself.

    Raises `ArtifactError` for a saved graph that was never compiled.
    """
    spec = target or artifact.manifest["target"]
    if spec is None:
        raise ArtifactError(
            f"{artifact.path} holds a graph of stage {artifact.manifest['stage']}, not a program",
            hint=f"snnc compile {artifact.path} --target cpu -o OUT.snnc",
        )
    opened = _Opened(artifact)
    backend = with_threads(parse_one(spec, Registry(BACKENDS)), threads)
    if not isinstance(backend, StoredApart):
        _ = opened.network  # whatever the backend reads of it
    program = backend.load(opened)
    if isinstance(backend, StoredApart):
        backend.require_match(program, opened)
    return program


def require_one_output(graph: Graph) -> None:
    """Raise `UnsupportedError` for a graph of several outputs: a program gives one."""
    if len(graph.outputs) > 1:
        raise UnsupportedError(
            f"the network has {len(graph.outputs)} outputs ({', '.join(graph.outputs)}); "
            "a compiled network has one",
            hint="return one of them, or torch.cat of them along dim=1",
        )


@dataclass(frozen=True)
class _Opened:
    """An artifact whose graph is read at most once; a `snnc.target.Artifact`."""

    artifact: ArtifactFile

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.artifact.manifest

    def read(self, name: str) -> bytes:
        """Content of a member."""
        return self.artifact.read(name)

    def array(self, name: str) -> NDArray[np.uint8]:
        """Content of a member as bytes at an aligned address."""
        return self.artifact.array(name)

    def digest(self, name: str) -> bytes:
        """SHA-256 of a member."""
        return self.artifact.digest(name)

    @cached_property
    def network(self) -> Graph:
        """The stored graph. Raises `UnsupportedError` if it has several outputs."""
        graph = self.artifact.graph()
        require_one_output(graph)
        return graph

    def graph(self) -> Graph:
        """A copy of the network."""
        return self.network.clone()
