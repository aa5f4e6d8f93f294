"""The ladders from an ANN to one time step, small: what they print, and that they go on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from snnc.artifact import open_artifact
from snnc.data import open_data
from snnc.ir import Neuron

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")

ROW = re.compile(r"^(\w+) +(\d*) +([\d.]+) %(?:  ([\d.]+))?$", re.MULTILINE)


@dataclass(frozen=True)
class Ladder:
    """A command line of an example on digits, enlarged to the size of its own data."""

    command: tuple[str, ...]

    def start(self, workdir: Path, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *self.command, "--workdir", str(workdir), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, workdir: Path, *options: str) -> str:
        process = self.start(workdir, *options)
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        return out


def ladder(script: Path, data: Path, enlarged: int, border: int, channels: int) -> Ladder:
    for split, count in (("train", 160), ("test", 100)):
        x, y = open_data(f"digits#{split}[:{count}]").take(np.arange(count))
        large = np.kron(x, np.ones((1, 1, enlarged, enlarged), np.float32))
        padded = np.pad(large, ((0, 0), (0, 0), (border, border), (border, border)))
        np.savez(data / f"{split}.npz", x=np.repeat(padded, channels, 1), y=y)
    files = ("--train", str(data / "train.npz"), "--test", str(data / "test.npz"))
    few = ("--images", "150", "--ann-epochs", "6", "--batch", "15")
    return Ladder((str(script), *files, *few))


@pytest.fixture(scope="module")
def mnist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    script = repository / "examples" / "mnist_ladder" / "ladder.py"
    return ladder(script, tmp_path_factory.mktemp("mnist"), enlarged=3, border=2, channels=1)


@pytest.fixture(scope="module")
def cifar10(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Ladder:
    script = repository / "examples" / "cifar10_iir" / "iir.py"
    return ladder(script, tmp_path_factory.mktemp("cifar10"), enlarged=4, border=0, channels=3)


def rows(printed: str) -> list[tuple[str, str]]:
    found = [(name, timesteps) for name, timesteps, *_ in ROW.findall(printed)]
    assert found[:2] == [("ANN", ""), ("converted", "5")], printed
    assert found[2:] == [("trained", str(t)) for t in (5, 4, 3, 2, 1)], printed
    return found


@pytest.fixture(scope="module")
def uninterrupted(mnist: Ladder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    workdir = tmp_path_factory.mktemp("run") / "new"
    return workdir, mnist.run(workdir)


def test_mnist_ends_with_one_step(uninterrupted: tuple[Path, str]) -> None:
    workdir, printed = uninterrupted
    rows(printed)
    accuracy = [float(row[2]) for row in ROW.findall(printed)]
    assert accuracy[0] > 80 and accuracy[-1] > 60, printed
    spikes = [float(row[3]) for row in ROW.findall(printed)[2:]]
    assert spikes == sorted(spikes, reverse=True) and 0 < spikes[-1] < 1
    graph = open_artifact(workdir / "T1.snnc").graph()
    neurons = [node.op for node in graph if isinstance(node.op, Neuron)]
    assert graph.meta["timesteps"] == 1 and len(neurons) == 6
    assert all(op.leak == 1 and op.reset == "subtract" for op in neurons)


def test_a_killed_run_goes_on_to_the_same_networks(
    mnist: Ladder, uninterrupted: tuple[Path, str], tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    for appears in ("ann.pt", "T4.snnc"):
        process = mnist.start(workdir)
        while not (workdir / appears).exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert not (workdir / "T1.snnc").exists()
    before = (workdir / "T4.snnc").stat().st_mtime_ns
    printed = mnist.run(workdir)
    assert (workdir / "T4.snnc").stat().st_mtime_ns == before
    assert printed == uninterrupted[1]
    one, two = (open_artifact(w / "T1.snnc").graph() for w in (workdir, uninterrupted[0]))
    assert one.fingerprint() == two.fingerprint()


def test_a_folder_of_other_settings_is_refused(
    mnist: Ladder, uninterrupted: tuple[Path, str]
) -> None:
    process = mnist.start(uninterrupted[0], "--epochs", "2")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.strip().endswith("holds a run of other settings; give another --workdir")


def test_cifar10_ends_with_one_step(cifar10: Ladder, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    rows(cifar10.run(workdir, "--width", "2", "--images", "45", "--ann-epochs", "1"))
    graph = open_artifact(workdir / "T1.snnc").graph()
    neurons = [node.op for node in graph if isinstance(node.op, Neuron)]
    assert graph.meta["timesteps"] == 1 and len(neurons) == 15
    assert all(op.leak == 1 and op.v_init == 0 for op in neurons)
