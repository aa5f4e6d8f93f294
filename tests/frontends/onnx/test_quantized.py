"""Quantised models are read as the floats they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import snnc
from snnc.errors import ModelError, UnsupportedError
from snnc.frontends import load, reference
from snnc.interp import run_ann, run_snn
from snnc.ir import Neuron, Relu

node = helper.make_node
RNG = np.random.default_rng(0)


def quantized(name: str, result: str, scale: str, zero: str) -> list[Any]:
    return [
        node("QuantizeLinear", [name, scale, zero], [f"{result}_q"]),
        node("DequantizeLinear", [f"{result}_q", scale, zero], [result]),
    ]


def model() -> tuple[list[Any], dict[str, Any]]:
    """Two layers; the ReLU between them is in the range of its quantiser alone."""
    nodes = [
        *quantized("x", "x1", "sx", "zx"),
        node("DequantizeLinear", ["w1", "sw", "zw"], ["w1f"], axis=0),
        node("Conv", ["x1", "w1f", "b1"], ["c"]),
        *quantized("c", "h", "sh", "zh"),
        node("MaxPool", ["h"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        *quantized("p", "p1", "sh", "zh"),
        node("Flatten", ["p1"], ["f"]),
        node("Gemm", ["f", "w2"], ["o"]),
        *quantized("o", "y", "so", "zo"),
    ]
    arrays = {
        "sx": np.float32(0.03), "zx": np.int8(0), "sh": np.float32(0.05), "zh": np.uint8(0),
        "so": np.float32(0.4), "zo": np.int8(3),
        "w1": RNG.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8),
        "sw": np.full(4, 0.01, np.float32), "zw": np.zeros(4, np.int8),
        "b1": RNG.standard_normal(4).astype(np.float32),
        "w2": RNG.standard_normal((16, 3)).astype(np.float32),
    }  # fmt: skip
    return nodes, arrays


def test_floats_and_their_relu(write: Any) -> None:
    nodes, arrays = model()
    path = str(write(nodes, ["N", 2, 6, 6], arrays))
    graph = load(path)
    kinds = ["input", "conv", "relu", "maxpool", "reshape", "linear"]
    assert [n.op.mnemonic for n in graph] == kinds
    x = RNG.standard_normal((8, 2, 6, 6)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    found = run_ann(graph, x)[graph.outputs[0]].numpy()
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    np.testing.assert_allclose(reference(path)(x)[0], wanted, atol=2 * arrays["so"])
    relu = next(n.name for n in graph if n.op.mnemonic == "relu")
    hints = graph.meta["quantized_activations"]
    assert hints[relu] == {"scale": float(arrays["sh"]), "zero_point": 0, "largest": 255}
    assert hints[graph.input]["scale"] == float(arrays["sx"])


def test_a_file_of_onnxruntime(tmp_path: Path, write: Any) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = list(RNG.standard_normal((20, 1, 2, 6, 6)).astype(np.float32))

        def get_next(self) -> Any:
            return {"x": self.left.pop()} if self.left else None

    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["h"]),
        node("GlobalAveragePool", ["h"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ]
    arrays = {n: RNG.standard_normal(s).astype(np.float32)
              for n, s in (("w", (4, 2, 3, 3)), ("v", (4, 3)))}  # fmt: skip
    plain = write(nodes, ["N", 2, 6, 6], arrays)
    path = tmp_path / "qdq.onnx"
    quantize_static(plain, path, Reader(), quant_format=QuantFormat.QDQ)
    graph, floats = load(str(path)), load(str(plain))
    kinds = [[n.op.mnemonic for n in each] for each in (graph, floats)]
    assert kinds[0] == kinds[1]
    x = RNG.standard_normal((6, 2, 6, 6)).astype(np.float32)
    found, wanted = (run_ann(g, x)[g.outputs[0]].numpy() for g in (graph, floats))
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())
    quantize_static(plain, path, Reader(), quant_format=QuantFormat.QOperator)
    with pytest.raises(UnsupportedError, match=r"QLinearConv.*QOperator format"):
        load(str(path))


def test_scales_that_are_computed(write: Any) -> None:
    nodes = [node("ReduceMean", ["x"], ["s"], keepdims=0), *quantized("x", "y", "s", "z")]
    with pytest.raises(ModelError, match="computes its scale"):
        load(str(write(nodes, ["N", 3], {"z": np.uint8(0)})))


def test_ranges_become_thresholds(write: Any) -> None:
    nodes, arrays = model()
    path = str(write(nodes, ["N", 2, 6, 6], arrays))
    recipe = "convert{thresholds=quantized calibrate=false}"
    compiled = snnc.compile(path, target="reference", recipe=recipe, timesteps=64)
    assert compiled.report["synthetic"] is None
    (neuron,) = (node.op for node in compiled.graph if isinstance(node.op, Neuron))
    assert neuron.threshold == pytest.approx(255 * float(arrays["sh"]))
    x = RNG.standard_normal((8, 2, 6, 6)).astype(np.float32)
    graph = load(path)
    wanted = run_ann(graph, x)[graph.outputs[0]].numpy()
    (found,) = run_snn(compiled.graph, x, timesteps=64).outputs.values()
    assert np.abs(found.numpy() - wanted).max() < 0.1 * np.abs(wanted).max()


def test_the_bound_of_a_relu6_that_its_quantiser_replaced(write: Any) -> None:
    nodes, arrays = model()
    path = str(write(nodes, ["N", 2, 6, 6], arrays | {"sh": np.float32(0.5 / 255)}))
    graph = load(path)
    (relu,) = (n.op for n in graph if isinstance(n.op, Relu))
    assert relu.upper == pytest.approx(0.5)
    x = RNG.uniform(-3, 3, (8, 2, 6, 6)).astype(np.float32)
    wanted = reference(path)(x)[0]
    found = run_ann(graph, x)[graph.outputs[0]].numpy()
    assert np.abs(found - wanted).max() < 2.5 * arrays["so"]  # input and output are rounded


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT4", "UINT4", ""])
def test_quantisers_without_zero_point(write: Any, kind: str) -> None:
    more = {"output_dtype": getattr(TensorProto, kind)} if kind else {}
    nodes = [
        node("MatMul", ["x", "w"], ["c"]),
        node("QuantizeLinear", ["c", "s"], ["q"], **more),
        node("DequantizeLinear", ["q", "s"], ["h"]),
        node("MatMul", ["h", "w"], ["y"]),
    ]
    arrays = {"s": np.float32(0.1), "w": RNG.standard_normal((4, 4)).astype(np.float32)}
    graph = load(str(write(nodes, ["N", 4], arrays, opset=21)))
    assert ("relu" in [n.op.mnemonic for n in graph]) == (kind[:1] != "I")
