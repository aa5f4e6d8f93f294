"""SIGKILL at random moments: nothing is half written; the command, run again, ends as ever."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSES = (
    "fold-batchnorm,lower-avgpool,activations-to-neurons,threshold-balance,initialize-potential,"
    "fold-scale,learn{epochs=3 batch=8}"
)
OLD = b"the old one"


@dataclass
class Verb:
    """A command line that is run in `place`, and the files it writes there.

    Attributes:
        arguments: of `snnc`.
        place: its folder, in which also the home folder lies.
        written: names of files that a run replaces.
    """

    arguments: list[str]
    place: Path
    written: tuple[str, ...]

    def start(self) -> subprocess.Popen[bytes]:
        """The process."""
        home = {"HOME": str(self.place / "home"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "snnc", *self.arguments],
            cwd=self.place,
            env={**os.environ, **home},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def finish(self) -> float:
        """Run it to its end; the seconds it took."""
        began = time.monotonic()
        with self.start() as child:
            out, _ = child.communicate()
        assert child.returncode == 0, out.decode()
        return time.monotonic() - began

    def kill(self, seconds: float) -> None:
        """Run it for so long at most."""
        with self.start() as child:
            try:
                child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                child.kill()

    def content(self) -> dict[str, bytes]:
        """What lies under the names of the files it writes."""
        paths = [(name, self.place / name) for name in self.written]
        return {name: path.read_bytes() for name, path in paths if path.exists()}


def verb(name: str, folder: Path, place: Path) -> Verb:
    """One of the three, in a folder of its own."""
    place.mkdir()
    data = str(folder / "cal.npz")
    report = ("--report", "rep", "-q")
    if name == "eval":
        arguments = ["eval", str(folder / "q.snnc"), "--data", data, *report]
        return Verb(arguments, place, ("rep/report.json",))
    model = ["compile", str(folder / "ann.snnc"), "--calibration", data, "-o", "net.snnc"]
    (place / "net.snnc").write_bytes(OLD)
    if name == "compile":
        return Verb([*model, "--recipe", "convert{bits=8}", *report], place, ("net.snnc",))
    learning = ["--passes", PASSES, "--train", data, "-T", "2", "--workdir", "work", "--resume"]
    return Verb([*model, *learning, "-q"], place, ("net.snnc",))


MANY = 34


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        *(("eval", 1), ("learn", 1)),
        *(pytest.param(n, MANY, marks=pytest.mark.long) for n in ("compile", "eval", "learn")),
    ],
)
def test_killed_at_random_moments(name: str, kills: int, folder: Path, tmp_path: Path) -> None:
    undisturbed = verb(name, folder, tmp_path / "undisturbed")
    seconds = undisturbed.finish()
    expected = undisturbed.content()
    assert set(expected) == set(undisturbed.written) and OLD not in expected.values()
    disturbed = verb(name, folder, tmp_path / "disturbed")
    moments = random.Random(f"{name} {kills}")
    for _ in range(kills):
        disturbed.kill(moments.uniform(0.2, 1.1) * seconds)
        for file, content in disturbed.content().items():
            assert content in (OLD, expected[file]) or is_whole_report(file, content)
    disturbed.finish()
    found = disturbed.content()
    if name == "eval":
        assert figures(found) == figures(expected)
    else:
        assert found == expected


def is_whole_report(name: str, content: bytes) -> bool:
    """Whether it is a report that can be read; two runs take different times."""
    return name.endswith(".json") and json.loads(content)["kind"] in ("compile", "eval")


def figures(found: dict[str, bytes]) -> dict[str, object]:
    """What a report says of the network."""
    (content,) = found.values()
    report = json.loads(content)
    return {key: report[key] for key in ("accuracy", "spikes_per_inference", "energy", "observed")}
