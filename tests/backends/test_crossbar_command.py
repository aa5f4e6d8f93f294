"""The crossbar through the driver and the command line: figures, activity, rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact, write
from snnc.cli.main import run
from snnc.driver import evaluate, verify_artifact
from snnc.ir import Graph
from snnc.testing import Style, build, sample_inputs

TARGET = "crossbar{rows=16 cols=32 cell-bits=2}"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build("plain", Style.ANN)


@pytest.fixture(scope="module")
def folder(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ann.snnc`, `x.npy`, and the network in integers and in real numbers: `q.snnc`, `f.snnc`."""
    place = tmp_path_factory.mktemp("crossbar")
    x = sample_inputs(graph, 20)
    write(place / "ann.snnc", graph)
    np.save(place / "x.npy", x)
    for name, recipe in (("q", "convert{bits=8}"), ("f", "convert")):
        snnc.compile(
            graph, output=place / f"{name}.snnc", target=TARGET, recipe=recipe, calibration=x
        )
    return place


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(word) for word in words])
    result = capsys.readouterr()
    return code, result.out, result.err


def test_compile_shows_figures_and_what_is_not_modelled(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    words = ("compile", folder / "ann.snnc", "--target", TARGET, "-o", tmp_path / "net.snnc")
    words = (*words, "--calibration", folder / "x.npy")
    code, out, err = command(capsys, *words)
    assert code == 0, err
    assert "runs its own copy of the network: quantize{bits=8}" in err
    assert "the target runs its own copy, made by quantize{bits=8}" in out
    assert "\ntiles 18, split formula tiles 18, area bound tiles 12, " in out
    assert "not modelled yet: device noise" in out
    document = json.loads(command(capsys, *words, "--json")[1])
    assert document["legalize"] == "quantize{bits=8}"
    assert document["hardware"]["tile_shape"] == [16, 32]
    assert (
        len(document["hardware"]["tiles"])
        == document["hardware"]["totals"]["tiles"]
        == 18
        == 2 + 6 + 8 + 2
    )


def test_inspect_shows_the_figures(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = command(capsys, "inspect", folder / "q.snnc", "--check")
    assert code == 0 and "tiles 18" in out and "not modelled yet" in out
    document = json.loads(command(capsys, "inspect", folder / "q.snnc", "--json")[1])
    assert document["hardware"]["layers"]["conv1"]["matrix_rows"] == 18


def test_integers_are_verified_equal(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = command(capsys, "verify", folder / "q.snnc", "--data", folder / "x.npy")
    assert code == 0 and out.splitlines()[-1] == "equal"
    assert open_artifact(folder / "q.snnc").manifest["info"]["legalize"] == ""


def test_rounding_is_reported_without_a_verdict(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    result = verify_artifact(folder / "f.snnc", data=str(folder / "x.npy"))
    assert result.legalize == "quantize{bits=8}" and result.rounded and result.passed
    assert not result.equal and result.rate > 0, "rounded weights never move a spike?"
    code, out, _ = command(capsys, "verify", folder / "f.snnc", "--data", folder / "x.npy")
    assert code == 0 and "the target rounds (quantize{bits=8}): equality is not promised" in out
    assert "within tolerance" not in out and "\nequal" not in out
    document = json.loads(command(capsys, "verify", folder / "f.snnc", "--json")[1])
    assert document["legalize"] == "quantize{bits=8}" and document["passed"]


def test_eval_counts_what_the_tiles_do(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    report = evaluate(folder / "q.snnc", str(folder / "x.npy")).report()
    parts = evaluate(folder / "q.snnc", str(folder / "x.npy"), batch_size=7).report()
    assert report == parts
    layers: dict[str, Any] = report["activity"]["layers"]
    assert list(layers) == ["conv1", "conv2", "fc1", "fc2"]
    for key, number in report["activity"]["per_inference"].items():
        assert number == pytest.approx(sum(layer[key] for layer in layers.values()))
    # the input is the same at every step: 2 x 1 tiles, 8 bits, 36 positions, read once
    tiles = 2
    assert layers["conv1"]["reads"] + layers["conv1"]["skipped_reads"] == tiles * 8 * 36
    # spikes: one bit in each of 8 steps
    assert layers["fc2"]["reads"] + layers["fc2"]["skipped_reads"] == 2 * 8
    code, out, _ = command(capsys, "eval", folder / "q.snnc", "--data", folder / "x.npy")
    assert code == 0 and "conversions" in out and "per inference" in out
    reference = evaluate(folder / "q.snnc", str(folder / "x.npy"), timesteps=4).report()
    assert (
        reference["activity"]["per_inference"]["reads"]
        < report["activity"]["per_inference"]["reads"]
    )


def test_without_calibration_a_real_graph_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    real = tmp_path / "real.snnc"
    write(real, open_artifact(folder / "f.snnc").graph())
    words = ("compile", real, "--target", "crossbar", "--passes", "", "-o", tmp_path / "o.snnc")
    code, _, err = command(capsys, *words)
    assert code == 2 and "quantize needs calibration" in err
    assert not (tmp_path / "o.snnc").exists()


def test_weights_that_are_too_wide_exit_3(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    words = ("compile", folder / "ann.snnc", "--recipe", "convert{bits=8}", "-o", tmp_path / "o")
    words = (*words, "--calibration", folder / "x.npy", "--target", "crossbar{weight-bits=4}")
    code, _, err = command(capsys, *words)
    assert code == 3 and "weights up to 127 need 8 bits" in err
    assert not (tmp_path / "o").exists()


def test_targets_describe_the_crossbar(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "targets", "crossbar")
    assert code == 0 and "cell-bits" in out and "int|ideal" in out
