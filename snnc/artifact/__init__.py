"""The `.snnc` file: one zip, stored uncompressed and byte-reproducible, without pickle or code."""

from snnc.artifact.container import ArtifactFile, is_artifact, open_artifact
from snnc.artifact.content import ArtifactContent
from snnc.artifact.samples import Samples
from snnc.artifact.writer import write, write_content

__all__ = [
    "ArtifactContent",
    "ArtifactFile",
    "Samples",
    "is_artifact",
    "open_artifact",
    "write",
    "write_content",
]
