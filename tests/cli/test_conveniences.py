"""Small things: windows, normalisation and outputs that are kept, and what is said or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import open_artifact
from snnc.cli.compile_command import default_output
from snnc.driver import JobOptions
from snnc.transform import size_of


def test_a_recompiled_network_keeps_window_normalisation_and_calibration(
    snnc: Any, folder: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.snnc", tmp_path / "b.snnc"
    done = snnc(
        *("compile", folder / "ann.snnc", "-o", first, "-T", 5, "--calibration"),
        *(folder / "cal.npz", "--recipe", "convert{bits=8}", "--mean", 0.2, "--std", 0.5),
    )
    assert done.code == 0, done.err
    assert snnc("compile", first, "-o", second, "--passes=", "--target", "reference").code == 0
    before, after = open_artifact(first).manifest, open_artifact(second).manifest
    assert after["timesteps"] == 5
    for key in ("mean", "std", "calibrated", "calibration"):
        assert after["info"][key] == before["info"][key], key
    assert (
        JobOptions().job(first).timesteps == 5 and JobOptions().job("net.py:build").timesteps == 8
    )
    assert JobOptions(timesteps=3).job(first).timesteps == 3


def test_quiet_compilation_prints_warnings_only(snnc: Any, folder: Path, tmp_path: Path) -> None:
    command = ("compile", folder / "ann.snnc", "--calibration", folder / "cal.npz")
    done = snnc(*command, "-o", tmp_path / "a.snnc", "-q")
    assert (done.code, done.out) == (0, "")
    assert all(line.startswith("warning: ") for line in done.err.splitlines())
    assert "fc2" in snnc(*command, "-o", tmp_path / "a.snnc").out


def test_a_long_window_is_questioned(snnc: Any, folder: Path, tmp_path: Path) -> None:
    command = ("compile", folder / "ann.snnc", "--dry-run", "--target", "reference")
    data = ("--calibration", folder / "cal.npz", "--passes", "fold-batchnorm")
    assert "-T 16000: every layer is computed at" in snnc(*command, *data, "-T", 16_000).err
    assert "every layer" not in snnc(*command, *data, "-T", 64).err


def test_a_dry_run_of_a_missing_model_says_only_that(snnc: Any) -> None:
    done = snnc("compile", "missing.pt", "--dry-run", "--json")
    document = json.loads(done.out)
    assert [each["problem"] for each in document["problems"]] == ["missing.pt: no such file"]


def test_missing_labels_are_said(snnc: Any, folder: Path) -> None:
    said = "without labels: no accuracy"
    assert said in snnc("eval", folder / "q.snnc", "--data", folder / "x.npy").out
    assert said not in snnc("eval", folder / "q.snnc", "--data", folder / "cal.npz").out


def test_energy_is_one_figure_and_none_of_a_chip(snnc: Any, folder: Path, tmp_path: Path) -> None:
    measure = ("eval", folder / "q.snnc", "--data", folder / "cal.npz")
    done = snnc(*measure, "--report", tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text())
    own = f"{figures['energy']['energy_pj'] / 1e3:.4g} nJ"
    (line,) = [line for line in done.out.splitlines() if line.startswith("energy")]
    assert line.startswith("energy (estimate)") and own in line
    assert own in (tmp_path / "report.html").read_text()
    chip = tmp_path / "chip.snnc"
    assert (
        snnc("compile", folder / "q.snnc", "--passes=", "--target", "crossbar", "-o", chip).code
        == 0
    )
    done = snnc("eval", chip, "--data", folder / "cal.npz", "--json")
    assert "energy" not in json.loads(done.out)


def test_a_target_that_quantises_shows_what_that_costs(
    snnc: Any, folder: Path, tmp_path: Path
) -> None:
    command = ("compile", folder / "ann.snnc", "--calibration", folder / "cal.npz", "-o")
    done = snnc(*command, tmp_path / "a.snnc", "--target", "crossbar", "--report", tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text())["rounding"]
    assert figures["samples"] == 24 and 0.5 <= figures["agreement"] <= 1
    assert figures["output_max_abs_diff"] > 0
    assert "integers beside real values, 24 calibration samples" in done.out
    done = snnc(*command, tmp_path / "b.snnc", "--target", "cpu", "--json")
    assert json.loads(done.out)["rounding"] is None


def test_a_report_says_when_and_with_what_it_was_made(
    snnc: Any, folder: Path, tmp_path: Path
) -> None:
    assert snnc("verify", folder / "q.snnc", "--report", tmp_path).code == 0
    made = json.loads((tmp_path / "report.json").read_text())["provenance"]
    page = (tmp_path / "report.html").read_text()
    assert made["date"] in page and f"torch {made['versions']['torch']}" in page


def test_the_name_of_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("build.snnc").touch()
    assert default_output("net.py:build") == Path("build.snnc")
    assert default_output("build.snnc") == Path("build.compiled.snnc")
    assert default_output("dir/net.pt") == Path("net.snnc")


def test_completion_is_offered(snnc: Any) -> None:
    assert "--install-completion" in snnc("--help").out


def test_the_size_of_batches_is_known() -> None:
    x = np.zeros((3, 2), np.float32)
    assert size_of([(x, None), (x[:1], None)]) == 4
    assert size_of(iter([(x, None)])) is None
