"""The members of a file that torch.export saved, which must be those of a network and no others."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snnc.errors import ModelError
from snnc.frontends.file_kinds import RESAVE
from snnc.jsontext import strict

SCHEMA = 8
"""The major version of the schema that this package reads."""

DISTRUST = "nothing of it was run; distrust it"
AGAIN = f"export it again: torch.export.save(program, path), or {RESAVE}"

_MODEL = "models/model.json"
_SAMPLE = "data/sample_inputs/model.pt"
_KNOWN = re.compile(
    r"archive_format|archive_version|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/(weights/weight|constants/tensor)_\d+"
    r"|data/(weights/model_weights|constants/model_constants)_config\.json|extra/[\w.\-]+"
)


@dataclass(frozen=True)
class Archive:
    """The members of one file, by their names without the folder that torch puts them in."""

    file: str
    members: dict[str, bytes]

    def document(self, name: str) -> Any:
        """A JSON member. Raises `ModelError` if there is none, or if it is no JSON."""
        try:
            return strict(self.member(name))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{self.file} is damaged: {name} is no JSON", hint=AGAIN) from error

    def member(self, name: str) -> bytes:
        """The bytes of a member. Raises `ModelError` if there is none."""
        if name not in self.members:
            raise ModelError(f"{self.file} is damaged: it has no {name}", hint=AGAIN)
        return self.members[name]

    def program(self) -> Any:
        """The program. Raises `ModelError` unless its schema is the one read here."""
        program = self.document(_MODEL)
        version = program["schema_version"]["major"]
        if version != SCHEMA:
            raise ModelError(
                f"{self.file} is of schema {version!r}, snnc reads {SCHEMA}",
                hint=f"export it again with torch {torch.__version__.partition('+')[0]}",
            )
        return program


def read_archive(file: str) -> Archive:
    """The members of `file`, read once.

    Raises `ModelError` for what a network does not need: compressed or unknown members, native
    code, other byte orders, sample inputs that are not tensors.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise ModelError(f"{Path(file)} is damaged: {error}", hint=AGAIN) from error
    if members.get("byteorder", b"little") != b"little":
        raise ModelError(f"{file} is of another byte order", hint=AGAIN)
    if _SAMPLE in members:
        _check_sample(members[_SAMPLE], file)
    return Archive(file, members)


def _members(archive: zipfile.ZipFile, file: str) -> dict[str, bytes]:
    infos = archive.infolist()
    folders = {info.filename.partition("/")[0] for info in infos}
    names = [info.filename.partition("/")[2] for info in infos]
    unknown = [info.filename for info, name in zip(infos, names, strict=True)
               if not _KNOWN.fullmatch(name)]  # fmt: skip
    if unknown or len(folders) != 1 or len(set(names)) != len(names):
        shown = unknown[0] if unknown else "members twice"
        shown = shown if shown.isprintable() else ascii(shown)
        raise ModelError(f"{file} holds {shown}, which no exported network needs", hint=AGAIN)
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise ModelError(f"{file} is compressed, as torch does not save it", hint=AGAIN)
    return {name: archive.read(info) for info, name in zip(infos, names, strict=True)}


def _check_sample(content: bytes, file: str) -> None:
    """Refuse sample inputs that name more than tensors. They are not used, and not unpickled."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    except Exception as error:  # whatever torch raises for a damaged pickle
        raise ModelError(f"{file} is damaged: its sample inputs", hint=AGAIN) from error
    if named:
        shown = ", ".join(name if name.isprintable() else ascii(name) for name in sorted(named))
        raise ModelError(f"{file} has sample inputs that name {shown}", hint=DISTRUST)
