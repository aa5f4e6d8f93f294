"""What a loop may look at and add to its loss: figures of the layers, the price of spikes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import snnc
from snnc.errors import UsageError
from snnc.ir import Neuron
from snnc.testing import Style, build
from snnc.testing.graphs import sample_inputs
from snnc.training import LayerStatistics, SpikingNetwork, layer_statistics, spike_cost, watch

T, N = 4, 6


@pytest.fixture
def network() -> SpikingNetwork:
    graph = build("plain", Style.SNN, neuron={"leak": 0.9})
    return snnc.to_torch(graph, T)


@pytest.fixture
def x(network: SpikingNetwork) -> torch.Tensor:
    return torch.from_numpy(np.array(sample_inputs(network.source, N), np.float32))


def made_up() -> dict[str, torch.Tensor]:
    """Rates of 1/4 in a layer of 6 neurons and 1/2 in one of 2."""
    one, two = torch.zeros(T, N, 3, 2), torch.zeros(T, N, 2)
    one[0] = 1
    two[:, :, 1] = 1
    return {"one": one, "two": two}


# -- what the layers do --------------------------------------------------------------------------


def test_every_call_is_reported_with_the_figures_of_its_spikes(
    network: SpikingNetwork, x: torch.Tensor
) -> None:
    seen: list[tuple[LayerStatistics, ...]] = []
    with watch(network, seen.append):
        network(x)
        with torch.no_grad():
            network.thresholds["act2"].mul_(2)
            network.leaks["act2"].fill_(0.25)
        network(x[:2])
    with network.record() as spikes:
        network(x[:2])
    assert len(seen) == 2 and seen[1] == layer_statistics(network, spikes)
    first, second = ({layer.node: layer for layer in layers} for layers in seen)
    assert list(first) == ["act1", "act2", "act3"]
    for node, fired in spikes.items():
        layer = second[node]
        assert layer.rate == pytest.approx(fired.mean().item(), rel=1e-6)
        assert layer.spikes_per_neuron == pytest.approx(fired.sum(0).mean().item(), rel=1e-6)
        assert layer.silent == pytest.approx((fired.sum((0, 1)) == 0).double().mean().item())
        assert layer.threshold == pytest.approx(network.thresholds[node].mean().item())
    assert 0 < second["act1"].silent < 1
    assert second["act2"].threshold == pytest.approx(2 * first["act2"].threshold)
    assert (first["act2"].leak, second["act2"].leak) == (pytest.approx(0.9), 0.25)
    assert str(second["act2"]).startswith("act2: 0.") and "leak 0.25" in str(second["act2"])


def test_watching_changes_nothing_and_ends(network: SpikingNetwork, x: torch.Tensor) -> None:
    plain = network(x)
    calls: list[int] = []
    watching = watch(network, lambda layers: calls.append(len(layers)))
    output = torch.nn.Sequential(network)(x)
    assert torch.equal(output, plain) and calls == [3]
    output.sum().backward()
    watching.close()
    network(x)
    assert calls == [3] and not network._recorded
    with pytest.raises(RuntimeError, match="mine"), watch(network, _refuse):
        network(x)
    network(x)
    assert not network._recorded


def _refuse(_: object) -> None:
    raise RuntimeError("mine")


def test_spikes_are_not_kept_alive(
    network: SpikingNetwork, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    original = layer_statistics

    def look(network: SpikingNetwork, spikes: dict[str, torch.Tensor]) -> object:
        alive.extend(weakref.ref(fired) for fired in spikes.values())
        return original(network, spikes)

    monkeypatch.setattr("snnc.training.statistics.layer_statistics", look)
    with watch(network, lambda _: None):
        network(x).sum().backward()
        gc.collect()
        assert [ref() for ref in alive] == [None] * 3


def test_two_may_watch_and_record_at_once(network: SpikingNetwork, x: torch.Tensor) -> None:
    seen: list[tuple[LayerStatistics, ...]] = []
    with watch(network, seen.append), network.record() as spikes, watch(network, seen.append):
        network(x)
    assert seen[0] == seen[1] == layer_statistics(network, spikes)


def test_a_negative_spike_is_a_spike() -> None:
    graph = build("plain", Style.SNN)
    network = snnc.to_torch(graph, T)
    spikes = {n.name: torch.zeros(T, N, 4) for n in graph if isinstance(n.op, Neuron)}
    spikes["act1"][1, 2, 3] = -1
    (first, *rest) = layer_statistics(network, spikes)
    assert first.rate == 1 / (T * N * 4) and first.silent == 0.75
    assert all(layer.rate == 0 and layer.silent == 1 for layer in rest)
    assert spike_cost(spikes).item() == pytest.approx(first.rate / 3)


# -- the price of spikes -------------------------------------------------------------------------


def test_the_cost_is_the_rate_of_the_whole_network() -> None:
    spikes = made_up()
    assert spike_cost(spikes).item() == pytest.approx((6 / 4 + 2 / 2) / 8)
    longer = {node: torch.cat([fired] * 3).repeat(1, 2, *[1] * (fired.ndim - 2))
              for node, fired in spikes.items()}  # fmt: skip
    assert spike_cost(longer).item() == pytest.approx(spike_cost(spikes).item())


def test_weights_and_target() -> None:
    spikes = made_up()
    equal = {"one": 1.0, "two": 1.0}
    assert spike_cost(spikes, weights=equal).item() == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert spike_cost(spikes, weights={"two": 7}).item() == pytest.approx(1 / 2)
    assert spike_cost(spikes, weights=equal, target=0.3).item() == pytest.approx(0.2 / 2)
    assert spike_cost(spikes, target=0.5).item() == 0


def test_every_neuron_above_the_target_is_pushed_down(
    network: SpikingNetwork, x: torch.Tensor
) -> None:
    spikes = {node: fired.requires_grad_() for node, fired in made_up().items()}
    spike_cost(spikes, target=0.3).backward()
    one, two = (fired.grad for fired in spikes.values())
    assert one is not None and not one.any()
    assert two is not None and two.unique().numel() == 1
    assert two.flatten()[0].item() == pytest.approx(2 / (6 + 2) / two.numel())

    before = [layer.rate for layer in _statistics(network, x)]
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        with network.record() as fired:
            network(x)
        spike_cost(fired).backward()
        optimizer.step()
        network.constrain()
    after = [layer.rate for layer in _statistics(network, x)]
    assert sum(after) < 0.7 * sum(before)


def _statistics(network: SpikingNetwork, x: torch.Tensor) -> tuple[LayerStatistics, ...]:
    with network.record() as spikes:
        network(x)
    return layer_statistics(network, spikes)


def test_half_precision_is_summed_in_single() -> None:
    spikes = {"a": torch.ones(2, 1, 3000, dtype=torch.bfloat16)}
    spikes["a"][0, 0, :13] = 0
    cost = spike_cost(spikes)
    assert cost.dtype == torch.float32 and cost.item() == pytest.approx(1 - 13 / 6000, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"target": 1.0}, "a target rate of 1"),
        ({"target": -0.1}, "a target rate of -0.1"),
        ({"weights": {"three": 1.0}}, "'three', which is no neuron node"),
        ({"weights": {"one": -1.0, "two": 2.0}}, "must not be negative"),
        ({"weights": {"one": 0.0}}, "not all 0"),
        ({"weights": {}}, "not all 0"),
    ],
)
def test_what_has_no_cost_is_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        spike_cost(made_up(), **options)  # type: ignore[arg-type]


def test_without_spikes_there_is_no_cost() -> None:
    with pytest.raises(UsageError, match="no spikes"):
        spike_cost({})
