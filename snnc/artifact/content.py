"""The content of a `.snnc` file in memory, to be written, or loaded without a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.aligned_memory import aligned
from snnc.artifact.layout import (
    FORMAT,
    GRAPH,
    MANIFEST,
    MAX_MEMBERS,
    RESERVED,
    SAMPLES,
    TENSORS,
    VERSION,
    check_name,
    check_size,
)
from snnc.artifact.samples import Samples
from snnc.errors import ArtifactError
from snnc.jsontext import dump_json, parse_json

if TYPE_CHECKING:
    from snnc.ir import Graph


@dataclass(frozen=True, kw_only=True)
class ArtifactContent:
    """An artifact in memory; a `snnc.target.Artifact`, so `Backend.load` takes it.

    Attributes:
        network: a verified graph, before legalisation.
        target: text of the target, e.g. `cpu{threads=2}`; None when there is none.
        pipeline: text of the pipeline that made the graph.
        files: members of the backend, by name.
        info: further JSON-able facts, stored in the manifest.
        distributions: versions of the plugins' distributions, by name.
        samples: inputs with what they give, or None.
    """

    network: Graph
    target: str | None = None
    pipeline: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    distributions: Mapping[str, str] = field(default_factory=dict[str, str])
    samples: Samples | None = None

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Content of `manifest.json`; checksums are computed at each access.

        Raises:
            ArtifactError: a member cannot be stored, or stats, meta or `info` cannot be written as
                JSON.
            GraphError: the graph has no type.
        """
        return parse_json(self.members()[MANIFEST], MANIFEST)

    def members(self) -> dict[str, bytes]:
        """Every member by name, the manifest first. Raises as `manifest` does."""
        members = self._content_members()
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "snnc": _own_version(),
            "distributions": dict(self.distributions),
            "target": self.target,
            "pipeline": self.pipeline,
            "stage": str(self.network.stage),
            "timesteps": self.network.meta.get("timesteps"),
            "input_shape": list(self.network.type_of(self.network.input).shape),
            "checksums": {name: sha256(data).hexdigest() for name, data in members.items()},
            "info": dict(self.info),
        }
        members = {MANIFEST: dump_json(manifest, "info"), **members}
        for name, data in members.items():
            check_size(name, len(data))
        return members

    def read(self, name: str) -> bytes:
        """Content of a member. Raises `ArtifactError` if there is no such member."""
        if name in self.files:
            return self.files[name]
        members = self.members() if name in RESERVED else {}
        if name not in members:
            raise ArtifactError(f"the artifact has no member {name!r}")
        return members[name]

    def array(self, name: str) -> NDArray[np.uint8]:
        """Content of a member as bytes at a 64-byte aligned address. Raises as `read` does."""
        data = self.read(name)
        content = aligned(len(data))
        content[:] = np.frombuffer(data, np.uint8)
        return content

    def digest(self, name: str) -> bytes:
        """SHA-256 of a member. Raises as `read` does."""
        return sha256(self.read(name)).digest()

    def graph(self) -> Graph:
        """A copy of the network."""
        return self.network.clone()

    def _content_members(self) -> dict[str, bytes]:
        """All but the manifest."""
        import safetensors.numpy

        from snnc.ir.json import to_json

        for name in self.files:
            check_name(name)
            if name in RESERVED:
                raise ArtifactError(f"a backend may not write a member called {name!r}")
        count = len(self.files)
        if count + len(RESERVED) > MAX_MEMBERS:
            raise ArtifactError(f"{count} files; an artifact holds at most {MAX_MEMBERS} members")
        return {
            GRAPH: dump_json(to_json(self.network), "the graph"),
            TENSORS: safetensors.numpy.save(dict(self.network.params)),
            **({} if self.samples is None else {SAMPLES: self.samples.to_bytes()}),
            **dict(sorted(self.files.items())),
        }


def _own_version() -> str | None:
    try:
        return version("snnc")
    except PackageNotFoundError:
        return None
