"""ONNX models of a few operations, and the comparison of their graphs with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save_model

from snnc.frontends import load, reference
from snnc.interp import run_ann
from snnc.ir import Graph
from snnc.output_function import applied

Write = Callable[..., Path]
Compare = Callable[..., Graph]


def made(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str | None],
    arrays: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    kind: int = TensorProto.FLOAT,
    domains: Sequence[str] = (),
) -> ModelProto:
    """A model of the input `x` of `shape`, the batch first."""
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in (arrays or {}).items()]
    given = [helper.make_tensor_value_info("x", kind, shape)]
    results = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "main", given, results, stored)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a model; arguments of `made`, or the model itself."""

    def write(model: Any, *args: Any, **kwargs: Any) -> Path:
        path = tmp_path / "model.onnx"
        proto = model if isinstance(model, ModelProto) else made(model, *args, **kwargs)
        save_model(proto, path)
        return path

    return write


def session(path: Path) -> Any:
    """The model in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(path, options, providers=providers)


@pytest.fixture
def compare(write: Write) -> Compare:
    """The graph of a model, equal to onnxruntime on three samples, as its reference is."""

    def compare(*args: Any, input_shape: tuple[int, ...] | None = None, **kwargs: Any) -> Graph:
        path = write(*args, **kwargs)
        graph = load(str(path), input_shape=input_shape)
        shape = graph.type_of(graph.input).shape
        x = np.random.default_rng(1).standard_normal((3, *shape), dtype=np.float32)
        run = session(path)
        (entry,) = run.get_inputs()
        samples = [x] if not isinstance(entry.shape[0], int) else [x[i : i + 1] for i in range(3)]
        wanted = [np.concatenate(each) for each in
                  zip(*(run.run(None, {entry.name: s}) for s in samples), strict=True)]  # fmt: skip
        values = run_ann(graph, x)
        own = reference(str(path))(x)
        for i, (output, computed, expected) in enumerate(
            zip(graph.outputs, own, wanted, strict=True)
        ):
            value = applied(graph.meta, values[output].numpy(), i)
            assert value.shape == computed.shape == expected.shape
            error = max(np.abs(found - expected).max() for found in (value, computed))
            assert error <= 1e-5 * np.abs(expected).max()
        return graph

    return compare
