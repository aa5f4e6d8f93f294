"""An ONNX file on the command line: compiled, compared, run and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper, save_model

node = helper.make_node


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """`model.onnx`, and `data.npz` with the classes it gives."""
    rng = np.random.default_rng(0)
    nodes = [
        node("Conv", ["x", "w"], ["c"], name="/conv/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], name="/relu/Relu"),
        node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"], name="/head/Gemm"),
    ]
    arrays = {"w": rng.standard_normal((6, 2, 3, 3)) / 4, "v": rng.standard_normal((54, 5)) / 5}
    save(nodes, arrays, tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rng.random((40, 2, 6, 6), dtype=np.float32))
    return tmp_path / "model.onnx"


def save(nodes: list[Any], arrays: dict[str, Any], path: Path) -> None:
    stored = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    given = [helper.make_tensor_value_info("x", 1, ["N", 2, 6, 6])]
    results = [helper.make_tensor_value_info("y", 1, None)]
    graph = helper.make_graph(nodes, "main", given, results, stored)
    imports = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def test_from_file_to_spikes(snnc: Any, model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data.npz", tmp_path / "net.snnc"
    recipe = ("--recipe", "convert{bits=8}", "-T", 16)
    done = snnc("compile", model, "--target", "cpu", *recipe, "--calibration", data, "-o", out)
    assert done.code == 0, done.err
    assert "/conv/Conv" in done.out
    found = json.loads(snnc("eval", out, "--data", data, "--json", "--compare", model).out)
    assert found["ann_max_rel_diff"] < 1e-5
    assert snnc("verify", out).code == 0


def test_what_cannot_be_compiled(snnc: Any, model: Path, tmp_path: Path) -> None:
    nodes = [node("Gelu", ["x"], ["h"], name="act"), node("Elu", ["h"], ["y"], name="gate")]
    other = tmp_path / "other.onnx"
    save(nodes, {}, other)
    proto = other.read_bytes().replace(b"\x10\x11", b"\x10\x14")  # opset 17 becomes 20
    other.write_bytes(proto)
    done = snnc("compile", other, "--calibration", tmp_path / "data.npz", "--dry-run")
    assert done.code == 3, done.err
    assert "(act): act (Gelu)" in done.err and "(gate): gate (Elu)" in done.err
    model.write_bytes(model.read_bytes()[:-40])
    done = snnc("compile", model, "--calibration", tmp_path / "data.npz")
    assert done.code == 2 and done.err.count("error: ") == 1 and "Traceback" not in done.err
    assert not list(tmp_path.glob("*.snnc"))
