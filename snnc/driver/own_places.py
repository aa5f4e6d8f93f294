"""That nothing is written over what is read: the rule for all options of all commands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeAlias

from snnc.data.spec import folder_of
from snnc.errors import UsageError
from snnc.options import flags
from snnc.output_place import named_files, require_folder, require_own_file
from snnc.writes import Writes

Written: TypeAlias = "tuple[str | Path, Writes]"
"""The path of a file or folder, and what is written there."""


def require_own_places(written: Mapping[str, Written], read: Mapping[str, object]) -> None:
    """Raise `UsageError` for an output that is an input as well, or is written twice.

    Nothing is written into a folder of data either, unless the current folder lies in it.

    Args:
        written: by flag.
        read: what else was given, by flag, as `snnc.output_place.require_own_file` takes it.
    """
    outputs: dict[str, object] = {}
    for flag, (path, writes) in written.items():
        _require_outside(flag, path, read)
        if writes.files:
            _require_other_names(flag, path, writes.files, {**read, **outputs})
        else:
            there = Path(path).exists()  # else there is nothing to lose
            require_own_file(flag, path, {**(read if there else {}), **outputs})
            outputs[flag] = path


def require_own_folders(options: object, read: Mapping[str, object]) -> None:
    """Raise `UsageError` for a folder of the options that cannot be written, or holds an input.

    Args:
        options: a dataclass with flags; those with `writes` are the folders.
        read: as in `require_own_places`.
    """
    written: dict[str, Written] = {}
    for name, (flag, _) in flags(type(options)).items():
        folder = getattr(options, name)
        if flag.writes is not None and folder is not None:
            require_folder(flag.names[0], folder)
            written[flag.names[0]] = (folder, flag.writes)
    require_own_places(written, read)


def _require_outside(flag: str, path: str | Path, read: Mapping[str, object]) -> None:
    target, here = (Path(os.path.realpath(each)) for each in (path, "."))
    for name, value in read.items():
        told = folder_of(str(value)) if isinstance(value, str | Path) else None
        if told is None:
            continue
        folder = Path(os.path.realpath(told))
        if target.is_relative_to(folder) and not here.is_relative_to(folder):
            raise UsageError(
                f"{flag} {path} lies in the folder of {name} {value}, which is read",
                hint=f"a {flag} outside of {told}",
            )


def _require_other_names(
    flag: str, path: str | Path, files: tuple[str, ...], others: Mapping[str, object]
) -> None:
    """Raise `UsageError` if another file has the place of one that is written into a folder."""
    folder = Path(os.path.realpath(path))
    for name, value in others.items():
        for file in map(Path, map(os.path.realpath, named_files(value))):
            inside = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else ""
            if any(fnmatch(inside, pattern) for pattern in files):
                raise UsageError(
                    f"{flag} {path}: {name} {value} may be overwritten there",
                    hint=f"another {flag}",
                )
