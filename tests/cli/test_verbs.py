"""What each verb gives when all is well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import open_artifact
from snnc.options import DEFAULT_WINDOW


def test_compile_writes_an_artifact_and_a_report(snnc: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.snnc"
    done = snnc(
        *("compile", folder / "ann.snnc", "-o", out, "--target", "reference", "-T", 4),
        *("--calibration", folder / "cal.npz", "--report", tmp_path / "rep"),
        *("--dump-ir", tmp_path / "ir"),
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"report: {tmp_path / 'rep' / 'report.html'}"
    assert "fold-batchnorm" in done.err
    report = json.loads((tmp_path / "rep" / "report.json").read_text())
    assert report["timesteps"] == 4 and report["calibrated"] is True
    assert report["calibration"]["samples"] == 24
    assert report["steps"][0]["name"] == "fold-batchnorm"
    assert {row["name"] for row in report["layers"]} >= {"conv1", "act1", "fc2"}
    manifest = open_artifact(out).manifest
    assert manifest["target"] == "reference" and manifest["timesteps"] == 4
    dumped = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert dumped[:2] == ["00-model.snnc", "00-model.txt"]
    assert any(name.endswith("threshold-balance.txt") for name in dumped)


def test_json_is_one_document_and_nothing_else(snnc: Any, folder: Path, tmp_path: Path) -> None:
    commands = [
        ("compile", folder / "ann.snnc", "-o", tmp_path / "j.snnc", "--calibration",
         folder / "cal.npz", "--target", "reference", "--report", tmp_path),
        ("compile", folder / "ann.snnc", "--dry-run", "--calibration", folder / "cal.npz"),
        ("run", folder / "q.snnc", "--input", folder / "x.npy"),
        ("eval", folder / "q.snnc", "--data", folder / "cal.npz"),
        ("verify", folder / "q.snnc"),
        ("inspect", folder / "q.snnc", "--ir", "--check"),
        ("opt", folder / "q.snnc", "--passes", ""),
        ("passes",),
        ("recipes", "convert"),
        ("targets",),
        ("frontends",),
    ]  # fmt: skip
    for command in commands:
        done = snnc(*command, "--json")
        assert done.code == 0, (command, done.err)
        assert json.loads(done.out)["kind"], command


def test_run_writes_outputs_and_spikes(snnc: Any, folder: Path, tmp_path: Path) -> None:
    y, s = tmp_path / "y.npy", tmp_path / "s.npz"
    done = snnc(
        "run", folder / "q.snnc", "--input", folder / "x.npy", "-o", y, "--spikes", s, "-T", 5
    )
    assert done.code == 0, done.err
    assert np.load(y).shape == (3, 5) and np.load(y).dtype == np.float32
    with np.load(s) as spikes:
        assert spikes["act1"].shape == (5, 3, 4, 6, 6) and spikes["act1"].dtype == bool


def test_eval_sweeps_prefixes_of_one_run(snnc: Any, folder: Path) -> None:
    command = ("eval", folder / "q.snnc", "--data", folder / "cal.npz", "--json")
    swept = json.loads(snnc(*command, "--sweep", "2,8,4").out)
    assert [window["timesteps"] for window in swept["sweep"]] == [2, 4, 8]
    for window in swept["sweep"]:
        alone = json.loads(snnc(*command, "-T", window["timesteps"]).out)
        assert alone["accuracy"] == window["accuracy"]
    assert swept["spikes_per_inference"] == alone["spikes_per_inference"]
    assert swept["spikes_per_neuron"] == swept["spikes_per_inference"] / swept["neurons"]
    assert swept["latency_timesteps"] == 8


def test_eval_of_parts_and_batches_agree(snnc: Any, folder: Path) -> None:
    command = ("eval", folder / "q.snnc", "--data", folder / "cal.npz", "--json")
    whole = json.loads(snnc(*command).out)
    parts = json.loads(snnc(*command, "--batch-size", 7).out)
    assert whole == parts
    assert json.loads(snnc(*command, "--limit", 5).out)["samples"] == 5


def test_eval_of_real_and_of_missing_labels(snnc: Any, folder: Path) -> None:
    real = json.loads(snnc("eval", folder / "q.snnc", "--data", folder / "real.npz", "--json").out)
    assert real["mean_absolute_error"] > 0 and "accuracy" not in real
    none = json.loads(snnc("eval", folder / "q.snnc", "--data", folder / "x.npy", "--json").out)
    assert "accuracy" not in none and none["spikes_per_neuron"] > 0


def test_min_accuracy_is_a_check(snnc: Any, folder: Path) -> None:
    command = ("eval", folder / "q.snnc", "--data", folder / "cal.npz", "--min-accuracy")
    assert snnc(*command, 0).code == 0
    failed = snnc(*command, 1)
    assert failed.code == 1 and "below --min-accuracy 1.0" in failed.err


def test_verify_counts_what_it_compared(snnc: Any, folder: Path) -> None:
    done = snnc("verify", folder / "q.snnc", "--json", "-T", 3)
    found = json.loads(done.out)
    assert done.code == 0 and found["equal"] and found["samples"] == 16
    graph = open_artifact(folder / "q.snnc").graph()
    events = ["input.encode", "act1", "pool1", "act2", "act3"]
    elements = sum(graph.type_of(name).size for name in events)
    assert found["compared"]["spikes"] == 16 * 3 * elements
    assert found["compared"]["readouts"] == 16 * 5
    limited = json.loads(
        snnc("verify", folder / "q.snnc", "--data", folder / "cal.npz", "--limit", 4, "--json").out
    )
    assert limited["samples"] == 4


def test_opt_prints_the_graph_or_saves_it(snnc: Any, folder: Path, tmp_path: Path) -> None:
    printed = snnc("opt", folder / "ann.snnc", "--passes", "fold-batchnorm")
    assert printed.code == 0, printed.err
    assert printed.out.startswith("graph ann {") and "batchnorm" not in printed.out
    out = tmp_path / "o.snnc"
    assert snnc("opt", folder / "ann.snnc", "--passes", "fold-batchnorm", "-o", out).code == 0
    assert "bn1" not in open_artifact(out).graph()


def test_inspect_shows_layers_ir_and_facts(snnc: Any, folder: Path) -> None:
    plain = snnc("inspect", folder / "q.snnc", "--check")
    assert "quantize" in plain.out and "act1" in plain.out and "checksums match" in plain.out
    assert snnc("inspect", folder / "q.snnc", "--ir").out.startswith("graph snn {")
    assert json.loads(snnc("inspect", folder / "ann.snnc", "--json").out)["stage"] == "ann"


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("passes", "quantize"),
        ("recipes", "convert"),
        ("targets", "cpu"),
        ("devices", "ideal"),
        ("exporters", "text"),
        ("frontends", "fx"),
    ],
)
def test_plugins_are_listed_and_described(snnc: Any, verb: str, name: str) -> None:
    listed = snnc(verb)
    assert listed.code == 0
    (row,) = [line for line in listed.out.splitlines() if line.split()[:1] == [name]]
    assert "snnc 0." in row and len(row.split()) > 4, "no summary"
    described = snnc(verb, name)
    assert described.code == 0, described.err
    assert described.out.startswith(f"{name}, from snnc")


def test_help_shows_an_example_first(snnc: Any) -> None:
    for verb in (
        "compile",
        "run",
        "eval",
        "verify",
        "inspect",
        "opt",
        "export",
        "passes",
        "devices",
    ):
        done = snnc(verb, "--help")
        assert done.code == 0
        assert done.out.split("\n\n")[1].strip().startswith(f"Example: snnc {verb}")
    assert snnc("--version").out.startswith("snnc ")


@pytest.mark.parametrize("verb", ["compile", "diagnose", "opt", "run", "eval", "verify", "bench"])
def test_help_says_which_window_is_the_default(snnc: Any, verb: str) -> None:
    options = snnc(verb, "--help").out.partition("Options:")[2]
    shown = " ".join(options.partition("-T,")[2].partition("\n  -")[0].split())
    compiles = verb in ("compile", "diagnose", "opt")
    other = f"default a .snnc file's own, else {DEFAULT_WINDOW}."
    assert shown.endswith(other if compiles else "default the artifact's own.")


def test_what_was_done_to_the_data_is_said(snnc: Any, folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "bytes.npy", np.full((2, 2, 6, 6), 255, np.uint8))
    said = snnc("run", folder / "q.snnc", "--input", tmp_path / "bytes.npy")
    assert "input: uint8 divided by 255" in said.err
    ones = np.ones((2, 2, 6, 6), np.float32)
    np.save(tmp_path / "ones.npy", ones)
    assert snnc("run", folder / "q.snnc", "--input", tmp_path / "ones.npy").out == said.out
    assert snnc("run", folder / "q.snnc", "--input", tmp_path / "bytes.npy", "-q").err == ""
