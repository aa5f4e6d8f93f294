"""Writing a `.snnc` file: all of it or nothing, and the same bytes for the same content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from snnc.artifact.jsontext import dump_json
from snnc.artifact.layout import (
    ALIGNMENT,
    FORMAT,
    GRAPH,
    MANIFEST,
    MAX_MEMBERS,
    RESERVED,
    TENSORS,
    VERSION,
    check_name,
    check_size,
)
from snnc.errors import ArtifactError

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
        target: text of the target, e.g. `cpu{threads=2}`; None when there is none.
        pipeline: text of the pipeline that made the graph.
        files: members of the backend, by name.
        info: free JSON-able facts, kept in the manifest.
        distributions: versions of the plugins' distributions, by name.

    Raises:
        ArtifactError: the file cannot be written, a member cannot be stored, or stats, meta or
            `info` cannot be written as JSON.
        GraphError: the graph has no type.
    """
    members = _members(graph, files or {})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "snnc": _own_version(),
        "distributions": dict(distributions or {}),
        "target": target,
        "pipeline": pipeline,
        "stage": str(graph.stage),
        "timesteps": graph.meta.get("timesteps"),
        "input_shape": list(graph.type_of(graph.input).shape),
        "checksums": {name: sha256(data).hexdigest() for name, data in members.items()},
        "info": dict(info or {}),
    }
    members = {MANIFEST: dump_json(manifest, "info"), **members}
    for name, data in members.items():
        check_size(name, len(data))
    with _replacing(Path(path)) as file:
        _write_zip(file, members)


def _members(graph: Graph, files: Mapping[str, bytes]) -> dict[str, bytes]:
    import safetensors.numpy

    from snnc.ir.json import to_json

    for name in files:
        check_name(name)
        if name in RESERVED:
            raise ArtifactError(f"a backend may not write a member called {name!r}")
    if len(files) + len(RESERVED) > MAX_MEMBERS:
        raise ArtifactError(f"{len(files)} files; an artifact holds at most {MAX_MEMBERS} members")
    tensors = safetensors.numpy.save(dict(graph.params))
    return {
        GRAPH: dump_json(to_json(graph), "the graph"),
        TENSORS: tensors,
        **dict(sorted(files.items())),
    }


def _own_version() -> str | None:
    try:
        return version("snnc")
    except PackageNotFoundError:
        return None


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and goes otherwise."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _discard(temporary)
        reason = error.strerror or error
        raise ArtifactError(f"cannot write {path}: {reason}", hint="choose another -o") from None
    except BaseException:
        _discard(temporary)
        raise


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # its folder is gone or read-only: the error that brought us here says more


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
