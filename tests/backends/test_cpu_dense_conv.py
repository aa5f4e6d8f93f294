"""Dense layers of real inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snnc.ir import Conv, EncodeDirect, Graph, Input, Linear, Readout, Reshape, Stage
from snnc.native.cache import open_cache
from snnc.native.jit import Host
from snnc_backends.cpu.kernels import KERNELS, DenseConv
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import CpuProgram, load

EDGES = ((1, 2), (0, 3))


def program(graph: Graph, target: Host | None = None) -> CpuProgram:
    """The program of a graph whose only layer is a dense one of real inputs."""
    plan, weights = lower(graph, 2, tuple(KERNELS.values()))
    assert isinstance(plan.steps[0].kernel, DenseConv)
    return load(plan.to_json(), weights, 1, open_cache(), target)


def layer(op: Any, shape: tuple[int, ...], **arrays: np.ndarray) -> Graph:
    """A layer of real inputs, and its sums as the readout."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=shape))
    graph.add("encode", EncodeDirect(), ["x"])
    refs = {name: graph.set_param(name, array) for name, array in arrays.items()}
    graph.add("layer", op(**refs), ["encode"])
    size = int(np.prod(graph.types()["layer"].shape))
    graph.add("flat", Reshape(shape=(size,)), ["layer"])
    graph.add("out", Readout(), ["flat"])
    graph.outputs = ("out",)
    return graph


@pytest.mark.parametrize(
    ("features", "inputs", "outputs", "size", "options"),
    [
        ("", 1, 6, 5, {"padding": ((2, 2), (2, 2))}),
        ("sse2", 1, 6, 5, {"padding": ((2, 2), (2, 2))}),
        ("", 3, 64, 3, {"padding": ((1, 1), (1, 1))}),
        ("avx2", 2, 100, 3, {"padding": EDGES, "stride": (2, 1)}),
        ("", 5, 17, 2, {"stride": (1, 2), "dilation": (3, 1)}),
        ("avx2", 4, 1, 1, {}),
        ("avx512", 3, 33, 9, {}),
    ],
)
def test_convolutions(
    this_processor: Any,
    features: str,
    inputs: int,
    outputs: int,
    size: int,
    options: dict[str, Any],
) -> None:
    rng = np.random.default_rng(outputs)
    weight = rng.integers(-127, 128, (outputs, inputs, size, size)) / 64
    bias = rng.integers(-99, 99, outputs) / 64
    arrays = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    graph = layer(lambda **refs: Conv(**refs, **options), (inputs, 11, 9), **arrays)
    ours = program(graph, this_processor(features))
    assert ours.plan.steps[0].kernel.weight == "i8"  # pyright: ignore
    x = (np.rint(rng.standard_normal((2, inputs, 11, 9)) * 8) / 8).astype(np.float32)
    (top, bottom), (left, right) = options.get("padding", ((0, 0), (0, 0)))
    padded = torch.from_numpy(np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))))
    moves = {name: options.get(name, (1, 1)) for name in ("stride", "dilation")}
    both = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = torch.conv2d(padded, **both, **moves).flatten(1).numpy()
    np.testing.assert_array_equal(ours.run(x).output, expected)  # sums of 24 bits: any order


@pytest.mark.parametrize(
    ("features", "outputs", "grid"),
    [("", 3, True), ("sse2", 64, False), ("avx2", 300, True), ("", 300, False), ("", 300, True)],
)
def test_linear_layers(this_processor: Any, features: str, outputs: int, grid: bool) -> None:
    rng = np.random.default_rng(outputs)
    weight = rng.integers(-127, 128, (outputs, 90)) * (2.0**-9 if grid else 0.013)
    graph = layer(Linear, (90,), weight=weight.astype(np.float32))
    ours = program(graph, this_processor(features))
    assert ours.plan.steps[0].kernel.weight == ("i8" if grid else "f32")  # pyright: ignore
    x = rng.standard_normal((3, 90)).astype(np.float32) * (rng.random((3, 90)) < 0.5)
    expected = x.astype(np.float64) @ weight.astype(np.float32).astype(np.float64).T
    np.testing.assert_allclose(
        ours.run(x.astype(np.float32)).output, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("field", [{"dilation_w": 2}, {"source": "i8"}, {"weight": "i32"}])
def test_what_it_does_not_compute_is_refused(field: dict[str, Any]) -> None:
    graph = layer(Linear, (9,), weight=np.ones((4, 9), np.float32))
    kernel = program(graph).plan.steps[0].kernel
    with pytest.raises(ValueError, match="gaps|none of"):
        DenseConv.from_json({**vars(kernel), **field})
