"""The fast interpreter computes what the plain one does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from snnc.errors import GraphError
from snnc.interp import Interpreter, StatefulMeaning
from snnc.interp import interpreter as plain
from snnc.ir import (
    EncodeDirect,
    EncodeLatency,
    EncodePoisson,
    Graph,
    Input,
    Neuron,
    Node,
    Readout,
    Scale,
    Stage,
    Stateful,
)
from snnc.ir.op import Params, Types
from snnc.ir.types import TensorType
from snnc.testing.graphs import Case, ann_cases, quantized_cases, sample_inputs, snn_cases
from snnc.training import FastInterpreter

T = 5
INTEGERS = quantized_cases()


def nearly(found: Tensor, wanted: Tensor) -> None:
    size = float(wanted.abs().max())
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=1e-5 * max(size, 1e-3))


@pytest.mark.parametrize("case", ann_cases(), ids=lambda case: case.name)
def test_networks_before_conversion_give_the_same_within_rounding(case: Case) -> None:
    x = sample_inputs(case.graph, 4)
    wanted = Interpreter(case.graph).ann(x, keep="all")
    found = FastInterpreter(case.graph).ann(x, keep="all")
    for name, value in wanted.items():
        nearly(found[name], value)


@pytest.mark.parametrize("case", INTEGERS, ids=lambda case: case.name)
def test_integers_are_the_same_in_every_value(case: Case) -> None:
    x = sample_inputs(case.graph, 4)
    wanted = Interpreter(case.graph).snn(x, T, keep="all")
    found = FastInterpreter(case.graph).snn(x, T, keep="all")
    for name, value in wanted.values.items():
        assert torch.equal(found.values[name], value), name
    assert found.saturated == wanted.saturated


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_every_op_of_a_spiking_network_on_the_same_inputs(case: Case) -> None:
    fast = FastInterpreter(case.graph)
    compared = set[str]()

    def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
        if isinstance(node.op, Input | Stateful) or "encode" in node.op.mnemonic:
            return
        if node.name in case.graph.outputs:
            return
        compared.add(node.name)
        nearly(fast.apply(node, [x.float() for x in inputs]), value)

    Interpreter(case.graph).snn(sample_inputs(case.graph, 4), T, observe=observe)
    assert compared


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_populations_of_the_same_currents_spike_alike(case: Case) -> None:
    single = Interpreter(case.graph, torch.float32)
    fast = FastInterpreter(case.graph)
    seen = 0

    def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
        nonlocal seen
        if isinstance(node.op, Neuron):
            seen += 1
            assert torch.equal(fast.apply(node, inputs, plain.Run(T)), value), node.name

    single.snn(sample_inputs(case.graph, 4), T, observe=observe)
    assert seen


def test_encoders_pass_gradients_straight_through() -> None:
    for encode, factor in (
        (EncodeDirect(scale=0.25, hi=4), 4.0),
        (EncodePoisson(scale=0.25, hi=4), 1.0),
        (EncodeDirect(), 1.0),
    ):
        graph = Graph(Stage.SNN)
        graph.add("x", Input(shape=(3,)))
        graph.add("enc", encode, ["x"])
        graph.add("out", Readout(), ["enc"])
        graph.outputs = ("out",)
        x = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
        run = FastInterpreter(graph, torch.float64).snn(x, 3)
        (gradient,) = torch.autograd.grad(run.outputs["out"].sum(), x)
        torch.testing.assert_close(gradient, torch.full_like(x, factor))


def test_a_larger_input_moves_a_latency_spike_to_an_earlier_step() -> None:
    """The gradient is the central difference of the total weight of the spike's time."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(5,)))
    graph.add("enc", EncodeLatency(scale=1.0, lo=-10, hi=10), ["x"])
    graph.outputs = (graph.add("out", Readout(), ["enc"]),)
    x = torch.tensor([[0.0, 10.0, 5.0, -5.0, 1.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([7.0, 3.0, 2.0, 11.0, 5.0], dtype=torch.float64)
    values: list[Tensor] = []

    def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
        values.extend([value] if node.name == "enc" else [])

    FastInterpreter(graph, torch.float64).snn(x, 5, observe=observe)
    (events,) = values
    assert events[:, 0].abs().argmax(0)[1:].tolist() == [0, 2, 2, 4]
    (gradient,) = torch.autograd.grad((weights[:, None] * events[:, 0]).sum(), x)
    per_step = 4 / 10  # of the time by the input
    moved = torch.tensor([[0.0, (7 - 3) / 2, (3 - 11) / 2, (3 - 11) / 2, (11 - 5) / 2]]) * per_step
    torch.testing.assert_close(gradient, moved.double())
    (still,) = torch.autograd.grad(
        FastInterpreter(graph, torch.float64).snn(x, 1).outputs["out"].sum(), x
    )
    assert not still.any()


@dataclass(frozen=True, kw_only=True)
class Sum(Stateful):
    """The sum of what has come so far."""

    mnemonic = "sum-test"

    def infer(self, inputs: Types, params: Params) -> TensorType:
        return inputs[0]


class Summing(StatefulMeaning):
    def init(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def step(self, state: Tensor, x: Tensor | None, t: int) -> tuple[Tensor, Tensor | None]:
        assert x is not None
        return state + x, state + x


def test_a_new_op_with_a_state_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3,)))
    graph.add("enc", EncodeDirect(), ["x"])
    graph.add("gain", Scale(factor=2.0), ["enc"])
    graph.add("sum", Sum(), ["gain"])
    graph.outputs = ("sum",)
    x = np.random.default_rng(0).random((2, 3), dtype=np.float32)
    with pytest.raises(GraphError, match="sum"):
        Interpreter(graph).apply(graph.node("sum"), [torch.ones(1, 2, 3)], plain.Run(T))
    table = {**plain.STATEFUL, Sum: lambda op, kind, constant: Summing()}
    monkeypatch.setattr(plain, "STATEFUL", table)
    for interpreter in (Interpreter(graph), FastInterpreter(graph)):
        found = interpreter.snn(x, T, keep=["sum"]).values["sum"]
        np.testing.assert_allclose(found, 2 * x * np.arange(1, T + 1)[:, None, None], rtol=1e-6)
        with pytest.raises(GraphError, match="needs a number of time steps"):
            interpreter.apply(graph.node("sum"), [torch.ones(1, 2, 3)])
