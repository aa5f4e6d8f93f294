"""A NIR file on the command line: compiled for every target, checked, and refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

SPEC = "nir{dt=1e-4 reset=subtract}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """`net.nir`, a network that says nothing about itself, and `data.npz`."""
    rng = np.random.default_rng(0)
    column = np.ones((3, 6, 6))
    nodes = {
        "in": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d((6, 6), rng.normal(0, 0.5, (3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        "lif": nir.LIF(column * 1e-3, column * 10, column * 0, column * 0.5, column * 0),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "fc": nir.Affine(rng.normal(0, 0.3, (5, 27)), rng.normal(0, 0.1, 5)),
        "out": nir.Output(np.array([5])),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, edges, type_check=False))
    np.savez(tmp_path / "data.npz", x=rng.random((20, 2, 6, 6), dtype=np.float32))
    return tmp_path / "net.nir"


@pytest.mark.parametrize("target", ["reference", "cpu", "crossbar"])
def test_from_file_to_spikes(snnc: Any, model: Path, tmp_path: Path, target: str) -> None:
    out, data = tmp_path / "net.snnc", tmp_path / "data.npz"
    given = ("--frontend", SPEC, "--target", target, "-T", 12, "--calibration", data, "-o", out)
    done = snnc("compile", model, *given, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    passes = "quantize{bits=8}" if target == "crossbar" else ""
    assert report["recipe"] is None and report["pipeline"].startswith(passes[:8])
    assert snnc("verify", out).code == 0
    assert snnc("run", out, "--input", data, "-o", tmp_path / "y.npy").code == 0
    assert np.load(tmp_path / "y.npy").shape == (20, 5)


def test_what_the_file_does_not_say(snnc: Any, model: Path) -> None:
    done = snnc("compile", model)
    assert done.code == 2 and "nir{dt=1e-4 reset=subtract}" in done.err
    assert snnc("compile", model, "--frontend", "nir{dt=fast}").code == 2


def test_a_recipe_is_refused_in_words(snnc: Any, model: Path) -> None:
    done = snnc("compile", model, "--frontend", SPEC, "--recipe", "convert")
    assert done.code == 2 and "spikes already" in done.err and "leave --recipe out" in done.err


def test_a_frontend_that_does_not_read_the_file(snnc: Any, model: Path, tmp_path: Path) -> None:
    done = snnc("compile", model, "--frontend", "onnx")
    assert done.code == 2 and "the frontend onnx does not read" in done.err
    out = tmp_path / "net.snnc"
    assert snnc("compile", model, "--frontend", SPEC, "-o", out).code == 0
    done = snnc("compile", out, "--frontend", SPEC)
    assert done.code == 2 and "no frontend reads" in done.err


def test_options_of_the_frontend_are_listed(snnc: Any) -> None:
    shown = snnc("frontends", "nir").out
    assert "dialect" in shown and "spikingjelly" in shown


def test_a_broken_file(snnc: Any, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:700])
    before = sorted(model.parent.iterdir())
    done = snnc("compile", model, "--frontend", SPEC)
    assert done.code == 2 and "damaged" in done.err and "Traceback" not in done.err
    assert sorted(model.parent.iterdir()) == before
