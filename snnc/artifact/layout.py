"""Member names, format version and limits shared by writer and reader."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Mapping, Set
from typing import Any

from snnc.errors import ArtifactError

FORMAT = "snnc"
VERSION = "2.1"
"""2.1: `SAMPLES`, bounds of neurons, maxima of counts, two-sided neurons; no conductances."""
MANIFEST = "manifest.json"
GRAPH = "graph.json"
TENSORS = "tensors.safetensors"
REQUIRED = (MANIFEST, GRAPH, TENSORS)
SAMPLES = "samples.safetensors"
"""Inputs with what they gave; not every artifact has it."""
RESERVED = (*REQUIRED, SAMPLES)
"""Names that no member of a backend may have."""
MAX_HEADER = 16 * 2**20
MAX_MEMBERS = 10_000
ALIGNMENT = 64

_UNSAFE = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')
_MANIFEST_TYPES: Mapping[str, tuple[type, ...]] = {
    "checksums": (dict,),
    "distributions": (dict,),
    "info": (dict,),
    "input_shape": (list,),
    "pipeline": (str,),
    "target": (str, type(None)),
    "timesteps": (int, type(None)),
}
_ENCRYPTED = 0x1 | 0x40 | 0x2000


def check_name(name: str) -> None:
    """Raise `ArtifactError` unless `name` is a plain relative path with forward slashes."""
    parts = name.split("/")
    if _UNSAFE.search(name) or not all(parts) or {".", ".."} & set(parts):
        raise ArtifactError(f"member name {name!r} is not a plain relative path")


def check_size(name: str, size: int) -> None:
    """Raise `ArtifactError` for a JSON member that is too large."""
    if name.endswith(".json") and size > MAX_HEADER:
        raise ArtifactError(f"{name} has {size} bytes; at most {MAX_HEADER} are read")


def check_members(members: list[zipfile.ZipInfo], file_size: int) -> None:
    """Raise `ArtifactError` for the first duplicate or entry that is not a plain stored file."""
    if len(members) > MAX_MEMBERS:
        raise ArtifactError(f"{len(members)} members; at most {MAX_MEMBERS} are read")
    seen: set[str] = set()
    for info in members:
        name = info.orig_filename
        check_name(name)
        if name in seen:
            raise ArtifactError(f"two members called {name!r}")
        seen.add(name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "a link" if kind == stat.S_IFLNK else "not a file"
            raise ArtifactError(f"member {name!r} is {what}")
        if info.flag_bits & _ENCRYPTED:
            raise ArtifactError(f"member {name!r} is encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ArtifactError(f"member {name!r} is compressed; members are stored as they are")
        check_size(name, info.file_size)
    if sum(info.file_size for info in members) > file_size:
        raise ArtifactError("the members are larger than the file: truncated or damaged")


def check_manifest(manifest: Mapping[str, Any], names: Set[str]) -> None:
    """Raise `ArtifactError` unless the manifest is valid and of a version this snnc reads.

    Format and version are checked first, as another major version may differ in anything else.
    """
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"not a .snnc file: its format is {manifest.get('format')!r}")
    major, dot, minor = str(manifest.get("version")).partition(".")
    if not (major.isdecimal() and dot and minor.isdecimal()):
        raise ArtifactError(f"{MANIFEST} has no readable version")
    if int(major) > int(VERSION.partition(".")[0]):
        raise ArtifactError(
            f"version {manifest['version']} of the format; this snnc reads up to {VERSION}",
            hint="update snnc",
        )
    for key, kinds in _MANIFEST_TYPES.items():
        if key not in manifest or not isinstance(manifest[key], kinds):
            raise ArtifactError(f"{MANIFEST} has no usable {key!r}")
    listed = manifest["checksums"].keys()
    wrong = sorted((names - {MANIFEST}) ^ listed)
    if wrong:
        place = (
            "in the manifest but not in the file" if wrong[0] in listed else "not in the manifest"
        )
        raise ArtifactError(f"member {wrong[0]!r} is {place}")
