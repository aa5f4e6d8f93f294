"""A short campaign over every format; and that a campaign sees what goes wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
CASES = 16
LINE = re.compile(r"^(\w+) +(\d+) cases, (\d+) whole: ", re.MULTILINE)
FORMATS = (
    *("pickle", "safetensors", "snnc", "plans", "kernels"),
    *("npy", "npz", "idx", "images", "cifar"),
)
FAULTY = """
import os
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

from fuzz.campaign import Campaign
from snnc.errors import DataError

class Faulty:
    name = "faulty"

    def write(self, rng, place):
        (place / "number").write_text(str(rng.random()))
        return place / "number"

    def is_whole(self, path):
        return True

    def use(self, path, rng):
        match self.number(path):
            case 0:
                os.kill(os.getpid(), 11)
            case 1:
                time.sleep(60)
            case 2:
                raise KeyError("x")
            case 3:
                os.system("true")
            case 4:
                Path("marker").touch()
            case 5:
                np.ones(1 << 32)
            case 6:
                raise DataError("two\\nlines")
            case 7:
                raise DataError("one line")
            case _:
                pass

    def number(self, path):
        return self.numbers[path.read_text()]


Faulty.numbers = {str(Random(f"5 faulty {n} write").random()): n for n in range(9)}
log = Path(sys.argv[1]) / "log"
for _ in range(2):
    tally = Campaign(5, Path(sys.argv[1]) / "place", log, seconds=0.5).run(Faulty(), 0, 9)
    print(sorted(tally.outcomes.items()), [number for number, _ in sorted(tally.faults)])
print(len(log.read_text().splitlines()))
"""


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python …` in the folder of the package."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=500)


@pytest.mark.parametrize("half", [FORMATS[:5], FORMATS[5:]], ids=["networks", "data"])
def test_nothing_goes_wrong_with_changed_files(half: tuple[str, ...]) -> None:
    chosen = [word for name in half for word in ("--format", name)]
    done = fuzz("-m", "fuzz", "--cases", str(CASES), "--seed", "7", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {name: (int(cases), int(whole)) for name, cases, whole in LINE.findall(done.stdout)}
    total = counts.pop("all")
    assert set(counts) == set(half) and {cases for cases, _ in counts.values()} == {CASES}
    assert total[1] >= total[0] / 2, "most files should pass the own check of their container"


def test_what_goes_wrong_is_seen(tmp_path: Path) -> None:
    done = fuzz("-c", FAULTY, str(tmp_path))
    first, again, lines = done.stdout.splitlines()
    counts = {"executed": 2, "hang": 1, "memory": 1, "read": 1, "refused": 1, "signal": 1}
    assert first == f"{sorted({**counts, 'traceback': 2}.items())} {[0, 1, 2, 3, 4, 5, 6]}"
    assert (again, lines) == (first, "1"), "the second campaign takes its counts from the log"
