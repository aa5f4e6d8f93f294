"""Optional cache of compiled objects in the user's cache folder: private, with checksums."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size


def default_folder() -> Path:
    """The default folder, `~/.cache/snnc/objects`. Raises `RuntimeError` without a home folder."""
    return Path.home() / ".cache" / "snnc" / "objects"


@dataclass(frozen=True)
class ObjectCache:
    """A folder of objects, each prefixed with its SHA-256. Open one with `open_cache`."""

    folder: Path

    def get(self, key: str) -> bytes | None:
        """The object, or None if it is missing, damaged or owned by another user."""
        try:
            handle = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if os.fstat(file.fileno()).st_uid != os.getuid():
                    return None
                content = file.read()
        except OSError:
            return None
        digest, image = content[:_DIGEST], content[_DIGEST:]
        return image if hashlib.sha256(image).digest() == digest else None

    def put(self, key: str, image: bytes) -> None:
        """Store an object; if the disk is full or read-only, only a warning is logged."""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(image).digest() + image)
                os.replace(temporary, self._path(key))
            except OSError:
                os.unlink(temporary)
                raise
        except OSError as error:
            _warn(self.folder, error.strerror or str(error))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.o"


def open_cache(folder: Path | None = None, warn: bool = True) -> ObjectCache | None:
    """The cache in `folder` (default: the user's), created with mode 0700 if missing.

    None if the folder cannot be created or written, belongs to another user, or is accessible to
    others; with `warn`, the log says so.
    """
    place: Path | str = "~"
    try:
        place = default_folder() if folder is None else folder
        reason = _useless(place)
    except RuntimeError:
        reason = "there is no home folder"
    if isinstance(place, Path) and reason is None:
        return ObjectCache(place)
    if warn:
        _warn(place, str(reason))
    return None


def _useless(place: Path) -> str | None:
    """Why a folder, which is made if it is missing, cannot hold a cache; None if it can."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.lstat(place)
    except OSError as error:
        return error.strerror or str(error)
    return _unsafe(status) or (None if os.access(place, os.W_OK | os.X_OK) else "read-only")


def _unsafe(status: os.stat_result) -> str | None:
    if not stat.S_ISDIR(status.st_mode):
        return "not a folder"
    if status.st_uid != os.getuid():
        return "it belongs to another user"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(status.st_mode):04o}); chmod 700 it"
    return None


def _warn(place: Path | str, reason: str) -> None:
    import logging  # takes a while, and a cache that works says nothing

    logging.getLogger("snnc").warning(
        "no cache of compiled kernels in %s (%s); every load compiles anew", place, reason
    )
