"""Runs cases one after the other in a process with limits, and says what became of each."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from fuzz.outcome import BYTES, EXECUTED, MARKER, MEMORY, READ, REFUSED, TRACEBACK, Format
from snnc.errors import SnncError

_STARTS_PROCESSES = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen")
_NO_MEMORY = ("alloc", "not enough memory")
LONGEST = 300  # characters of a description


class Watch:
    """Tells whether a process was started while it is armed, whatever name it was reached by."""

    def __init__(self) -> None:
        self.armed, self.seen = False, ""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: Any) -> None:
        if self.armed and event in _STARTS_PROCESSES:
            self.seen = event


def work(kind: Format, seed: int, numbers: Iterable[int], place: Path, out: BinaryIO) -> None:
    """Run the cases `numbers` of a format; each begins and ends with a line of JSON in `out`."""
    _limit()
    watch = Watch()
    os.environ["HOME"] = os.devnull  # no cache of compiled kernels
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for number in numbers:
        _say(out, {"begin": number})
        _say(out, {"end": number, **_case(kind, seed, number, place, watch)})


def case(kind: Format, seed: int, number: int, place: Path) -> Path:
    """Write a case into the empty folder `place`."""
    return kind.write(_random(seed, kind, number, "write"), place)


def _random(seed: int, kind: Format, number: int, part: str) -> Random:
    return Random(f"{seed} {kind.name} {number} {part}")


def _case(kind: Format, seed: int, number: int, place: Path, watch: Watch) -> dict[str, Any]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.chdir(place)
    path = case(kind, seed, number, place)
    (place / MARKER).unlink(missing_ok=True)  # torch itself runs what it is to save
    found: dict[str, Any] = {"whole": kind.is_whole(path)}
    start = time.process_time()
    watch.armed, watch.seen = True, ""
    outcome, what = _outcome(kind, path, _random(seed, kind, number, "use"))
    watch.armed = False
    found["seconds"] = round(time.process_time() - start, 3)
    if watch.seen or (place / MARKER).exists():
        outcome, what = EXECUTED, watch.seen or "the marker is there"
    return {**found, "outcome": outcome, "what": what[:LONGEST]}


def _outcome(kind: Format, path: Path, rng: Random) -> tuple[str, str]:
    try:
        kind.use(path, rng)
    except SnncError as error:
        if _lacks_memory(error):
            return MEMORY, error.message
        if "\n" in error.message.replace("\n  ", ""):  # lists are indented
            return TRACEBACK, f"several lines: {error.message!r}"
        return REFUSED, error.message
    except BaseException as error:
        outcome = MEMORY if _lacks_memory(error) else TRACEBACK
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        return outcome, f"{type(error).__name__}: {' '.join(str(error).split())[:120]} at {where}"
    return READ, ""


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory had run out, also where a clear line was made of that."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, RuntimeError) and any(word in text for word in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit() -> None:
    """Allow `BYTES` more memory than the process has now, and no dumps of it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(out: BinaryIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line).encode() + b"\n")
    out.flush()
