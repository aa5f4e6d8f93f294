"""Models of channels last, as Keras and TensorFlow export them: their transposes are cancelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from snnc.errors import UnsupportedError
from snnc.frontends import load, reference
from snnc.interp import run_ann

node = helper.make_node
RNG = np.random.default_rng(0)
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def keras(channels: int = 2) -> tuple[list[Any], dict[str, Any]]:
    """Conv, bias, batch norm as a product, residual, padding, pool, mean over space, dense."""
    first = node("Transpose", ["x"], ["x1"], perm=TO_FIRST)
    if channels == 1:  # tf2onnx writes it so
        first = node("Reshape", ["x", "grey"], ["x1"])
    nodes = [
        first,
        node("Conv", ["x1", "w1"], ["c1"], auto_pad="SAME_UPPER"),
        node("Transpose", ["c1"], ["c2"], perm=TO_LAST),
        node("Add", ["c2", "b1"], ["c3"]),
        node("Relu", ["c3"], ["r1"]),
        node("Mul", ["r1", "g"], ["m1"]),
        node("Transpose", ["m1"], ["t1"], perm=TO_FIRST),
        node("Conv", ["t1", "w2"], ["d1"], auto_pad="SAME_UPPER"),
        node("Transpose", ["d1"], ["d2"], perm=TO_LAST),
        node("Add", ["d2", "m1"], ["s1"]),
        node("Relu", ["s1"], ["r2"]),
        node("Concat", ["r2", "m1"], ["k1"], axis=3),
        node("Pad", ["k1", "p"], ["p1"]),
        node("Transpose", ["p1"], ["t2"], perm=TO_FIRST),
        node("MaxPool", ["t2"], ["q1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["q1"], ["q2"], perm=TO_LAST),
        node("ReduceMean", ["q2"], ["e1"], axes=[1, 2], keepdims=0),
        node("MatMul", ["e1", "wd"], ["e2"]),
        node("Add", ["e2", "bd"], ["y"]),
    ]
    arrays = {
        "w1": normal(4, channels, 3, 3), "b1": normal(4), "g": normal(1, 1, 1, 4),
        "w2": normal(4, 4, 3, 3), "p": np.array([0, 1, 0, 0, 0, 1, 1, 0]),
        "wd": normal(8, 3), "bd": normal(3), "grey": np.array([-1, 1, 8, 7]),
    }  # fmt: skip
    return nodes, arrays


@pytest.mark.parametrize("channels", [1, 2])
def test_no_transpose_is_left(write: Any, channels: int) -> None:
    nodes, arrays = keras(channels)
    path = str(write(nodes, ["N", 8, 7, channels], arrays))
    graph = load(path)
    kinds = [n.op.mnemonic for n in graph]
    assert "permute" not in kinds and "reshape" not in kinds[:-2]
    assert kinds.count("scale") == 1, "the product; every bias is that of its layer"
    assert graph.type_of(graph.input).shape == (channels, 8, 7)
    x = normal(3, channels, 8, 7)
    run = onnxruntime.InferenceSession(path)
    (wanted,) = run.run(None, {"x": x.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reference(path)(x)[0], wanted, rtol=1e-4, atol=1e-4)


def test_a_flatten_keeps_the_order_of_the_weights(write: Any) -> None:
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=TO_FIRST),
        node("Conv", ["x1", "w"], ["c"]),
        node("Transpose", ["c"], ["t"], perm=TO_LAST),
        node("Reshape", ["t", "flat"], ["f"]),
        node("MatMul", ["f", "wd"], ["y"]),
    ]
    arrays = {"w": normal(3, 2, 3, 3), "flat": np.array([-1, 60]), "wd": normal(60, 4)}
    path = str(write(nodes, ["N", 7, 6, 2], arrays))
    graph = load(path)
    assert [n.op.mnemonic for n in graph] == ["input", "conv", "permute", "reshape", "linear"]
    x = normal(2, 2, 7, 6)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-4, atol=1e-4)


def test_axes_are_those_of_the_model(write: Any) -> None:
    """Slice, Split, Squeeze and Resize between transposes."""
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=TO_FIRST),
        node("Conv", ["x1", "w"], ["c"]),
        node("Transpose", ["c"], ["t"], perm=TO_LAST),
        node("Split", ["t"], ["a", "b"], axis=3),
        node("Slice", ["a", "one", "end", "one"], ["s"]),
        node("Slice", ["b", "zero", "minus", "one"], ["u"]),
        node("Sub", ["s", "u"], ["d"]),
        node("Resize", ["d", "", "scales"], ["y"], coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
    ]  # fmt: skip
    arrays = {
        "w": normal(4, 2, 1, 1), "one": np.array([1]), "zero": np.array([0]),
        "end": np.array([99]), "minus": np.array([-1]),
        "scales": np.array([1, 2, 3, 1], np.float32),
    }  # fmt: skip
    path = str(write(nodes, ["N", 5, 4, 2], arrays))
    graph = load(path)
    assert [n.op.mnemonic for n in graph].count("permute") == 1, "for the output alone"
    x = normal(2, 2, 5, 4)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-4, atol=1e-4)


def test_pixels_are_scaled_and_padded_before(write: Any) -> None:
    """Rescaling, BGR and ZeroPadding2D of Keras come before the first transpose."""
    nodes = [
        node("Mul", ["x", "scale"], ["m"]),
        node("Sub", ["m", "mean"], ["s"]),
        node("Gather", ["s", "bgr"], ["g"], axis=3),
        node("Pad", ["g", "p"], ["z"]),
        node("Transpose", ["z"], ["t"], perm=TO_FIRST),
        node("Conv", ["t", "w"], ["y"]),
    ]
    arrays = {
        "scale": np.float32(0.5), "mean": normal(3), "bgr": np.array([2, 1, 0]),
        "p": np.array([0, 1, 0, 0, 0, 1, 1, 0]), "w": normal(4, 3, 3, 3),
    }  # fmt: skip
    path = str(write(nodes, ["N", 5, 4, 3], arrays))
    graph = load(path)
    assert graph.type_of(graph.input).shape == (3, 5, 4)
    assert [n.op.mnemonic for n in graph] == ["input", "scale", "scale", "slice", "pad", "conv"]
    x = normal(2, 3, 5, 4)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reference(path)(x)[0], wanted, rtol=1e-4, atol=1e-4)


def test_sequences_of_channels_last(write: Any) -> None:
    """A Conv1D of Keras is one of height 1, between axes that are added and removed."""
    nodes = [
        node("Unsqueeze", ["x", "one"], ["u"]),
        node("Transpose", ["u"], ["t"], perm=TO_FIRST),
        node("Conv", ["t", "w"], ["c"], pads=[0, 1, 0, 1]),
        node("Transpose", ["c"], ["d"], perm=TO_LAST),
        node("Squeeze", ["d", "one"], ["s"]),
        node("Relu", ["s"], ["r"]),
        node("Unsqueeze", ["r", "one"], ["v"]),
        node("Transpose", ["v"], ["p"], perm=TO_FIRST),
        node("MaxPool", ["p"], ["q"], kernel_shape=[1, 2]),
        node("Squeeze", ["q", "two"], ["y"]),
    ]
    arrays = {"one": np.array([1]), "two": np.array([2]), "w": normal(4, 3, 1, 3)}
    path = str(write(nodes, ["N", 9, 3], arrays))
    graph = load(path)
    assert graph.type_of(graph.input).shape == (3, 9)
    assert "permute" not in [n.op.mnemonic for n in graph]
    x = normal(2, 3, 9)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x.transpose(0, 2, 1)})
    np.testing.assert_allclose(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reference(path)(x)[0], wanted, rtol=1e-4, atol=1e-4)


def test_what_is_refused_keeps_the_order_of_axes(write: Any) -> None:
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=TO_FIRST),
        node("Conv", ["x1", "w"], ["c"]),
        node("Transpose", ["c"], ["t"], perm=TO_LAST),
        node("HardSwish", ["t"], ["h"]),
        node("ReduceMean", ["h"], ["y"], axes=[1, 2], keepdims=0),
    ]
    with pytest.raises(UnsupportedError, match="1 operation cannot"):
        load(str(write(nodes, ["N", 7, 6, 2], {"w": normal(3, 2, 3, 3)})))
