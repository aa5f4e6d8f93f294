"""A frontend is one file and one entry point: loaded, checked, compiled and compared like torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.errors import UnsupportedError
from snnc.frontends import load, reference
from snnc.frontends.loading import find_frontend
from snnc.interp import run_ann
from snnc.plugins import FRONTENDS, Registry

FILE = Path(__file__).with_name("layers_json.py")
LINES_OF_A_FRONTEND = 60


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.syspath_prepend(str(FILE.parent))
    return Registry(FRONTENDS, [EntryPoint("layers-json", "layers_json:LayersJson", FRONTENDS)])


@pytest.fixture
def model(tmp_path: Path) -> str:
    return saved(tmp_path, "relu")


def saved(folder: Path, activation: str) -> str:
    rng = np.random.default_rng(0)
    sizes = [("first", 6, 4, activation), ("second", 5, 6, activation), ("out", 3, 5, "none")]
    layers = [
        {"name": name, "weight": rng.normal(size=(n, m)).tolist(),
         "bias": rng.normal(size=n).tolist(), "activation": act}
        for name, n, m, act in sizes
    ]  # fmt: skip
    path = folder / "model.json"
    path.write_text(json.dumps({"layers": layers}))
    return str(path)


def test_it_loads_and_is_checked(model: str, registry: Registry) -> None:
    graph = load(model, registry=registry)
    assert [n.name for n in graph] == ["input", "first", "first_1", "second", "second_1", "out"]
    assert graph.node("first").loc.file == model
    x = np.random.default_rng(1).random((7, 4), np.float32)
    (wanted,) = reference(model, registry=registry)(x)
    found = run_ann(graph, x)[graph.outputs[0]].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_reference_that_computes_something_else_is_noticed(
    model: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(find_frontend(model, registry))
    monkeypatch.setattr(kind, "reference", lambda *_, **__: lambda x: (x[:, :3],))
    with pytest.raises(UnsupportedError, match="differ by"):
        load(model, registry=registry)


def test_all_it_refuses_is_listed(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(UnsupportedError) as error:
        load(saved(tmp_path, "gelu"), registry=registry)
    head, common, *places = error.value.message.splitlines()
    assert head.endswith("2 operations cannot be compiled") and len(places) == 2
    assert "use relu" in common and "model.json:1 (second)" in places[1]


def test_it_compiles(model: str, registry: Registry) -> None:
    graph = load(model, registry=registry)
    x = np.random.default_rng(1).random((64, 4), np.float32)
    compiled = snnc.compile(graph, calibration=x, timesteps=32)
    output = compiled.program.run(x, timesteps=32).output
    (wanted,) = reference(model, registry=registry)(x)
    assert np.mean(output.argmax(1) == wanted.argmax(1)) > 0.8


def test_installed_it_is_used_by_its_file_alone(model: str, tmp_path: Path) -> None:
    """Through `snnc compile` and `snnc eval --compare`, as a stranger's distribution."""
    site = tmp_path / "site"
    info = site / "layers_json-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: layers-json\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{FRONTENDS}]\nlayers-json = layers_json:LayersJson\n")
    (site / FILE.name).write_text(FILE.read_text())
    np.save(tmp_path / "x.npy", np.random.default_rng(1).random((16, 4), np.float32))
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
from snnc.driver import ModelSource, evaluate
import snnc
data, model = {str(tmp_path / "x.npy")!r}, {model!r}
snnc.compile(model, calibration=data, output={str(tmp_path / "out.snnc")!r})
report = evaluate({str(tmp_path / "out.snnc")!r}, data, compare=ModelSource(model=model)).report()
assert report["ann_max_rel_diff"] < 1e-5, report
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_short() -> None:
    lines = [line for line in FILE.read_text().splitlines() if line.strip()]
    assert len(lines) <= LINES_OF_A_FRONTEND, len(lines)
    assert not any("torch" in line for line in lines[6:])
