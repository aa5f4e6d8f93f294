"""Whether a place can be written to, asked before the work whose result goes there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from snnc.errors import UsageError


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
