"""A file that is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from snnc.special_file import is_special


@contextmanager
def new_file(place: Path) -> Generator[Path, None, None]:
    """A path beside `place`, to be written, that gets its name when the block ends well.

    If the block raises, nothing stays, and a file that was there before is untouched. A device or
    a FIFO is no file that could be replaced: it is `place` itself that is written then. A link
    stays a link: the file it leads to is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    if is_special(place):
        yield place
        return
    place = Path(os.path.realpath(place))
    temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(place)
    except BaseException:
        with suppress(OSError):  # the folder is gone or read-only: the first error is raised
            temporary.unlink(missing_ok=True)
        raise
