"""A folder that is there with all its files, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from snnc.errors import UsageError


@contextmanager
def new_folder(place: Path) -> Generator[Path, None, None]:
    """A temporary folder beside `place` that gets its name when the block ends well.

    If the block raises, nothing stays. An empty folder of that name is replaced.

    Raises:
        UsageError: the folder cannot be made, or a file in it.
    """
    target = place.resolve()
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror or error
        raise UsageError(f"cannot make {place}: {reason}", hint="another -o DIR") from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
