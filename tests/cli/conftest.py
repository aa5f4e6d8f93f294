"""A small network, its data, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from snnc.artifact import write
from snnc.cli.main import run
from snnc.testing import Style, build


@dataclass(frozen=True)
class Done:
    """What a command line gave."""

    code: int
    out: str
    err: str


Snnc = Callable[..., Done]


@pytest.fixture
def snnc(capsys: pytest.CaptureFixture[str]) -> Snnc:
    """Run `snnc …`."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        found = capsys.readouterr()
        return Done(code, found.out, found.err)

    return call


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ann.snnc`, `cal.npz` (with labels), `x.npy`, `other.npz` (of another shape), `q.snnc`."""
    place = tmp_path_factory.mktemp("cli")
    write(place / "ann.snnc", build("plain", Style.ANN))
    rng = np.random.default_rng(0)
    x = rng.random((24, 2, 6, 6), dtype=np.float32)
    np.savez(place / "cal.npz", x=x, y=rng.integers(0, 5, 24))
    np.savez(place / "real.npz", x=x, y=rng.random((24, 5), dtype=np.float32))
    np.save(place / "x.npy", x[:3])
    np.savez(place / "other.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    (place / "text.txt").write_text("not an artifact\n")
    command = ["compile", place / "ann.snnc", "-o", place / "q.snnc", "--target", "reference"]
    command += ["--recipe", "convert{bits=8}", "--calibration", place / "cal.npz", "-q"]
    assert run([str(each) for each in command]) == 0
    return place
