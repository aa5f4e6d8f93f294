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
from snnc.ir import Graph, Weighted
from snnc.testing import Style, build, sample_inputs
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.lower import stored_graph

FROZEN = Path(__file__).parents[1] / "frozen"
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
    assert "the target crossbar runs integers only: quantize is added" in err
    assert "its own copy" not in out
    assert "\ntiles 18, split formula tiles 18, area bound tiles 12, " in out
    assert "no technology: energy" in out
    document = json.loads(command(capsys, *words, "--json")[1])
    assert document["legalize"] == "" and document["pipeline"].endswith(",fold-scale,quantize")
    assert document["steps"][-1]["name"] == "quantize"
    assert document["hardware"]["tile_shape"] == [16, 32]
    assert (
        len(document["hardware"]["tiles"])
        == document["hardware"]["totals"]["tiles"]
        == 18
        == 2 + 6 + 8 + 2
    )


def test_inspect_shows_the_figures(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = command(capsys, "inspect", folder / "q.snnc", "--check")
    assert code == 0 and "tiles 18" in out and "no technology: energy" in out
    document = json.loads(command(capsys, "inspect", folder / "q.snnc", "--json")[1])
    assert document["hardware"]["layers"]["conv1"]["matrix_rows"] == 18


def test_integers_are_verified_equal(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = command(capsys, "verify", folder / "q.snnc", "--data", folder / "x.npy")
    assert code == 0 and out.splitlines()[-1] == "equal"
    assert open_artifact(folder / "q.snnc").manifest["info"]["legalize"] == ""


def test_real_values_become_integers_before_they_are_stored(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    stored = [open_artifact(folder / f"{name}.snnc").graph() for name in ("f", "q")]
    assert stored[0].fingerprint() == stored[1].fingerprint(), "as with quantize in the recipe"
    found = verify_artifact(folder / "f.snnc", data=str(folder / "x.npy"))
    assert found.quantized and found.equal and found.compared["spikes"] > 0
    code, out, _ = command(capsys, "verify", folder / "f.snnc", "--data", folder / "x.npy")
    assert code == 0 and out.splitlines()[-1] == "equal" and "not promised" not in out


def change_one_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs has one weight that is not the stored one."""

    def changed(artifact: Any) -> Graph:
        graph = stored_graph(artifact)
        name = next(n.op.weight.name for n in graph.nodes if isinstance(n.op, Weighted))
        weights = np.array(graph.params[name])
        weights.flat[0] = -weights.flat[0] or 100
        graph.set_param(name, weights)
        return graph

    monkeypatch.setattr("snnc_backends.crossbar.program.stored_graph", changed)


def test_one_wrong_weight_fails(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_one_weight(monkeypatch)
    words = ("verify", folder / "f.snnc", "--data", folder / "x.npy", "--report", tmp_path / "r")
    code, out, err = command(capsys, *words)
    assert code == 1 and "values differ from the reference, the first in " in err
    assert "equal" not in out and "within tolerance" not in out
    document = json.loads((tmp_path / "r" / "report.json").read_text())
    assert document["passed"] is False and document["verdict"] == "differs"
    assert document["target"] == TARGET and sum(document["differing"].values()) > 0
    assert document.pop("provenance")["date"]
    assert json.loads(command(capsys, *words, "--json")[1]) == document


def test_the_page_shows_the_verdict(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    for wrong, sentence in (
        (False, "<b>Passed.</b> Every value compared equals"),
        (True, "<b>Failed.</b> The target differs"),
    ):
        if wrong:
            change_one_weight(monkeypatch)
        words = ("verify", folder / "f.snnc", "--data", folder / "x.npy", "--report")
        _, out, _ = command(capsys, *words, tmp_path / "page")
        assert f"report: {tmp_path / 'page' / 'report.html'}" in out
        page = (tmp_path / "page" / "report.html").read_text()
        document = json.loads((tmp_path / "page" / "report.json").read_text())
        assert sentence in page and f"{document['compared']['spikes']:,}" in page


def test_older_artifacts_are_verified_against_their_own_integers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = FROZEN / "v1" / "crossbar-real-wait-convert.snnc"
    artifact = open_artifact(path)
    assert not artifact.graph().quantized and artifact.manifest["info"]["legalize"]
    code, out, _ = command(capsys, "verify", path)
    assert code == 0 and out.splitlines()[-1] == "equal"


def test_older_artifacts_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    change_one_weight(monkeypatch)
    assert not verify_artifact(FROZEN / "v1" / "crossbar-real-wait-convert.snnc").passed


def test_what_promises_nothing_is_told_and_not_judged(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_one_weight(monkeypatch)
    load = CrossbarBackend.load
    reasons = [""]
    monkeypatch.setattr(CrossbarBackend, "inexact", property(lambda self: reasons[0]))

    def load_all_the_same(self: CrossbarBackend, artifact: Any) -> Any:
        reason, reasons[0] = reasons[0], ""
        program = load(self, artifact)
        reasons[0] = reason
        return program

    monkeypatch.setattr(CrossbarBackend, "load", load_all_the_same)
    words = ("verify", folder / "q.snnc", "--data", folder / "x.npy")
    assert command(capsys, *words)[0] == 1
    reasons[0] = "its cells drift"
    code, out, _ = command(capsys, *words)
    assert code == 0 and "its cells drift: equality is not promised; " in out
    assert "within tolerance" not in out and "\nequal" not in out
    document = json.loads(command(capsys, *words, "--json")[1])
    assert document["passed"] and not document["equal"] and document["verdict"] == "not judged"
    assert document["inexact"] == "its cells drift"


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
    write(real, build("plain", Style.SNN))
    words = ("compile", real, "--target", "crossbar", "--passes", "", "-o", tmp_path / "o.snnc")
    for dry in ((), ("--dry-run",)):
        code, _, err = command(capsys, *words, *dry)
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
