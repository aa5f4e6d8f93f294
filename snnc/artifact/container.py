"""Reader of untrusted `.snnc` files: every defect raises an `ArtifactError`.

Imports neither torch nor networkx.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from snnc.aligned_memory import aligned
from snnc.artifact.layout import (
    GRAPH,
    MANIFEST,
    MAX_HEADER,
    MAX_MEMBERS,
    REQUIRED,
    SAMPLES,
    TENSORS,
    check_manifest,
    check_members,
)
from snnc.errors import ArtifactError, GraphError, UsageError, is_shown, one_line
from snnc.jsontext import parse_json
from snnc.special_file import is_special

if TYPE_CHECKING:
    from snnc.artifact.samples import Samples
    from snnc.ir import Graph

_PIECE = 1 << 18
"""Bytes that are read at a time, which the L2 cache holds."""
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    ValueError,
    OverflowError,
    IndexError,
    struct.error,
)


@dataclass(frozen=True)
class Member:
    """Offset, size and CRC of a member in the file."""

    offset: int
    size: int
    crc: int


@dataclass(frozen=True)
class ArtifactFile:
    """An opened artifact with valid structure; contents are checked as they are read.

    Attributes:
        path: the file.
        manifest: content of `manifest.json`; read-only.
        members: offset, size and CRC of every member.
    """

    path: Path
    manifest: Mapping[str, Any]
    members: Mapping[str, Member]

    def names(self) -> tuple[str, ...]:
        """Names of all members, the manifest first."""
        return tuple(self.members)

    def read(self, name: str) -> bytes:
        """Content of a member; CRC always checked, for JSON members the checksum as well.

        Raises `ArtifactError` if it is missing or damaged.
        """
        member = self._member(name)
        with _naming(self.path):
            data = _read_member(self.path, member, name)
            if name.endswith(".json") and name != MANIFEST:
                self._check_sum(name, data)
        return data

    def array(self, name: str) -> NDArray[np.uint8]:
        """Content of a member as bytes at a 64-byte aligned address; CRC always checked.

        They are read, not mapped: if another process shortened a mapped file, this one would end,
        and what it wrote there would get around the checks of what was read.

        Raises `ArtifactError` if it is missing or damaged.
        """
        member = self._member(name)
        with _naming(self.path):
            content = aligned(member.size)
            with self.path.open("rb") as file:
                file.seek(member.offset)
                size = file.readinto(content.data)
            _check_content(content.data[:size], member, name)
        return content

    def digest(self, name: str) -> bytes:
        """SHA-256 of the content of a member, which takes little memory.

        Raises `ArtifactError` if the member is missing, or the file cannot be read.
        """
        member = self._member(name)
        digest, piece = sha256(), memoryview(bytearray(min(_PIECE, member.size)))
        left = member.size
        with _naming(self.path), self.path.open("rb", buffering=0) as file:
            file.seek(member.offset)
            while left:
                size = file.readinto(piece[:left])
                if not size:
                    raise ArtifactError(f"{name} is damaged: the file has become shorter")
                digest.update(piece[:size])
                left -= size
        return digest.digest()

    def graph(self) -> Graph:
        """The stored graph, verified. Raises `ArtifactError`."""
        from snnc.artifact.format_1 import restore_units
        from snnc.artifact.tensors import read_tensors
        from snnc.ir import verify
        from snnc.ir.json import from_json

        structure, tensors = self.read(GRAPH), self.read(TENSORS)
        with _naming(self.path):
            parsed = parse_json(structure, GRAPH)
            _require_shown([parsed.get("nodes"), parsed.get("params")])
            graph = from_json(parsed, read_tensors(tensors, TENSORS))
            if str(self.manifest["version"]).startswith("1."):
                restore_units(graph, self.manifest["info"])
            verify(graph)
        return graph

    def samples(self) -> Samples | None:
        """The stored inputs with what they gave; None without any. Raises `ArtifactError`."""
        if SAMPLES not in self.members:
            return None
        from snnc.artifact.samples import read_samples
        from snnc.artifact.tensors import read_tensors

        graph, tensors = self.graph(), self.read(SAMPLES)
        with _naming(self.path):
            return read_samples(read_tensors(tensors, SAMPLES), graph)

    def check(self) -> None:
        """Compare the checksums of all members. Raises `ArtifactError` for the first wrong one."""
        with _naming(self.path):
            for name, member in self.members.items():
                if name != MANIFEST:
                    self._check_sum(name, _read_member(self.path, member, name))

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise ArtifactError(f"{self.path} has no member {name!r}")
        return self.members[name]

    def _check_sum(self, name: str, data: bytes) -> None:
        if sha256(data).hexdigest() != self.manifest["checksums"][name]:
            raise ArtifactError(f"{name} does not match its checksum: damaged")


def _require_shown(value: Any) -> None:
    """Raise `ArtifactError` for a text in a document that is more than one line on a terminal.

    Names of nodes and arrays, and places in the user's model, get into messages and reports.
    """
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += [*found, *found.values()]
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, str) and not is_shown(found):
            raise ArtifactError(f"{GRAPH} has {found!a:.60}, which holds control characters")


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether the file looks like a `.snnc` file: a zip that begins with its manifest."""
    if is_special(Path(path)):
        return False
    try:
        with Path(path).open("rb") as file:
            start = file.read(_LOCAL.size + len(MANIFEST))
    except OSError:
        return False
    return start.startswith(b"PK\x03\x04") and start.endswith(MANIFEST.encode())


def open_artifact(path: str | os.PathLike[str]) -> ArtifactFile:
    """Open a `.snnc` file and check its structure.

    Raises:
        ArtifactError: there is no such file, or it is truncated, damaged, hostile, not an artifact,
            or of a newer major version.
        UsageError: it is no path.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"a .snnc file is given by its path, not as {type(path).__name__}",
            hint="what compile gave is saved by compiled.save('net.snnc'), and opened by that name",
        )
    path = Path(path)
    with _naming(path):
        members = _members(path)
        missing = [name for name in REQUIRED if name not in members]
        if missing:
            raise ArtifactError(
                f"no member {missing[0]!r}: not a complete artifact", hint=_compile_first(path)
            )
        manifest = parse_json(_read_member(path, members[MANIFEST], MANIFEST), MANIFEST)
        check_manifest(manifest, members.keys())
    ordered = {MANIFEST: members.pop(MANIFEST), **members}
    return ArtifactFile(path, MappingProxyType(manifest), MappingProxyType(ordered))


def _compile_first(path: Path) -> str:
    """What to do with a model where an artifact is expected."""
    return f"a model is compiled first: snnc compile {path} -o net.snnc"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Every error of the block becomes an `ArtifactError` that names the file."""
    try:
        yield
    except OSError as error:
        hint = _compile_first(path) if ":" in path.name else None
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}", hint=hint) from None
    except (ArtifactError, GraphError) as error:
        raise ArtifactError(f"{path}: {error.message}", hint=error.hint) from None


def _members(path: Path) -> dict[str, Member]:
    if is_special(path):
        raise ArtifactError("not a regular file")
    size = path.stat().st_size
    with path.open("rb") as file:
        _check_directory(file, size, path)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except _ZIP_FAULTS as error:
            raise ArtifactError(f"damaged or truncated: {one_line(error)}") from None
        check_members(entries, size)
        return {entry.filename: _locate(file, entry, size) for entry in entries}


def _check_directory(file: BinaryIO, file_size: int, path: Path) -> None:
    """Raise `ArtifactError` if the file is no zip, is truncated, or its directory is too large."""
    start = file.read(4)
    file.seek(max(0, file_size - _END.size))
    tail = file.read()
    if start != b"PK\x03\x04":
        raise ArtifactError("not a .snnc file", hint=_compile_first(path))
    if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06"):
        raise ArtifactError("truncated: the end of the file is missing")
    _, _, _, _, count, size, _, _ = _END.unpack(tail)
    if count > MAX_MEMBERS:
        raise ArtifactError(f"{count} members; at most {MAX_MEMBERS} are read")
    if size > MAX_HEADER:
        raise ArtifactError(f"a directory of {size} bytes; at most {MAX_HEADER} are read")


def _locate(file: BinaryIO, entry: zipfile.ZipInfo, file_size: int) -> Member:
    file.seek(entry.header_offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        raise ArtifactError(f"{entry.filename} begins beyond the end of the file: truncated")
    signature, *_, name_size, extra_size = _LOCAL.unpack(header)
    name = file.read(name_size)
    if signature != b"PK\x03\x04" or name != entry.orig_filename.encode():
        raise ArtifactError(f"the header of {entry.filename} is damaged")
    offset = entry.header_offset + _LOCAL.size + name_size + extra_size
    if offset + entry.file_size > file_size:
        raise ArtifactError(f"{entry.filename} reaches beyond the end of the file: truncated")
    return Member(offset, entry.file_size, entry.CRC)


def _read_member(path: Path, member: Member, name: str) -> bytes:
    with path.open("rb") as file:
        file.seek(member.offset)
        data = file.read(member.size)
    _check_content(data, member, name)
    return data


def _check_content(data: bytes | memoryview, member: Member, name: str) -> None:
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ArtifactError(f"{name} is damaged (CRC)")
