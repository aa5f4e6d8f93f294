"""`snnc attack`: figures, files to go on from, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BASE = ["--eps", "1/10", "--steps", "3", "--limit", "12", "--batch-size", "5"]


@pytest.fixture
def attacked(snnc: Any, folder: Path) -> Callable[..., Any]:
    def call(*arguments: object, network: str = "q.snnc") -> Any:
        data = ["--data", folder / "cal.npz"]
        return snnc("attack", folder / network, *data, *BASE, *arguments)

    return call


def test_figures(attacked: Callable[..., Any], folder: Path) -> None:
    done = attacked("--method", "fgsm,noise,transfer", "--source", folder / "ann.snnc", "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert list(figures["attacks"]) == ["fgsm", "noise", "transfer-pgd", "transfer-adaptive"]
    assert figures["samples"] == 12 and figures["eps"] == 0.1 and figures["seeds"] == 1
    least = min(each["accuracy"] for each in figures["attacks"].values())
    assert figures["adversarial_accuracy"] <= min(least, figures["clean_accuracy"])
    shown = attacked("--method", "noise")
    assert "adversarial accuracy" in shown.out and "no claim of robustness" in shown.err


def test_an_ann_is_attacked_as_it_is(attacked: Callable[..., Any]) -> None:
    done = attacked("--method", "pgd", "--json", network="ann.snnc")
    assert done.code == 0 and json.loads(done.out)["attacks"]["pgd"]["queries"] > 0


def test_an_attack_goes_on_from_its_files(
    attacked: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--method", "adaptive", "--workdir", tmp_path, "--json"]
    whole = attacked(*options)
    files = sorted(tmp_path.glob("adaptive-*.npz"))
    assert [file.name for file in files] == [f"adaptive-{i:06}.npz" for i in (0, 5, 10)]
    files[1].unlink()
    again = attacked(*options, "--resume")
    assert json.loads(again.out) == json.loads(whole.out)
    other = attacked(*options, "--resume", "--restarts", "2")
    assert other.code == 2 and "is of another attack" in other.err
    files[0].write_bytes(files[0].read_bytes()[:100])
    broken = attacked(*options, "--resume")
    assert broken.code == 2 and "cannot be read" in broken.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--method", "cw"], "unknown method 'cw'"),
        (["--method", ","], "nothing is named"),
        (["--method", "transfer"], "--source ART|MODEL"),
        (["--eps", "8/0"], "not a number"),
        (["--eps", "two"], "not a number"),
        (["--bounds", "0"], "two values"),
        (["--bounds", "0.5,1"], "lie outside"),
        (["--surrogate", "triangel"], "unknown surrogate 'triangel'"),
        (["--surrogate", "atan{width=1}"], "unknown option 'width'"),
        (["--surrogate", "triangle{width=-1}"], "width=-1 is not positive"),
        (["--eot", "0"], "--eot 0: at least one"),
        (["--resume"], "--workdir DIR"),
        (["-T", "0"], "at least one time step"),
        (["--mean", "0.5"], "--mean: "),
        (["--weights", "w.safetensors"], "is compiled, and no model is read"),
    ],
)
def test_wrong_usage(attacked: Callable[..., Any], options: list[str], told: str) -> None:
    method = [] if "--method" in options else ["--method", "noise"]
    done = attacked(*method, *options)
    assert done.code == 2 and told in done.err, done.err
    assert "Traceback" not in done.err


def test_data_needs_classes(attacked: Callable[..., Any], folder: Path) -> None:
    for name in ("real.npz", "x.npy"):
        done = attacked("--method", "noise", "--data", folder / name)
        assert done.code == 2 and "class numbers" in done.err, done.err


def test_what_needs_the_toolbox_says_so(
    attacked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "art.attacks", None)
    done = attacked("--method", "pgd")
    assert done.code == 2 and "pip install 'snnc[robust]'" in done.err
    assert attacked("--method", "adaptive").code == 0


def test_the_files_hold_the_inputs(attacked: Callable[..., Any], tmp_path: Path) -> None:
    assert attacked("--method", "noise", "--workdir", tmp_path).code == 0
    with np.load(tmp_path / "noise-000005.npz", allow_pickle=False) as held:
        assert held["x"].shape == (5, 2, 6, 6) and held["x"].dtype == np.float32


def test_a_file_tells_which_answers_were_right(
    attacked: Callable[..., Any], tmp_path: Path
) -> None:
    done = attacked("--method", "noise,adaptive", "--workdir", tmp_path, "--json")
    figures = json.loads(done.out)
    with np.load(tmp_path / "right.npz", allow_pickle=False) as right:
        assert sorted(right) == ["adaptive", "clean", "noise"]
        assert right["clean"].shape == (1, 12)
        assert right["clean"].mean() == figures["clean_accuracy"]
        assert right["adaptive"].mean() == figures["attacks"]["adaptive"]["accuracy"]
