"""Kinds of files that are no code, told by their content. Imports no torch."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snnc.errors import ModelError
from snnc.special_file import is_special

BY_FACTORY = "name the code that builds it: net.py:factory --weights {file}"
RESAVE = "name the code that builds it, and its state dict: net.py:factory --weights weights.pt"
_HEAD = 64  # bytes read to determine the kind of a file


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that is not code, and the error for it.

    Attributes:
        noun: the kind, for messages.
        matches: called with the first bytes and, for a zip archive, the names of its members.
        reason: why snnc cannot compile it.
        hint: what to do; `{file}` is the file.
    """

    noun: str
    matches: Callable[[bytes, tuple[str, ...]], bool]
    reason: str
    hint: str


def _member(pattern: str) -> Callable[[bytes, tuple[str, ...]], bool]:
    return lambda head, names: any(re.search(pattern, name) for name in names)


def _safetensors(head: bytes, names: tuple[str, ...]) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and head[6:8] == b"\0\0"


_ONNX_TAGS = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)


def _onnx(head: bytes, names: tuple[str, ...]) -> bool:
    """ModelProto: field 1 (ir_version, a small varint), then the tag of another of its fields."""
    return len(head) > 3 and head[0] == 8 and head[1] < 32 and head[2] in _ONNX_TAGS


WEIGHTS = "holds weights only, not the network"
LATER = "is not read by any installed frontend"

EXPORTED = FileKind("a torch.export archive", _member(r"(^|/)models/.*\.json$"), LATER, RESAVE)
ONNX = FileKind("an ONNX model", _onnx, LATER, RESAVE)

KINDS: tuple[FileKind, ...] = (
    FileKind("a safetensors file", _safetensors, WEIGHTS, BY_FACTORY),
    FileKind(
        "a TorchScript archive",
        _member(r"(^|/)(constants\.pkl|code/.*\.py)$"),
        "is code of a format that torch itself has given up",
        RESAVE,
    ),
    EXPORTED,
    FileKind("an snnc file", _member(r"^manifest\.json$"), "is not a model in Python", "name it"),
    ONNX,
    FileKind("a TensorFlow Lite model", lambda head, names: head[4:8] == b"TFL3", LATER, RESAVE),
    FileKind("an HDF5 file", lambda head, names: head[:4] == b"\x89HDF", LATER, RESAVE),
)


def kind_without_weights(path: Path) -> FileKind | None:
    """The kind of a file that holds neither a state dict nor a module; None if there is none."""
    head = first_bytes(path)
    names = members(path, head)
    found = next((kind for kind in KINDS if kind.matches(head, names)), None)
    return None if found is None or found.reason == WEIGHTS else found


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file. Raises `ModelError` if it cannot be read."""
    if is_special(path):
        raise ModelError(f"{path} cannot be read: it is not a regular file")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def members(path: Path, head: bytes) -> tuple[str, ...]:
    """The names in a zip archive; none for another file."""
    if head[:2] != b"PK":
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        OSError,
        struct.error,
    ):  # a damaged directory
        return ()
