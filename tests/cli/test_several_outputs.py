"""A network of two outputs: refused by one sentence where a program is made or run, else taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnc.artifact import write
from snnc.driver.models import save
from snnc.frontends import trace
from snnc.ir import Graph
from snnc.pipeline import Pipeline
from snnc.transform import PassContext

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, heads):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.heads = nn.Linear(6, 8), nn.ModuleList(nn.Linear(8, 3) for _ in range(heads))

    def forward(self, x):
        x = torch.relu(self.fc(x))
        outputs = tuple(head(x) for head in self.heads)
        return outputs if len(outputs) > 1 else outputs[0]

def two(): return Net(2)
def one(): return Net(1)
"""
SENTENCE = "error: the network has 2 outputs (heads.0, heads.1); a compiled network has one"
DATA = ("--calibration", "x.npy", "-T", "4")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `net.py`, `x.npy`, `one.snnc` compiled, `two.snnc` at stage ann."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    np.save("x.npy", np.random.default_rng(0).random((20, 6), np.float32))
    save("net.py:two", (6,), "two.snnc")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", "net.py:two", *DATA, "-o", "out.snnc"),
        ("compile", "two.snnc", *DATA, "-o", "out.snnc"),
        ("compile", "net.py:two", *DATA, "--dry-run"),
        ("diagnose", "net.py:two", *DATA),
        ("diagnose", "two.snnc", *DATA),
        ("eval", "one.snnc", "--data", "x.npy", "--compare", "net.py:two"),
        ("diagnose", "one.snnc", "--compare", "net.py:two", "--calibration", "x.npy"),
    ],
    ids=" ".join,
)
def test_a_model_of_two_outputs_is_refused(snnc, place: Path, arguments: tuple[str, ...]) -> None:
    if "one.snnc" in arguments:
        assert snnc("compile", "net.py:one", *DATA, "-o", "one.snnc", "-q").code == 0
    done = snnc(*arguments)
    assert done.code == 3 and SENTENCE.removeprefix("error: ") in done.err
    assert "return one of them, or torch.cat of them along dim=1" in done.err
    assert not Path("out.snnc").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "made.snnc", "--input", "x.npy", "-o", "y.npy"),
        ("eval", "made.snnc", "--data", "x.npy"),
        ("verify", "made.snnc"),
        ("diagnose", "made.snnc", "--compare", "net.py:one", "--calibration", "x.npy"),
        ("compile", "made.snnc", "-o", "out.snnc"),
    ],
    ids=" ".join,
)
def test_an_artifact_of_two_outputs_is_refused(
    snnc, place: Path, arguments: tuple[str, ...]
) -> None:
    write("made.snnc", spiking(), target="reference")
    done = snnc(*arguments)
    assert done.code == 3 and "the network has 2 outputs" in done.err
    assert not Path("y.npy").exists() and not Path("out.snnc").exists()


def spiking() -> Graph:
    from torch import Tensor, nn

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.fc(x).relu()
            return self.a(x), self.b(x)

    pipeline = Pipeline.from_text("activations-to-neurons,threshold-balance,fold-scale")
    x = np.ones((4, 6), np.float32)
    return pipeline.run(trace(Heads(), (6,)), PassContext(calibration=[(x, None)])).graph


def test_verbs_of_graphs_take_every_output(snnc, place: Path) -> None:
    assert snnc("opt", "two.snnc", "--passes", "fold-batchnorm", "-o", "opt.snnc").code == 0
    assert "heads.1" in snnc("inspect", "opt.snnc", "--ir").out
    done = snnc("export", "opt.snnc", "--format", "text", "-o", "text")
    assert done.code == 0, done.err
