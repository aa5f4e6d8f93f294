"""Exactly `snnc compile model.pt --target …`, in an empty folder, and what it says of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: extra [demo]")

TARGETS = ("cpu", "crossbar")
WARNING = "warning: not calibrated: "


@pytest.fixture(scope="module")
def model(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled digits network, pickled by its script."""
    path = tmp_path_factory.mktemp("pickled") / "model.pt"
    script = repository / "examples" / "digits" / "pickled.py"
    subprocess.run([sys.executable, str(script), str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for `model.pt`."""
    (tmp_path / "model.pt").write_bytes(model.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", TARGETS)
def test_the_literal_command(snnc: Any, here: Path, target: str, caplog: Any) -> None:
    done = snnc("compile", "model.pt", "--target", target)
    assert done.code == 0, done.err
    assert done.err.count(WARNING) == 1 and "give --calibration DATA" in done.err
    assert "model.pt: input shape 1,8,8 inferred" in caplog.text
    assert "artifact: " in done.out and "accuracy" not in done.out
    assert sorted(path.name for path in here.iterdir()) == ["model.pt", "model.snnc"]
    found = json.loads(snnc("eval", "model.snnc", "--data", "digits#test", "--json").out)
    assert found["target"].startswith(target)
    assert found["accuracy"] > 0.97


@pytest.mark.parametrize("target", TARGETS)
def test_with_calibration(snnc: Any, here: Path, target: str) -> None:
    done = snnc("compile", "model.pt", "--target", target, "--calibration", "digits#train")
    assert done.code == 0, done.err
    assert WARNING not in done.err
    compare = ("--data", "digits#test", "--compare", "model.pt", "--json")
    found = json.loads(snnc("eval", "model.snnc", *compare).out)
    assert found["accuracy"] > 0.98 and found["agreement"] > 0.98
    assert found["ann_accuracy"] == pytest.approx(0.996, abs=0.002)
    assert found["ann_max_rel_diff"] < 1e-5


def test_the_report_says_it_is_not_calibrated(snnc: Any, here: Path) -> None:
    report = json.loads(snnc("compile", "model.pt", "--json").out)
    assert report["model"] == "model.pt" and report["calibrated"] is False
    assert report["calibration"] is None
    assert report["synthetic"]["method"] == "batch-norm statistics"
    assert 0 < report["synthetic"]["mismatch"] < 1
    assert not any("accuracy" in key for key in report)
    calibrated = json.loads(
        snnc("compile", "model.pt", "--calibration", "digits#train", "--json").out
    )
    assert calibrated["calibrated"] is True and calibrated["synthetic"] is None


def test_a_dry_run_writes_nothing(snnc: Any, here: Path) -> None:
    done = snnc("compile", "model.pt", "--dry-run")
    assert done.code == 0 and "can be compiled" in done.out and WARNING in done.err
    assert [path.name for path in here.iterdir()] == ["model.pt"]


SAVE = """
import numpy as np, snnc, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
    def forward(self, x):
        return self.b(self.a(x).relu())

torch.manual_seed(0)
net = Net().eval()
snnc.save(net, np.zeros((5, 6), np.float32), "net.snnc")
snnc.save(net, (6,), "shape.snnc")
snnc.save(net, torch.zeros(1, 6), "tensor.snnc")
snnc.save(net, None, "inferred.snnc")
torch.save(net, "model.pt")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, which is all it has of ours besides what is installed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_saved_network_needs_no_class(tmp_path: Path) -> None:
    training, empty = tmp_path / "training", tmp_path / "empty"
    for folder in (training, empty):
        folder.mkdir()
    (training / "train.py").write_text(SAVE)
    done = run(training, "train.py")
    assert done.returncode == 0, done.stderr
    saved = {path.name: path.read_bytes() for path in training.glob("*.snnc")}
    assert len(saved) == 4 and len(set(saved.values())) == 1
    (empty / "net.snnc").write_bytes(saved["net.snnc"])
    (empty / "model.pt").write_bytes((training / "model.pt").read_bytes())
    done = run(empty, "-m", "snnc", "compile", "net.snnc", "-o", "out.snnc")
    assert done.returncode == 0 and WARNING in done.stderr, done.stderr
    assert (empty / "out.snnc").exists()
    done = run(empty, "-m", "snnc", "compile", "model.pt")
    assert done.returncode == 2
    assert "model.pt contains classes snnc does not know: __main__.Net" in done.stderr
    assert "--allow __main__.Net=SCRIPT.Net" in done.stderr and "Traceback" not in done.stderr
