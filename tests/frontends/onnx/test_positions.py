"""Products with a matrix at every position of a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from snnc.errors import UnsupportedError
from snnc.frontends import load

node = helper.make_node


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_positions_in_the_batch(compare: Any, write: Any) -> None:
    """As Keras exports dense layers behind each other, and as torch code spells them."""
    nodes = [
        node("Reshape", ["x", "flat"], ["p"]), node("MatMul", ["p", "a"], ["q"]),
        node("Add", ["q", "bias"], ["r"]), node("Relu", ["r"], ["s"]),
        node("Gemm", ["s", "b", "c"], ["t"], transB=1),
        node("Reshape", ["t", "back"], ["u"]), node("ReduceMean", ["u"], ["y"], axes=[1]),
    ]  # fmt: skip
    arrays = {"a": normal(5, 6), "bias": normal(6), "b": normal(2, 6), "c": normal(2)}
    arrays |= {"flat": whole(-1, 5), "back": whole(-1, 4, 2)}
    graph = compare(nodes, ["N", 4, 5], arrays)
    kinds = [each.op.mnemonic for each in graph][1:]
    assert kinds[:4] == ["permute", "conv", "relu", "conv"]
    compare(nodes, [1, 4, 5], arrays)
    compare([*nodes[:-1], node("Flatten", ["u"], ["y"])], ["N", 2, 2, 5], arrays)
    for last in (node("Softmax", ["t"], ["y"]), node("Identity", ["t"], ["y"]),
                 node("BatchNormalization", ["t", "c", "c", "c", "c"], ["y"])):  # fmt: skip
        with pytest.raises(UnsupportedError, match="its positions are in the batch axis"):
            load(str(write([*nodes[:5], last], ["N", 4, 5], arrays)))


def test_products_at_every_position(compare: Any) -> None:
    nodes = [
        node("MatMul", ["x", "a"], ["p"]), node("Add", ["p", "bias"], ["q"]),
        node("Relu", ["q"], ["r"]), node("MatMul", ["r", "b"], ["y"]),
    ]  # fmt: skip
    arrays = {"a": normal(5, 6), "bias": normal(6), "b": normal(6, 2)}
    for shape in (["N", 4, 5], ["N", 3, 4, 5]):
        kinds = [each.op.mnemonic for each in compare(nodes, shape, arrays)]
        assert kinds == ["input", "permute", "conv", "relu", "conv", "permute"]
