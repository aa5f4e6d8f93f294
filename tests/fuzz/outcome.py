"""What a format is to the fuzzer, and what can become of one of its cases."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

READ, REFUSED = "read", "refused"
GOOD = (READ, REFUSED)
"""What may become of a case: snnc takes it, or says in one line why not."""

EXECUTED, TRACEBACK, MEMORY, HANG, SIGNAL = "executed", "traceback", "memory", "hang", "signal"
BAD = (EXECUTED, TRACEBACK, MEMORY, HANG, SIGNAL)

SECONDS = 10.0
"""The longest that a case may take."""
BYTES = 2 << 30
"""The most memory that a case may take."""
MARKER = "marker"
"""The file that code of a case leaves in the current folder when it runs."""


class Format(Protocol):
    """One kind of file."""

    name: str

    def write(self, rng: Random, place: Path) -> Path:
        """Write one changed file, or folder of files, into the empty folder `place`."""
        ...

    def is_whole(self, path: Path) -> bool:
        """Whether the file passes the own check of its container: of a zip, of a header."""
        ...

    def use(self, path: Path, rng: Random) -> None:
        """Do with the file what snnc does with such files.

        Raises:
            SnncError: it is refused.
        """
        ...


@dataclass
class Tally:
    """Counts of the cases of one format.

    Attributes:
        cases: number of cases.
        whole: those that passed the own check of their container.
        outcomes: number of cases by what became of them.
        slowest: seconds that the longest one took, and its number.
        faults: number and description of every case that went wrong.
    """

    cases: int = 0
    whole: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    slowest: tuple[float, int] = (0.0, 0)
    faults: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def add(self, number: int, outcome: str, *, whole: bool, seconds: float, what: str) -> None:
        """Count one case."""
        self.cases += 1
        self.whole += whole
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, (seconds, number))
        if outcome in BAD:
            self.faults.append((number, f"{outcome}: {what}"))

    def merge(self, other: Tally) -> None:
        """Add the counts of `other`."""
        self.cases += other.cases
        self.whole += other.whole
        self.outcomes += other.outcomes
        self.slowest = max(self.slowest, other.slowest)
        self.faults += other.faults

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {**vars(self), "outcomes": dict(self.outcomes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """The tally of `to_json`."""
        faults = [(number, what) for number, what in data["faults"]]
        outcomes, slowest = Counter(data["outcomes"]), tuple(data["slowest"])
        return cls(**{**data, "outcomes": outcomes, "faults": faults, "slowest": slowest})

    def line(self, name: str) -> str:
        """The counts in one line."""
        counts = "  ".join(f"{each} {self.outcomes[each]}" for each in (*GOOD, *BAD))
        seconds, number = self.slowest
        start = f"{name:<12} {self.cases} cases, {self.whole} whole"
        return f"{start}: {counts}  slowest {seconds:.1f} s ({number})"
