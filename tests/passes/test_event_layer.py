"""Convolutions of a sweep by events: which are, and that they give what torch's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from snnc.ir import (
    Conv,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Reshape,
    Scale,
    Stage,
    SumPool,
)
from snnc.training import FastInterpreter
from snnc_passes._sweep.layer_sweep import LayerSweep
from snnc_passes._sweep.spike_train import ALL

T, SAMPLES = 5, 70
TILES = (((0, 2), (2, 4), (4, 6)), ((0, 2), (2, 4), (4, 6)))
OVERLAPPING = (((0, 3), (2, 5)), ((0, 3), (2, 5)))


def network(
    threshold: float = 3.0, channels: int = 64, scale: Any = 0.7, pool: Any = None, groups: int = 1
) -> Graph:
    """Two convolutions with neurons before and a scale, perhaps a pool, between them."""
    rng, graph = np.random.default_rng(0), Graph(Stage.SNN)
    graph.add("x", Input(shape=(3, 6, 6)))
    graph.add("enc", EncodeDirect(), ["x"])

    def conv(name: str, source: str, inputs: int, outputs: int, groups: int = 1) -> str:
        shape = (outputs, inputs // groups, 3, 3)
        weight = graph.set_param(f"{name}.w", rng.normal(size=shape).astype(np.float32))
        bias = graph.set_param(f"{name}.b", rng.normal(size=outputs).astype(np.float32))
        around = ((1, 1), (1, 1))
        return graph.add(
            name, Conv(weight=weight, bias=bias, padding=around, groups=groups), [source]
        )

    spikes = graph.add("n1", Neuron(threshold=threshold), [conv("c1", "enc", 3, 64)])
    if not isinstance(scale, float):
        scale = graph.set_param("s.factor", scale)
    before = graph.add("s", Scale(factor=scale), [spikes])
    if pool is not None:
        before = graph.add("pool", SumPool(windows=pool), [before])
    conv("c2", before, 64, channels, groups)
    graph.add("n2", Neuron(threshold=10.0), ["c2"])
    size = int(np.prod(graph.type_of("n2").shape))
    graph.add("flat", Reshape(shape=(size,)), ["n2"])
    graph.add("readout", Readout(), ["flat"])
    graph.outputs = ("readout",)
    return graph


def swept(graph: Graph, use: Callable[[LayerSweep], None]) -> None:
    """Run the first population, and `use` the sweep then."""
    x = np.random.default_rng(1).normal(size=(SAMPLES, 3, 6, 6)).astype(np.float32)
    sweep = LayerSweep(graph, x, T, channels_last=True)
    with torch.no_grad():
        for layer in sweep.layers():
            if layer.node.name == "n2":
                use(sweep)
                return
            currents = ((rows, sweep.value(layer.source, rows)) for rows in sweep.rows)
            sweep.fire(
                layer, torch.tensor(graph.node("n1").op.threshold), torch.zeros(()), currents
            )


@pytest.mark.parametrize("pool", [None, TILES])
@pytest.mark.parametrize("scale", [0.7, np.linspace(0.5, 1.5, 64, dtype=np.float32)])
def test_values_are_those_of_the_whole_network(pool: Any, scale: Any) -> None:
    graph = network(threshold=12.0, scale=scale, pool=pool)

    def compare(sweep: LayerSweep) -> None:
        wanted = FastInterpreter(graph).snn(sweep.x, T, keep=["c2"]).values["c2"]
        assert sweep._event_layer("c2") is not None
        found = torch.cat([sweep.value("c2", rows) for rows in sweep.rows], 1)
        size = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * size)
        rows, steps = slice(64, 70), slice(1, 4)
        assert torch.equal(sweep.value("c2", rows, steps), found[steps, rows])
        mean = sweep.mean("c2", rows, ALL)
        torch.testing.assert_close(mean, wanted[:, rows].mean(0), rtol=0, atol=1e-5 * size)
        weight = graph.array(graph.node("c2").op.refs()["weight"])
        graph.set_param("c2.w", 2 * weight)
        sweep.edited()
        wanted = FastInterpreter(graph).snn(sweep.x, T, keep=["c2"]).values["c2"]
        found = torch.cat([sweep.value("c2", rows) for rows in sweep.rows], 1)
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5 * size)

    swept(graph, compare)


@pytest.mark.parametrize("pool", [None, TILES])
def test_linear_layers_of_images_and_of_vectors_are_convolutions(pool: Any) -> None:
    graph = network(threshold=20.0, scale=np.linspace(0.5, 1.5, 64, dtype=np.float32), pool=pool)
    rng, (before,) = np.random.default_rng(2), graph.inputs_of("c2")
    size = int(np.prod(graph.type_of(before).shape))
    flat = graph.add("rows", Reshape(shape=(size,)), [before])
    for number, source in enumerate((flat, "n3")):
        inputs = graph.type_of(source).shape[0]
        weight = graph.set_param(f"l{number}", rng.normal(size=(128, inputs)).astype(np.float32))
        bias = graph.set_param(f"b{number}", rng.normal(size=128).astype(np.float32))
        layer = graph.add(f"linear{number}", Linear(weight=weight, bias=bias), [source])
        graph.add(f"n{number + 3}", Neuron(threshold=100.0), [layer])
    graph.outputs = (graph.add("out", Readout(), [graph.add("s4", Scale(factor=1.0), ["n4"])]),)
    x = np.random.default_rng(1).normal(size=(SAMPLES, 3, 6, 6)).astype(np.float32)
    names = ["linear0", "linear1"]
    wanted = FastInterpreter(graph).snn(x, T, keep=names).values
    sweep, found = LayerSweep(graph, x, T, channels_last=True), list[str]()
    with torch.no_grad():
        for layer in sweep.layers():
            if isinstance(layer.node.op, Readout):
                continue
            currents = [(rows, sweep.value(layer.source, rows)) for rows in sweep.rows]
            if layer.source in names and sweep._event_layer(layer.source) is not None:
                found.append(layer.source)
                values = torch.cat([value for _, value in currents], 1)
                size = float(wanted[layer.source].abs().max())
                torch.testing.assert_close(values, wanted[layer.source], rtol=0, atol=1e-5 * size)
            threshold = torch.tensor(graph.node(layer.node.name).op.threshold)
            sweep.fire(layer, threshold, torch.zeros(()), currents)
    assert found == names


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.5, "pool": TILES},
        {"threshold": 12.0, "channels": 32},
        {"threshold": 12.0, "groups": 2},
        {"threshold": 12.0, "pool": OVERLAPPING},
        {"threshold": 12.0, "scale": np.ones((64, 6, 6), np.float32)},
    ],
    ids=["many spikes", "few channels", "groups", "windows that overlap", "a scale per position"],
)
def test_other_convolutions_are_left_to_torch(options: dict[str, Any]) -> None:
    def check(sweep: LayerSweep) -> None:
        assert sweep._event_layer("c2") is None

    swept(network(**options), check)


@pytest.mark.parametrize("pool", [None, TILES])
@pytest.mark.parametrize("scale", [0.7, np.linspace(0.5, 1.5, 64, dtype=np.float32)])
def test_means_are_whole_multiples_of_the_unit(pool: Any, scale: Any) -> None:
    name, most = ("s", T) if pool is None else ("pool", 4 * T)

    def check(sweep: LayerSweep) -> None:
        unit = sweep.unit(name, most)
        assert unit is not None and unit.shape == (64,)
        counts = sweep.mean(name, slice(None)) / unit[:, None, None]
        torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-5)
        assert 1 < float(counts.max()) <= most
        assert sweep.unit(name, most - 1) is None

    swept(network(scale=scale, pool=pool), check)


@pytest.mark.parametrize(
    "options",
    [{"pool": OVERLAPPING}, {"scale": np.ones((64, 6, 6), np.float32)}, {"scale": 0.0}],
    ids=["windows that overlap", "a scale per position", "a scale of 0"],
)
def test_other_means_have_no_unit(options: dict[str, Any]) -> None:
    name = "pool" if "pool" in options else "s"

    def check(sweep: LayerSweep) -> None:
        assert sweep.unit(name, 127) is None

    swept(network(**options), check)
