"""Cases in child processes: one that kills its process, or takes too long, is counted."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz.outcome import HANG, SECONDS, SIGNAL, Format, Tally
from fuzz.worker import work

BATCH = 200
"""Cases of one process."""
PATIENCE = 6
"""Seconds that pass, per second of processor time that a case may take, before it is ended."""


@dataclass(frozen=True)
class Campaign:
    """Many cases of several formats.

    Attributes:
        seed: of all cases.
        place: an empty folder of its own.
        log: file of results, one line of JSON a batch; batches that it has are not run again.
        seconds: the most processor time that a case may take.
    """

    seed: int
    place: Path
    log: Path | None = None
    seconds: float = SECONDS

    def run(self, kind: Format, start: int, stop: int) -> Tally:
        """The cases start..stop of a format."""
        done, total = self._done(kind), Tally()
        for first in range(start, stop, BATCH):
            last = min(first + BATCH, stop)
            tally = done.get((first, last)) or self._batch(kind, range(first, last))
            if (first, last) not in done:
                self._keep(kind, first, last, tally)
            total.merge(tally)
        return total

    def _batch(self, kind: Format, numbers: range) -> Tally:
        tally, waiting = Tally(), list(numbers)
        while waiting:
            with _Child(self, kind, waiting) as child:
                for line in child.lines():
                    waiting.remove(line["end"])
                    tally.add(
                        line["end"],
                        line["outcome"],
                        whole=line["whole"],
                        seconds=line["seconds"],
                        what=line["what"],
                    )
            if child.lost is not None:
                waiting.remove(child.lost)
                outcome = HANG if child.hangs else SIGNAL
                seconds = self.seconds if child.hangs else 0.0
                tally.add(child.lost, outcome, whole=True, seconds=seconds, what=child.reason)
        return tally

    def _done(self, kind: Format) -> dict[tuple[int, int], Tally]:
        if self.log is None or not self.log.exists():
            return {}
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return {
            (line["start"], line["stop"]): Tally.from_json(line["tally"])
            for line in lines
            if (line["format"], line["seed"]) == (kind.name, self.seed)
        }

    def _keep(self, kind: Format, start: int, stop: int, tally: Tally) -> None:
        if self.log is None:
            return
        facts = {"format": kind.name, "seed": self.seed, "start": start, "stop": stop}
        with self.log.open("a") as file:
            file.write(json.dumps({**facts, "tally": tally.to_json()}) + "\n")


class _Child:
    """A process that runs cases.

    Attributes:
        lost: the case in which it died or was ended; None if it came to its end.
        hangs: whether it was ended.
        reason: how it ended.
    """

    def __init__(self, campaign: Campaign, kind: Format, numbers: Sequence[int]) -> None:
        self.lost: int | None = None
        self.hangs, self.reason = False, ""
        self._read, written = os.pipe()
        self._place, self._seconds = campaign.place / "case", campaign.seconds
        self._patience = PATIENCE * campaign.seconds
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _child(campaign, kind, numbers, self._place, written)
        os.close(written)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.hangs:
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self._read)
        code = os.waitstatus_to_exitcode(status)
        self.reason = "too slow" if self.hangs else f"exit code {code}"
        if code == 1 and not self.hangs:
            raise RuntimeError("the fuzzer itself failed, see above")
        shutil.rmtree(self._place, ignore_errors=True)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The line of each case that ended."""
        rest = b""
        while True:
            ready, _, _ = select.select([self._read], [], [], self._patience)
            if not ready:
                self.hangs = True
                return
            data = os.read(self._read, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in map(json.loads, lines):
                if "begin" in line:
                    self.lost = line["begin"]
                    continue
                self.lost = None
                slow = line["seconds"] > self._seconds
                yield {**line, "outcome": HANG} if slow else line


def _child(
    campaign: Campaign, kind: Format, numbers: Sequence[int], place: Path, written: int
) -> None:
    code = 1
    try:
        with os.fdopen(written, "wb") as out:
            work(kind, campaign.seed, numbers, place, out)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
