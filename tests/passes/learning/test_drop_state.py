"""`drop-state`: at T = 1 a network is the feed-forward one with binary activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import snnc
from snnc.errors import PassError
from snnc.interp import run_snn
from snnc.ir import Graph, Neuron
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, snn_cases
from snnc.testing.graphs import sample_inputs
from snnc.transform import PassContext, PassResult
from snnc_passes.lower.drop_state import DropState


def dropped(graph: Graph, timesteps: int = 1) -> PassResult:
    return DropState().run(graph.clone(), PassContext(timesteps=timesteps))


def populations(graph: Graph) -> list[Neuron]:
    return [node.op for node in graph.nodes if isinstance(node.op, Neuron)]


def with_neurons(graph: Graph, **fields: Any) -> Graph:
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            graph.replace_op(node.name, replace(node.op, **fields))
    return graph


def binary_network(graph: Graph, x: Tensor) -> Tensor:
    """A multilayer perceptron of binary activations, written as one would write it in torch."""
    p = {name: torch.from_numpy(np.array(array)) for name, array in graph.params.items()}
    for layer in (1, 2):
        current = F.linear(x, p[f"fc{layer}.weight"]) + p[f"fc{layer}.bias"]
        x = (current > p[f"relu{layer}.threshold"]).float()
    return F.linear(x, p["fc3.weight"]) + p["fc3.bias"]


@pytest.mark.parametrize(
    "fields", [{"leak": 0.6, "reset": "zero"}, {"leak": 0.9}, {"signed": True}]
)
def test_one_step_is_a_binary_network_bit_for_bit(digits: Any, fields: dict[str, Any]) -> None:
    graph = digits.spiking(1, "activations-to-neurons,threshold-balance{statistic=mse},fold-scale")
    graph = with_neurons(graph, **fields)
    result = dropped(graph)
    assert result.metrics["dropped"] == 2
    assert all((op.leak, op.reset, op.signed) == (1.0, "subtract", False)
               for op in populations(result.graph))  # fmt: skip
    ((x, _),) = digits.test
    expected = binary_network(graph, torch.from_numpy(x))
    for each in (graph, result.graph):
        (output,) = run_snn(each, x, timesteps=1, dtype=torch.float32).outputs.values()
        assert torch.equal(output, expected)
    assert expected.std() > 0


def test_the_cpu_backend_gives_the_same_bits(digits: Any) -> None:
    """Weights on a binary grid, so that no sum is rounded, whatever its order."""
    graph = digits.spiking(1, "activations-to-neurons,threshold-balance{statistic=mse},fold-scale")
    graph = with_neurons(graph, leak=0.5, reset="zero")
    for name, array in graph.params.items():
        least = 1 / 64 if name.endswith("threshold") else -np.inf
        graph.set_param(name, np.maximum(np.rint(array * 64) / 64, least).astype(np.float32))
    ((x, _),) = digits.test
    compiled = snnc.compile(graph, passes="drop-state", timesteps=1)
    output = compiled.program.run(x).output
    np.testing.assert_array_equal(output, binary_network(graph, torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_what_a_network_computes_stays(case: Any) -> None:
    result = dropped(case.graph)
    x = sample_inputs(case.graph, 6)
    before, after = (
        run_snn(graph, x, timesteps=1, dtype=torch.float32).outputs
        for graph in (case.graph, result.graph)
    )
    for name, value in before.items():
        assert torch.equal(after[name], value)
    assert dropped(result.graph).graph.fingerprint() == result.graph.fingerprint()


def test_a_leak_goes_into_the_potential() -> None:
    graph = with_neurons(build("plain", Style.SNN), leak=0.75, v_init=0.4)
    starts = [op.v_init for op in populations(dropped(graph).graph)]
    assert starts == [float(np.float32(0.75) * np.float32(0.4))] * 3


@pytest.mark.parametrize("fields", [{"order": "fire-integrate"}, {"wait": 2}])
def test_what_has_a_past_keeps_it(fields: dict[str, Any]) -> None:
    graph = with_neurons(build("plain", Style.SNN), leak=0.5, **fields)
    assert dropped(graph).graph.fingerprint() == graph.fingerprint()


def test_longer_windows_keep_their_state() -> None:
    graph = build("plain", Style.SNN, neuron={"leak": 0.5})
    result = dropped(graph, 2)
    assert result.graph.fingerprint() == graph.fingerprint()


def test_integers_are_refused_with_the_remedy() -> None:
    with pytest.raises(PassError) as caught:
        dropped(build("plain", Style.QUANTIZED))
    assert "drop-state before quantize" in str(caught.value.hint)


def test_it_can_be_quantised_afterwards(digits: Any) -> None:
    text = (
        "activations-to-neurons{leak=0.8},threshold-balance{statistic=mse},fold-scale,drop-state,"
        "quantize{bits=8}"
    )
    graph = Pipeline.from_text(text).run(digits.ann, digits.context(timesteps=1)).graph
    assert all(op.leak == 1 for op in populations(graph))
