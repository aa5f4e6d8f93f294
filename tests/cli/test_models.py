"""Models of the user's own on the command line: compared with torch, and refused by their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

NET = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 6 * 6, 5)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        return self.fc(x.flatten(1))


class Odd(Net):
    def forward(self, x):
        x = F.gelu(self.conv(x))
        x = F.gelu(x)
        return self.fc(x.flatten(1))


class Pooled(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""
SHAPE = ("--input-shape", "2,6,6")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`net.py`, `w.safetensors`, `nan.safetensors`, `data.npz`."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.py").write_text(NET)
    names: dict[str, Any] = {}
    exec(compile(NET, "net.py", "exec"), names)
    torch.manual_seed(0)
    model = names["Net"]().eval()
    model.bn.running_var.uniform_(0.5, 2)
    model.bn.running_mean.uniform_(-1, 1)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    save_file(weights, folder / "w.safetensors")
    weights["conv.weight"][0, 0, 0, 0] = torch.nan
    save_file(weights, folder / "nan.safetensors")
    x = np.random.default_rng(0).random((40, 2, 6, 6), dtype=np.float32)
    with torch.no_grad():
        y = model((torch.from_numpy(x) - 0.5) / 0.25).argmax(1).numpy()
    np.savez(folder / "data.npz", x=x, y=y)
    return folder


def test_the_ann_stage_equals_torch(snnc: Any, net: Path, tmp_path: Path) -> None:
    source = (f"{net}/net.py:Net", "--weights", net / "w.safetensors")
    norm = ("--mean", "0.5", "--std", "0.25")
    out = tmp_path / "net.snnc"
    done = snnc(
        *("compile", *source, *SHAPE, *norm, "-o", out, "-T", 64, "--target", "reference"),
        *("--calibration", net / "data.npz"),
    )
    assert done.code == 0, done.err
    assert "net.py:13" in done.out
    compare = ("eval", out, "--data", net / "data.npz", "--json", "--compare", *source)
    found = json.loads(snnc(*compare).out)
    assert found["ann_accuracy"] == 1.0
    assert found["ann_max_rel_diff"] < 1e-5
    assert found["agreement"] == found["accuracy"] > 0.9
    other = json.loads(snnc(*compare, "--mean", "0.0", "--std", "1").out)
    assert other["ann_accuracy"] < 1.0, "--mean and --std of the command line count"
    wrong = snnc(*compare[:6], *source, "--input-shape", "2,5,5")
    assert wrong.code == 2 and "the artifact takes (2, 6, 6)" in wrong.err


def test_every_unsupported_op_is_shown_with_its_line(snnc: Any, net: Path) -> None:
    done = snnc("compile", f"{net}/net.py:Odd", *SHAPE, "--calibration", net / "data.npz")
    assert done.code == 3 and "Traceback" not in done.err
    assert "net.py:19" in done.err and "net.py:20" in done.err and "gelu" in done.err
    tried = snnc(
        "compile", f"{net}/net.py:Odd", *SHAPE, "--calibration", net / "data.npz", "--dry-run"
    )
    assert tried.code == 3 and "net.py:20" in tried.err


def test_a_model_of_any_size_takes_that_of_the_data(snnc: Any, net: Path, tmp_path: Path) -> None:
    command = ("compile", f"{net}/net.py:Pooled", "-o", tmp_path / "net.snnc")
    done = snnc(*command)
    assert done.code == 2 and "takes inputs of several sizes" in done.err
    assert "--input-shape 2,32,32" in done.err and not list(tmp_path.iterdir())
    done = snnc(*command, "--calibration", net / "data.npz")
    assert done.code == 0 and "input shape 2,6,6, that of the samples of --cal" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("net.py:Net", *SHAPE, "--weights", "nan.safetensors"), ("NaN", "conv.weight")),
        (("net.py:Net", *SHAPE, "--weights", "none.safetensors"), ("none.safetensors",)),
        (("net.py:Net", "--input-shape", "3,6,6"), ("net.py", "channels")),
        (("net.py:Net", "--input-shape", "2,0,6"), ("--input-shape 2,0,6",)),
        (("net.py:Net", "--input-shape", "2,x,6"), ("--input-shape 2,x,6",)),
        (("net.py:Nett", *SHAPE), ("Nett",)),
        (("none.py:Net", *SHAPE), ("none.py",)),
        (("net.py", *SHAPE), ("names no factory",)),
        (("w.safetensors", *SHAPE), ("holds weights only",)),
    ],
    ids=str,
)
def test_wrong_models(
    snnc: Any, net: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, words: Any
) -> None:
    monkeypatch.chdir(net)
    done = snnc("compile", *arguments, "--calibration", "data.npz")
    assert done.code == 2, done.err
    assert done.err.count("error: ") == 1 and "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err
    assert not list(net.glob("*.snnc"))
