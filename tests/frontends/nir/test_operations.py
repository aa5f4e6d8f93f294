"""Nodes of NIR without state, sums, and what is refused by name."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snnc.errors import ModelError, UnsupportedError, UsageError
from snnc.frontends import load, reference
from snnc.frontends.nir.frontend import NirFrontend
from snnc.interp import run_snn
from snnc.ir import Neuron, Stage

RNG = np.random.default_rng(0)
T = 3


def normal(*shape: int) -> NDArray[np.float64]:
    return RNG.normal(0, 1, shape)


def output_of(path: Any, x: NDArray[Any], **options: Any) -> NDArray[Any]:
    """The readout, which is a mean over steps, all of which are alike without neurons."""
    graph = load(str(path), frontend=NirFrontend(**options))
    assert graph.stage is Stage.SNN
    return run_snn(graph, x, timesteps=T).outputs[graph.outputs[0]].numpy()


CASES = {
    "conv1d": (
        (3, 9),
        nir.Conv1d(9, normal(4, 3, 3), 2, 1, 1, 1, normal(4)),
        lambda n: torch.nn.functional.conv1d(
            n, t(CASES["conv1d"][1].weight), t(CASES["conv1d"][1].bias), 2, 1
        ),
    ),
    "depthwise": (
        (4, 7, 6),
        nir.Conv2d((7, 6), normal(8, 1, 3, 2), (2, 1), (1, 0), (1, 2), 4, normal(8)),
        lambda n: torch.nn.functional.conv2d(
            n,
            t(CASES["depthwise"][1].weight),
            t(CASES["depthwise"][1].bias),
            (2, 1),
            (1, 0),
            (1, 2),
            4,
        ),
    ),
    "same": (
        (2, 7, 6),
        nir.Conv2d((7, 6), normal(3, 2, 4, 3), 1, "same", 1, 1, np.zeros(3)),
        lambda n: torch.nn.functional.conv2d(n, t(CASES["same"][1].weight), padding="same"),
    ),
    "scale": ((3, 2), nir.Scale(normal(3, 2)), lambda n: n * t(CASES["scale"][1].scale)),
    "average": (
        (2, 6, 5),
        nir.AvgPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
        lambda n: torch.nn.functional.avg_pool2d(n, (3, 2), (2, 2), (1, 0)),
    ),
    "sum": (
        (2, 6, 5),
        nir.SumPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
        lambda n: 6 * torch.nn.functional.avg_pool2d(n, (3, 2), (2, 2), (1, 0)),
    ),
    "flatten": (
        (2, 3, 4),
        nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1),
        lambda n: n.flatten(1),
    ),
}


def t(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CASES)
def test_an_operation_equals_torch(chain: Any, name: str) -> None:
    shape, node, expected = CASES[name]
    path = chain(nir.Input(np.array(shape)), node, nir.Output(np.array([1])))
    x = RNG.normal(0, 1, (2, *shape)).astype(np.float32)
    np.testing.assert_allclose(output_of(path, x), expected(t(x)).numpy(), rtol=1e-5, atol=1e-5)


def test_edges_into_a_node_add_up(chain: Any) -> None:
    """A residual block whose shortcut carries spikes."""
    zero, one = np.zeros(3), np.ones(3)
    first, second = (nir.IF(one * 1e4, one * 0.7, zero) for _ in range(2))
    path = chain(
        nir.Input(np.array([3])), first, nir.Linear(np.eye(3) * 0.3), second,
        nir.Output(np.array([3])), more=[("n1", "n3")],
    )  # fmt: skip
    graph = load(str(path), frontend=NirFrontend(dt=1e-4, reset="zero"))
    names = [node.name for node in graph if isinstance(node.op, Neuron)]
    values = run_snn(graph, np.ones((1, 3), np.float32), timesteps=T, keep=names).values
    assert all(values[name].all() for name in names)  # 1 > 0.7, and 1 + 0.3 > 0.7


def test_an_integrator_at_the_end_is_the_readout(chain: Any) -> None:
    path = chain(nir.Input(np.array([2])), nir.I(np.array([2.0, 3.0])), nir.Output(np.array([2])))
    x = np.array([[0.5, -1.0]], np.float32)
    np.testing.assert_allclose(output_of(path, x, dt=0.1), [[0.1, -0.3]], rtol=1e-6)


def test_flatten_of_writers_that_count_the_batch(chain: Any) -> None:
    nodes = (nir.Input(np.array([2, 3])), nir.Flatten({"input": np.array([2, 3])}, 1, -1))
    path = chain(*nodes, nir.Output(np.array([6])))
    x = np.ones((1, 2, 3), np.float32)
    assert output_of(path, x, dialect="norse").shape == (1, 6)
    assert output_of(path, x).shape == (1, 2, 3)


ONE, ZERO = np.ones(2), np.zeros(2)
REFUSED = {
    "CubaLIF": nir.CubaLIF(ONE, ONE, ONE, ZERO, ONE, ZERO),
    "CubaLI": nir.CubaLI(ONE, ONE, ONE, ZERO),
    "LI": nir.LI(ONE, ONE, ZERO),
    "Delay": nir.Delay(ONE),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_by_name(chain: Any, kind: str) -> None:
    path = chain(nir.Input(np.array([2])), REFUSED[kind], nir.Output(np.array([2])))
    with pytest.raises(UnsupportedError, match=rf"n1 \({kind}\)") as error:
        load(str(path))
    assert error.value.exit_code == 3


def test_everything_refused_is_listed_at_once(chain: Any) -> None:
    nodes = (nir.Input(np.array([2])), REFUSED["Delay"], nir.Linear(np.ones((2, 2))))
    path = chain(*nodes, REFUSED["LI"], nir.Output(np.array([2])))
    with pytest.raises(UnsupportedError, match="2 operations") as error:
        load(str(path))
    assert "Delay" in error.value.message and "LI" in error.value.message


def test_loops_are_refused_by_name(chain: Any) -> None:
    neuron = nir.IF(ONE, ONE, ZERO)
    path = chain(
        nir.Input(np.array([2])), neuron, nir.Output(np.array([2])),
        more=[("n1", "back"), ("back", "n1")], extra={"back": nir.Linear(np.ones((2, 2)))},
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="back, n1 form a loop"):
        load(str(path), frontend=NirFrontend(dt=1.0, reset="zero"))


@pytest.mark.parametrize("back", [ONE, -2 * ONE])
def test_feedback_that_is_no_reset(chain: Any, back: Any) -> None:
    path = chain(
        nir.Input(np.array([2])), nir.I(ONE), nir.Threshold(ONE), nir.Output(np.array([2])),
        more=[("n2", "back"), ("back", "n1")], extra={"back": nir.Scale(back)},
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"-threshold"):
        load(str(path))


def test_several_inputs_and_nodes_without_one(chain: Any) -> None:
    nodes = (nir.Input(np.array([2])), nir.Output(np.array([2])))
    with pytest.raises(ModelError, match="2 Input nodes"):
        load(str(chain(*nodes, more=[("x", "n1")], extra={"x": nir.Input(np.array([2]))})))
    loose = nir.Linear(np.ones((2, 2)))
    with pytest.raises(UnsupportedError, match="nothing leads to it"):
        load(str(chain(*nodes, more=[("x", "n1")], extra={"x": loose})))


def test_shapes_and_flags_that_do_not_fit(chain: Any) -> None:
    path = str(chain(nir.Input(np.array([2])), nir.Output(np.array([2]))))
    with pytest.raises(UsageError, match="takes an input of shape"):
        load(path, input_shape=(3,))
    with pytest.raises(UsageError, match="holds its weights"):
        load(path, weights="w.pt")
    with pytest.raises(ModelError, match="is a spiking network"):
        reference(path)


def test_without_the_parser(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(chain(nir.Input(np.array([2])), nir.Output(np.array([2]))))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="package nir") as error:
        load(path)
    assert error.value.hint == "pip install 'snnc[nir]'"
