"""Writer of `.snnc` files: atomic, and byte-reproducible for the same content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from snnc.artifact.content import ArtifactContent
from snnc.artifact.layout import ALIGNMENT
from snnc.errors import ArtifactError
from snnc.new_file import new_file

if TYPE_CHECKING:
    from snnc.ir import Graph

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PADDING_ID = 0xD935  # the extra field that zipalign uses
_LOCAL_HEADER = 30


def write(
    path: str | os.PathLike[str],
    graph: Graph,
    *,
    target: str | None = None,
    pipeline: str = "",
    files: Mapping[str, bytes] | None = None,
    info: Mapping[str, Any] | None = None,
    distributions: Mapping[str, str] | None = None,
) -> None:
    """Write `graph` and a backend's files to `path`, atomically.

    Args:
        path: the file; it is replaced only once the new one is complete.
        graph: a verified graph, before legalisation.
        target, pipeline, files, info, distributions: see `ArtifactContent`.

    Raises:
        ArtifactError: the file cannot be written, or as `ArtifactContent.members`.
        GraphError: the graph has no type.
    """
    content = ArtifactContent(
        network=graph,
        target=target,
        pipeline=pipeline,
        files=files or {},
        info=info or {},
        distributions=distributions or {},
    )
    write_content(path, content)


def write_content(path: str | os.PathLike[str], content: ArtifactContent) -> None:
    """Write `content` to `path`, atomically. Raises as `write` does."""
    members = content.members()
    try:
        with new_file(Path(path)) as temporary, temporary.open("wb") as file:
            _write_zip(file, members)
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(f"cannot write {path}: {reason}", hint="choose another -o") from None


def _write_zip(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            entry.extra = _alignment(file.tell() + _LOCAL_HEADER + len(name.encode()))
            archive.writestr(entry, data)


def _alignment(start: int) -> bytes:
    """An extra field after which the member's data begin at a multiple of `ALIGNMENT`."""
    size = -(start + 4) % ALIGNMENT
    return _PADDING_ID.to_bytes(2, "little") + size.to_bytes(2, "little") + bytes(size)
