"""The `.snnc` file: one zip, stored uncompressed and byte-reproducible, without pickle or code.

Each name below is imported when it is first used: a reader does not import the writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnc.lazy_names import lazy_name

if TYPE_CHECKING:
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

_HOMES = {
    "snnc.artifact.container": ("ArtifactFile", "is_artifact", "open_artifact"),
    "snnc.artifact.content": ("ArtifactContent",),
    "snnc.artifact.samples": ("Samples",),
    "snnc.artifact.writer": ("write", "write_content"),
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    return lazy_name(__name__, _HOMES, name)
