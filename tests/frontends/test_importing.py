"""The importer, from numpy arrays alone: graphs, refusals, names."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from snnc.errors import Loc, ModelError, UnsupportedError
from snnc.frontends import importing
from snnc.frontends.check import check_same
from snnc.frontends.importing import Constant, Imported, Importer, RefusedError, Value
from snnc.interp import run_ann

Floats = NDArray[np.float32]


def normal(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.fixture
def importer() -> Importer:
    return Importer("net")


def run(imported: Imported, x: Floats) -> Floats:
    return run_ann(imported.graph, x)[imported.graph.outputs[0]].numpy()


def test_a_convolution_with_padding_pairs(importer: Importer) -> None:
    weight = normal(6, 2, 3, 2)
    y = importing.conv(
        importer.site("conv", "Conv"), importer.input((4, 7, 5)), Constant(weight, "w"),
        stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2), groups=2,
    )  # fmt: skip
    imported, x = importer.finish([y]), normal(3, 4, 7, 5)
    padded = F.pad(torch.from_numpy(x), (2, 1, 1, 0))
    wanted = F.conv2d(padded, torch.from_numpy(weight), None, (2, 1), 0, (1, 2), 2)
    assert y.shape == tuple(wanted.shape[1:]) and list(imported.graph.params) == ["w"]
    np.testing.assert_allclose(run(imported, x), wanted, rtol=1e-5, atol=1e-5)


def test_a_constant_is_stored_once_and_names_are_made_unique(importer: Importer) -> None:
    x, shared = importer.input((3,)), Constant(normal(3, 3))
    x = importing.linear(importer.site("a", "Gemm"), x, shared)
    x = importing.linear(importer.site("a", "Gemm"), x, shared)
    x = importing.linear(importer.site("b", "Gemm"), x, Constant(normal(3, 3), "a.weight"))
    graph = importer.finish([x]).graph
    assert [node.name for node in graph] == ["input", "a", "a_1", "b"]
    assert list(graph.params) == ["a.weight", "a.weight_1"]


@pytest.mark.parametrize(
    ("shape", "stored"),
    [((), None), ((1, 1), None), ((4, 1, 1), (4,)), ((1, 4, 1, 1), (4,)), ((3,), (4, 2, 3))],
)
def test_a_constant_becomes_one_per_channel_or_per_element(
    importer: Importer, shape: tuple[int, ...], stored: tuple[int, ...] | None
) -> None:
    constant, x = normal(*shape), normal(2, 4, 2, 3)
    y = importing.scale(importer.site("mul", "Mul"), importer.input((4, 2, 3)), Constant(constant))
    imported = importer.finish([y])
    assert [a.shape for a in imported.graph.params.values()] == ([stored] if stored else [])
    np.testing.assert_allclose(run(imported, x), x * constant, rtol=1e-6)


def test_all_refusals_are_listed_at_once(importer: Importer) -> None:
    x = importer.input((3, 4, 4))
    for line, order in enumerate([(1, 0, 2, 3), (0, 2, 1, 3), (2, 1, 0, 3)], start=1):
        site = importer.site("turn", "Transpose", loc=Loc("net.x", line))
        made = importer.attempt(site, importing.permute, x, order)
        x = made or importer.stand_in(site, (3, 4, 4))
    with pytest.raises(UnsupportedError) as error:
        importer.finish([x])
    head, *problems = error.value.message.splitlines()
    assert head == "net: 2 operations cannot be compiled"
    assert problems[0].startswith("  2 x Transpose: it moves the batch axis; keep")
    assert problems[1:] == ["    net.x:1: turn", "    net.x:3: turn_2"]


def test_shapes_that_do_not_fit_are_an_error_of_the_model(importer: Importer) -> None:
    site, x = importer.site("fc", "Gemm"), importer.input((3,))
    assert importer.attempt(site, importing.linear, x, Constant(normal(2, 5))) is None
    with pytest.raises(ModelError, match=r"net: fc \(linear\).*5 features on a sample of"):
        importer.finish([])


def test_a_slice_in_reverse_turns_an_axis_around(importer: Importer) -> None:
    x = importer.input((4,))
    turned = importing.take(importer.site("slice", "Slice"), x, [(3, -1, -1)])
    graph = importer.finish([turned]).graph
    (y,) = run_ann(graph, np.arange(4.0)[None], dtype=torch.float64)[turned.name]
    assert y.tolist() == [3, 2, 1, 0]


def with_softmax(importer: Importer, log: bool = False) -> Value:
    x = importing.linear(importer.site("fc", "Gemm"), importer.input((3,)), Constant(normal(5, 3)))
    return importer.drop_softmax(importer.site("softmax", "Softmax"), x, -1, log)


@pytest.mark.parametrize("log", [False, True])
def test_a_dropped_softmax_is_put_back_to_compare(importer: Importer, log: bool) -> None:
    imported = importer.finish([with_softmax(importer, log)])
    weight = imported.graph.params["fc.weight"].astype(np.float64)

    def model(x: Floats) -> tuple[Floats, ...]:
        scores = np.exp(x @ weight.T)
        result = scores / scores.sum(1, keepdims=True)
        return ((np.log(result) if log else result).astype(np.float32),)

    check_same(imported, model)
    with pytest.raises(UnsupportedError, match="differ"):
        check_same(imported, lambda x: ((x @ weight.T).astype(np.float32),))


def test_only_an_output_may_be_a_softmax(importer: Importer) -> None:
    x = with_softmax(importer)
    with pytest.raises(RefusedError, match="uses a softmax"):
        importing.relu(importer.site("relu", "Relu"), x)


def test_nan_is_no_equality(importer: Importer) -> None:
    site, x = importer.site("a", "Mul"), importer.input((3,))
    for _ in range(2):
        x = importing.scale(site, x, 1e30)
    imported = importer.finish([importing.add(site, x, x, -1)])  # infinity - infinity
    with pytest.raises(UnsupportedError, match="differ by nan"):
        check_same(imported, lambda x: (2 * x,))


def test_other_outputs_than_those_of_the_graph(importer: Importer) -> None:
    x = importer.input((3,))
    imported = importer.finish([importing.scale(importer.site("a", "Mul"), x, 2)])
    with pytest.raises(ModelError, match="gives 2 outputs, its graph 1"):
        check_same(imported, lambda x: (2 * x, x))
    with pytest.raises(UnsupportedError, match=r"\(2, 3\) in the graph, \(2, 1\) in the model"):
        check_same(imported, lambda x: (2 * x[:, :1],))
    with pytest.raises(ModelError, match="NaN or infinity"):
        check_same(imported, lambda x: (np.full_like(x, np.inf),))
    with pytest.raises(ModelError, match="gives a tensor of int64"):
        check_same(imported, lambda x: (x.astype(np.int64),))  # type: ignore[reportArgumentType]


def test_it_imports_no_torch() -> None:
    code = "import sys, snnc.frontends.importing; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
