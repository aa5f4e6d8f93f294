"""The `.snnc` file: one zip, stored uncompressed and byte-reproducible, without pickle or code."""

from snnc.artifact.container import ArtifactFile, is_artifact, open_artifact
from snnc.artifact.writer import write

__all__ = ["ArtifactFile", "is_artifact", "open_artifact", "write"]
