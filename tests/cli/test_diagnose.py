"""`snnc diagnose`: its table, its findings, its document, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc as package
from snnc.analysis.diagnosis import Cause
from snnc.artifact import write
from snnc.testing import Style, build


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trained.snnc`, whose batch norms have the moments of `x.npz`; `far.npz` in other units."""
    from dataclasses import replace

    from snnc.interp import run_ann

    folder = tmp_path_factory.mktemp("diagnose")
    graph = build("plain", Style.ANN)
    x = np.random.default_rng(0).random((64, 2, 6, 6), dtype=np.float32)
    for norm, source in (("bn1", "conv1"), ("bn2", "conv2")):
        before = run_ann(graph, x, keep=[source])[source].numpy()
        op: Any = graph.node(norm).op
        mean = graph.own_param(norm, "mean", before.mean((0, 2, 3)))
        variance = graph.own_param(norm, "variance", before.var((0, 2, 3)))
        graph.replace_op(norm, replace(op, mean=mean, variance=variance))
    write(folder / "trained.snnc", graph)
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "far.npz", x=x * 30)
    return folder


def test_a_healthy_network(snnc: Any, place: Path) -> None:
    done = snnc(
        "diagnose", place / "trained.snnc", "--calibration", place / "x.npz", "-T", 64, "-q"
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:4] == ["layer", "error", "inherited", "clip"]
    assert [line.split()[0] for line in lines[1:4]] == ["act1", "act2", "act3"]
    assert lines[-1] == "no fault found" and "measured on 64 samples" in done.out
    assert done.err == ""


def test_a_fault_is_told_with_what_to_try(snnc: Any, place: Path) -> None:
    command = ("diagnose", place / "trained.snnc", "--calibration", place / "far.npz", "-q")
    done = snnc(*command)
    assert done.code == 0, done.err
    assert "act1 (bn1): wrong-normalisation" in done.out and "try: give the mean" in done.out
    assert "first bad layer: act1" in done.out


def test_errors_that_add_up_are_no_layers_fault(snnc: Any, place: Path) -> None:
    done = snnc("diagnose", place / "trained.snnc", "--calibration", place / "x.npz", "-T", 1, "-q")
    assert done.code == 0, done.err
    assert "No layer is at fault alone" in done.out and "first bad layer" not in done.out


def test_the_document(snnc: Any, place: Path, tmp_path: Path) -> None:
    done = snnc(
        *("diagnose", place / "trained.snnc", "--calibration", place / "far.npz", "--json", "-q"),
        *("--recipe", "convert{bits=8}", "-T", 6, "--limit", 20, "--report", tmp_path),
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    written = json.loads((tmp_path / "report.json").read_text())
    assert set(written.pop("provenance")["versions"]) == {"python", "snnc", "torch", "numpy"}
    assert written == found
    assert found["kind"] == "diagnose" and found["samples"] == 20 and found["timesteps"] == 6
    assert found["healthy"] is False and found["first_bad_layer"] == "act1"
    assert {each["cause"] for each in found["findings"]} <= set(Cause)
    assert [row["name"] for row in found["layer_errors"]] == ["act1", "act2", "act3"]
    assert all("rounding" in row for row in found["layer_errors"])
    assert [row["timesteps"] for row in found["over_t"]] == [1, 2, 3, 4, 5, 6]
    assert set(found["batch_norms"]) == {"bn1", "bn2"} and "error" in found["rounded"]
    assert found["folding"]["act1"]["error"] < 1e-5 and found["pipeline"].endswith(",quantize")
    again = snnc(
        *("diagnose", place / "trained.snnc", "--calibration", place / "far.npz", "--json", "-q"),
        *("--recipe", "convert{bits=8}", "-T", 6, "--limit", 20),
    )
    assert again.out == done.out


@pytest.mark.parametrize("recipe", ["convert", "convert{bits=8}"])
def test_an_artifact_beside_its_model(snnc: Any, place: Path, tmp_path: Path, recipe: str) -> None:
    model, data, out = place / "trained.snnc", place / "x.npz", tmp_path / "net.snnc"
    common = ("--calibration", data, "-q")
    assert snnc(
        *("compile", model, "-o", out, "-T", 16, "--recipe", recipe, "--target", "reference"),
        *common,
    ).code == 0  # fmt: skip
    itself = snnc("diagnose", model, "-T", 16, "--recipe", recipe, *common, "--json")
    beside = snnc("diagnose", out, "--compare", model, *common, "--json")
    assert beside.code == 0, beside.err
    one, two = json.loads(itself.out), json.loads(beside.out)
    assert two["timesteps"] == 16 and two["artifact"] == str(out)
    assert one["batch_norms"] == two["batch_norms"] and one["folding"] == two["folding"]
    for left, right in zip(one["layer_errors"], two["layer_errors"], strict=True):
        assert left["error"] == pytest.approx(right["error"], abs=0.03)
    if recipe == "convert":
        assert one["layer_errors"] == two["layer_errors"] and one["over_t"] == two["over_t"]


def test_from_python(place: Path) -> None:
    with np.load(place / "x.npz") as arrays:
        found = package.diagnose(place / "trained.snnc", calibration=arrays["x"], timesteps=64)
        batches = [(arrays["x"], None)]
    assert found.faults == () and found.samples == 64
    few = package.diagnose(place / "trained.snnc", calibration=batches, timesteps=32, limit=10)
    assert few.samples == 10


def test_what_is_refused(snnc: Any, place: Path, folder: Path) -> None:
    model, data = place / "trained.snnc", ("--calibration", place / "x.npz")
    for command, said in (
        ((model,), "--calibration DATA"),
        ((folder / "q.snnc", *data), "--compare"),
        ((model, *data, "--compare", model), "stage ann"),
        ((folder / "q.snnc", "--compare", model, *data, "--recipe", "convert"), "excludes"),
        ((folder / "q.snnc", "--compare", model), "--calibration DATA"),
        ((model, *data, "--limit", 0), "--limit 0"),
        ((model, *data, "-T", 0), "-T 0"),
        ((model, *data, "--passes", "fold-batchnorm"), "nothing spikes"),
        ((model, "--calibration", folder / "other.npz"), "(1, 8, 8)"),
        ((place / "none.snnc", *data), "none.snnc"),
    ):
        done = snnc("diagnose", *command, "-q")
        assert done.code == 2, (command, done.out, done.err)
        assert said in done.err and "Traceback" not in done.err, (command, done.err)
