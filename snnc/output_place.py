"""Whether a place can be written to, asked before the work whose result goes there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from snnc.errors import UsageError
from snnc.special_file import is_special


def require_new_file(flag: str, path: str | Path, example: str) -> None:
    """Raise `UsageError` if no file can be made at `path`; nothing is left there.

    Args:
        flag: what asks for the file, e.g. "-o".
        example: a file name for the hint where `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder", hint=f"{flag} {path / example}")
    if path.exists() and not path.is_file():
        return
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise UsageError(f"{flag} {path}: there is no folder {folder}")
    _require_room(flag, path, folder)


def require_own_file(flag: str, path: str | Path, others: Mapping[str, object]) -> None:
    """Raise `UsageError` if `path` is a file that is read as well, or that is written twice.

    A device may be both. Links are followed.

    Args:
        flag: what asks for the file, e.g. "-o".
        others: what else was given, by flag: a path, or a text with the name of a file in it, such
            as `net.py:build`, `x.npz[:100]` or `crossbar{rates=r.json}`. Values of other kinds name
            no file.
    """
    if is_special(Path(path)):
        return
    for name, value in others.items():
        if any(_same(path, file) for file in named_files(value)):
            raise UsageError(
                f"{flag} {path}: {name} {value} names the same file, which would be overwritten",
                hint=f"another {flag}",
            )


def named_files(value: object) -> Iterator[str]:
    """What a path, a MODEL, a DATA text or the options of a target may name as a file."""
    if not isinstance(value, str | Path) or "\0" in str(value):
        return
    yield str(value)
    yield from re.findall(r"""=['"]?([^\s{}\[\]='"]+)""", str(value))
    for part in re.split(r"[\[\]#@]", str(value)):
        place, colon, _ = part.rpartition(":")
        yield from (part, place, place.replace(".", "/") + ".py") if colon else (part,)


def _same(path: str | Path, other: str) -> bool:
    if not other:
        return False
    try:
        return os.path.realpath(path) == os.path.realpath(other) or os.path.samefile(path, other)
    except (OSError, ValueError):  # one of them is no file
        return False


def require_folder(flag: str, path: str | Path) -> None:
    """Raise `UsageError` if `path` is no folder to write in and cannot be made one.

    Nothing is made yet.
    """
    folder = Path(os.path.realpath(path))
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        what = f"{flag} {path} is a file"
        same = folder == Path(os.path.realpath(path))
        raise UsageError(
            what if same else f"{flag} {path}: {folder} is a file", hint="a folder, or a new name"
        )
    _require_room(flag, path, folder)


def _require_room(flag: str, path: str | Path, folder: Path) -> None:
    """Raise `UsageError` unless a file can be made in `folder`: one is, without a name."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{flag} {path}: cannot write in {folder}: {reason}", hint=f"another {flag}"
        ) from None
