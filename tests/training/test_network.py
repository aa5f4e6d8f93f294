"""The network that learns: the same spikes as the interpreter, and a graph again afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import snnc
from snnc.errors import DataError, ModelError, UsageError
from snnc.interp import run_snn
from snnc.ir import AnyNeuron, Conv, EncodePoisson, Graph
from snnc.testing import Style, build, random_graph, snn_cases
from snnc.testing.graphs import sample_inputs
from snnc.training import SpikingNetwork, Stdb

T = 4


def spiking(topology: str = "plain", **options: Any) -> Graph:
    graph = build(topology, Style.SNN, **options)
    graph.meta["timesteps"] = T
    return graph


def inputs(graph: Graph, count: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.array(sample_inputs(graph, count), np.float32))


def assert_same_spikes(graph: Graph, *, training: bool) -> None:
    x = inputs(graph, 3)
    neurons = [node.name for node in graph if isinstance(node.op, AnyNeuron)]
    expected = run_snn(graph, x, timesteps=T, keep=neurons, seed=7)
    network = snnc.to_torch(graph, T, dtype=torch.float64).train(training)
    with network.record() as spikes:
        output = network(x, seed=7)
    assert set(spikes) == set(neurons)
    for name in neurons:
        assert torch.equal(spikes[name], expected.values[name]), name
    torch.testing.assert_close(output, next(iter(expected.outputs.values())), rtol=0, atol=0)
    assert output.requires_grad and not all(s.requires_grad is False for s in spikes.values())


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_random_graphs_spike_as_the_interpreter_says(seed: int) -> None:
    assert_same_spikes(random_graph(seed, Style.SNN), training=bool(seed % 2))


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_every_case_spikes_as_the_interpreter_says_and_comes_back(case: Any) -> None:
    assert_same_spikes(case.graph, training=True)
    graph = case.graph.clone()
    graph.meta["timesteps"] = T
    again = snnc.from_torch(snnc.to_torch(graph))
    assert again.fingerprint() == graph.fingerprint()


def test_one_step_is_a_feed_forward_binary_network() -> None:
    graph = spiking("plain", neuron={"leak": 0.6, "reset": "zero"})
    for node in graph.nodes:
        if isinstance(node.op, AnyNeuron):
            graph.replace_op(node.name, replace(node.op, v_init=0.0))
    x, p = inputs(graph), {n: torch.from_numpy(np.array(a)) for n, a in graph.params.items()}

    def fire(current: torch.Tensor, name: str) -> torch.Tensor:
        v = p[f"{name}.threshold"]
        return (current > (v if v.ndim == 0 else v.reshape(-1, *(1,) * (current.ndim - 2)))).float()

    def biased(y: torch.Tensor, name: str) -> torch.Tensor:
        return y + p[name].reshape(-1, *(1,) * (y.ndim - 2)) if name in p else y

    values = {node.name: node for node in graph.nodes}
    y = x
    for name, node in values.items():
        if isinstance(node.op, Conv):
            padding = [before for before, _ in node.op.padding]
            y = biased(
                F.conv2d(y, p[f"{name}.weight"], None, node.op.stride, padding), f"{name}.bias"
            )
        elif name.startswith("fc"):
            y = biased(F.linear(y, p[f"{name}.weight"]), f"{name}.bias")
        elif isinstance(node.op, AnyNeuron):
            y = fire(y, name)
        elif node.op.mnemonic == "scale":
            factor = node.op.factor  # type: ignore[attr-defined]
            y = y * (factor if isinstance(factor, float) else p[factor.name].reshape(-1, 1, 1))
            y = biased(y, f"{name}.bias")
        elif node.op.mnemonic == "sumpool":
            y = F.avg_pool2d(y, 2, divisor_override=1)
        elif node.op.mnemonic == "reshape":
            y = y.flatten(1)
    output = snnc.to_torch(graph, 1)(x)
    assert torch.equal(output, y) and y.std() > 0
    for leak, reset in ((1.0, "zero"), (0.1, "subtract")):
        for node in graph.nodes:
            if isinstance(node.op, AnyNeuron):
                graph.replace_op(node.name, replace(node.op, leak=leak, reset=reset))  # type: ignore[arg-type]
        assert torch.equal(snnc.to_torch(graph, 1)(x), output)


def test_the_first_layer_is_computed_once_and_others_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[int] = []

    def convolve(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        batches.append(len(x))
        return F.conv2d(x, *rest)

    monkeypatch.setattr("snnc.training.fast_ops.CONVOLUTIONS", {2: convolve})
    graph = spiking()
    snnc.to_torch(graph)(inputs(graph, 3))
    assert batches == [3, 3 * T]


# -- parameters ----------------------------------------------------------------------------------


def test_parameters_are_called_as_in_the_graph() -> None:
    graph = spiking(neuron={"leak": 0.9})
    network = snnc.to_torch(graph)
    leaks = {f"act{i}.leak" for i in (1, 2, 3)}
    assert set(network.state_dict()) == set(graph.params) | leaks
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    ends = ("weight", "bias", "threshold", "leak")
    assert learning == {name for name in network.state_dict() if name.endswith(ends)}
    assert list(network.thresholds) == ["act1", "act2", "act3"]
    assert network.thresholds["act2"].shape == (6,) and network.leaks["act2"].shape == ()
    assert network.leaks["act1"] is network.get_parameter("act1.leak")
    some = snnc.to_torch(graph, learn=["threshold", "v_init"])
    assert {n for n, p in some.named_parameters() if p.requires_grad} == {
        f"act{i}.{field}" for i in (1, 2, 3) for field in ("threshold", "v_init")
    }


def test_names_that_modules_use_themselves() -> None:
    graph = spiking()
    renamed = {"conv1.weight": "forward.half", "conv2.weight": "source", "fc1.weight": "act1.a..b"}
    for old, new in renamed.items():
        node = graph.node(old.split(".")[0])
        ref = graph.set_param(new, graph.params[old])
        graph.replace_op(node.name, replace(node.op, weight=ref))  # type: ignore[call-arg]
    network = snnc.to_torch(graph)
    assert {"forward_.half_", "source_", "act1.a._.b"} <= set(network.state_dict())
    with torch.no_grad():
        network.parameter("forward.half").mul_(2)
    changed = snnc.from_torch(network)
    np.testing.assert_array_equal(changed.params["forward.half"], 2 * graph.params["forward.half"])


def test_what_is_learnt_comes_back_under_its_name() -> None:
    graph = spiking(neuron={"leak": 0.9})
    network = snnc.to_torch(graph, 3, learn=["weight", "bias", "threshold", "leak", "v_init"])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    optimiser.register_step_post_hook(network.constrain)
    x = inputs(graph, 32)
    bright = x.mean((1, 2, 3))
    labels = (bright > bright.median()).long()
    losses: list[float] = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    again = snnc.from_torch(network)
    assert again.meta["timesteps"] == 3 and graph.meta["timesteps"] == T
    for name, array in again.params.items():
        assert array.dtype == graph.params[name].dtype == np.float32
        assert not np.array_equal(array, graph.params[name]) or "scale" in name, name
        assert np.array_equal(array, network.parameter(name).detach().numpy())
    leak = again.node("act2").op.leak  # type: ignore[attr-defined]
    assert isinstance(leak, float) and leak == network.leaks["act2"].item() != 0.9
    output = run_snn(again, x, timesteps=3, dtype=torch.float32).outputs["readout"]
    assert torch.equal(output, network(x))
    twice = snnc.from_torch(snnc.to_torch(again))
    assert twice.fingerprint() == again.fingerprint()


def test_a_state_goes_from_network_to_network() -> None:
    graph = spiking()
    one, two = snnc.to_torch(graph, 5), snnc.to_torch(graph, 2)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.mul_(0.9)
    two.load_state_dict(one.state_dict())
    two.timesteps = 5
    assert torch.equal(one(inputs(graph)), two(inputs(graph)))
    assert snnc.from_torch(two).fingerprint() == snnc.from_torch(one).fingerprint()


def test_constrain_clamps_and_from_torch_refuses() -> None:
    graph = spiking()
    network = snnc.to_torch(graph)
    before = network.thresholds["act2"].detach().clone()
    for parameter, value, why in (
        (network.thresholds["act2"], -0.5, "act2.threshold became -0.5: a threshold must be above"),
        (network.leaks["act1"], 1.25, "act1.leak became 1.25: a leak must lie in 0..1"),
        (network.leaks["act1"], -0.25, "act1.leak became -0.25"),
    ):
        with torch.no_grad():
            parameter.copy_(torch.full_like(parameter, value))
        with pytest.raises(ModelError, match=why):
            snnc.from_torch(network)
        network.constrain()
        snnc.from_torch(network)
    assert network.thresholds["act2"].detach().unique().tolist() == [
        pytest.approx(1e-3 * before.min().item())
    ]
    assert network.leaks["act1"].item() == 0
    with torch.no_grad():
        network.get_parameter("fc1.weight")[0, 0] = torch.nan
    with pytest.raises(ModelError, match="fc1.weight became nan: it is not finite"):
        snnc.from_torch(network)


def test_what_cannot_be_trained_is_refused() -> None:
    graph = spiking()
    with pytest.raises(UsageError, match="stage ann"):
        snnc.to_torch(build("plain", Style.ANN), 4)
    with pytest.raises(UsageError, match="conv1 .* holds integers") as caught:
        snnc.to_torch(build("plain", Style.QUANTIZED), 4)
    assert caught.value.hint == "train the graph before quantize"
    del graph.meta["timesteps"]
    with pytest.raises(UsageError, match="window"):
        snnc.to_torch(graph)
    with pytest.raises(DataError, match="a window of 0 steps"):
        snnc.to_torch(graph, 0)
    with pytest.raises(UsageError, match="'mean' cannot learn"):
        snnc.to_torch(graph, 4, learn=["weight", "mean"])
    with pytest.raises(UsageError, match="'conv1', which is no neuron"):
        snnc.to_torch(graph, 4, dropout={"conv1": 0.5})
    with pytest.raises(UsageError, match="dropout of 1 behind act1"):
        snnc.to_torch(graph, 4, dropout=1)
    with pytest.raises(UsageError, match="Linear is not a network"):
        snnc.from_torch(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


# -- training ------------------------------------------------------------------------------------


def test_dropout_is_the_same_at_every_step() -> None:
    graph = spiking()
    network = snnc.to_torch(graph, dropout={"act1": 0.5})
    x = inputs(graph)
    seen: list[torch.Tensor] = []
    plain = snnc.to_torch(graph)(x)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch, network.record() as spikes:
        linear = snnc.training.spiking_network.F.dropout  # type: ignore[attr-defined]
        patch.setattr(F, "dropout", lambda *a: seen.append(linear(*a)) or seen[-1])
        one = network(x)
    assert [m.shape for m in seen] == [(len(x), *spikes["act1"].shape[2:])]
    assert sorted(seen[0].unique().tolist()) == [0, 2]
    torch.manual_seed(0)
    assert torch.equal(network(x), one) and not torch.equal(network(x), one)
    assert torch.equal(network.eval()(x), plain) and not torch.equal(one, plain)


def test_recorded_spikes_carry_a_gradient() -> None:
    graph = spiking()
    network = snnc.to_torch(graph)
    with network.record() as spikes:
        network(inputs(graph))
    assert {n: s.shape[:2] for n, s in spikes.items()} == dict.fromkeys(network.thresholds, (T, 6))
    sum((s.sum() for s in spikes.values()), torch.tensor(0.0)).backward()
    assert all(v.grad is not None and (v.grad <= 0).all() for v in network.thresholds.values())
    count = len(spikes)
    network(inputs(graph, 2))
    assert len(spikes) == count and spikes["act1"].shape[1] == 6


def test_poisson_spikes_are_fresh_in_training_and_fixed_in_evaluation() -> None:
    graph = spiking(encode=EncodePoisson)
    network, x = snnc.to_torch(graph), inputs(graph)
    torch.manual_seed(1)
    one, two = network(x), network(x)
    assert not torch.equal(one, two)
    torch.manual_seed(1)
    assert torch.equal(network(x), one)
    network.eval()
    assert torch.equal(network(x), network(x))
    assert torch.equal(network(x), network(x, seed=0, sample_ids=np.arange(6)))
    assert not torch.equal(network(x), network(x, seed=1))


@pytest.mark.parametrize("surrogate", ["atan", Stdb(silent=5)])
def test_the_surrogate_changes_gradients_only(surrogate: Any) -> None:
    graph = spiking()
    networks = [snnc.to_torch(graph), snnc.to_torch(graph, surrogate=surrogate)]
    outputs = [network(inputs(graph)) for network in networks]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    grads = [network.get_parameter("conv1.weight").grad for network in networks]
    assert not torch.allclose(*grads) and all(grad.abs().sum() > 0 for grad in grads)  # type: ignore[arg-type, union-attr]


def test_channels_last_and_bfloat16() -> None:
    graph = spiking("residual", neuron={"leak": 0.9})
    x = inputs(graph)
    plain = snnc.to_torch(graph, dtype=torch.float64)
    last = snnc.to_torch(graph, dtype=torch.float64).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with plain.record() as expected, last.record() as spikes:
        plain(x)
        last(x.to(memory_format=torch.channels_last)).square().sum().backward()
    assert all(torch.equal(spikes[name], expected[name]) for name in expected)
    assert spikes["act0"][0].is_contiguous(memory_format=torch.channels_last)
    half: SpikingNetwork = snnc.to_torch(graph)
    with half.record() as rounded, torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(half(x), torch.arange(6) % 5)
    loss.backward()
    assert rounded["act1"].dtype == torch.bfloat16 and torch.isfinite(loss)
    same = [float((rounded[n].double() == expected[n]).double().mean()) for n in expected]
    assert min(same) > 0.9
    for name, parameter in half.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_kept_through_all_layers(channels: int) -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(4, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(6 * 16, 10),
    )  # fmt: skip
    passes = "lower-avgpool,activations-to-neurons,fold-scale"
    graph = snnc.trace(model.eval(), (channels, 8, 8))
    graph = snnc.Pipeline.from_text(passes).run(graph, snnc.PassContext(timesteps=T)).graph
    network, x = snnc.to_torch(graph), torch.rand(3, channels, 8, 8)
    with network.record() as contiguous:
        expected = network(x)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with network.record() as spikes:
        output = network(x)
    assert all(s[0].is_contiguous(memory_format=torch.channels_last) for s in spikes.values())
    assert all(s.is_contiguous() for s in contiguous.values())
    torch.testing.assert_close(output, expected)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x)
    assert rounded.dtype == torch.bfloat16
    rounded.float().square().sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
