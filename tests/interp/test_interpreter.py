"""Whole graphs: time, memory of values, windows, encoders, messages."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from snnc.errors import DataError, GraphError
from snnc.interp import Interpreter, Run, run_ann, run_snn
from snnc.ir import (
    Add,
    Concat,
    Encode,
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Node,
    Readout,
    Ref,
    Relu,
    Scale,
    Stage,
)
from snnc.testing.graphs import Case, ann_cases, sample_inputs, snn_cases


def chain(encode: Encode | None = None, **neuron: object) -> Graph:
    """Input(3) -> encode -> fc1 -> act -> fc2 -> out."""
    rng = np.random.default_rng(0)
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3,)))
    graph.add("enc", encode or EncodeDirect(), ["x"])
    graph.set_param("w1", rng.normal(0, 2, (4, 3)).astype(np.float32))
    graph.set_param("b1", rng.normal(0, 1, 4).astype(np.float32))
    graph.add("fc1", Linear(weight=Ref("w1"), bias=Ref("b1")), ["enc"])
    graph.add("act", Neuron(threshold=0.25, **neuron), ["fc1"])  # type: ignore[arg-type]
    graph.set_param("w2", rng.normal(0, 1, (2, 4)).astype(np.float32))
    graph.add("fc2", Linear(weight=Ref("w2")), ["act"])
    graph.add("out", Readout(scale=0.5), ["fc2"])
    graph.outputs = ("out",)
    return graph


X = np.random.default_rng(1).random((5, 3), dtype=np.float32)


def test_output_is_the_scaled_mean_over_time() -> None:
    """Rule S15 of docs/semantics.md."""
    values = run_snn(chain(), X, timesteps=6, keep=["act", "fc2", "fc1"])
    assert set(values.values) == {"act", "fc2", "fc1"}
    assert values.values["fc1"].shape == (1, 5, 4)
    assert values.values["act"].shape == (6, 5, 4)
    torch.testing.assert_close(values.sums["out"], values.values["fc2"].sum(0))
    torch.testing.assert_close(values.outputs["out"], values.sums["out"] * 0.5 / 6)


def test_prefixes_are_shorter_windows() -> None:
    values = run_snn(chain(), X, timesteps=6, prefixes=(1, 4, 6))
    for t in (1, 4, 6):
        torch.testing.assert_close(
            values.prefixes[t]["out"], run_snn(chain(), X, timesteps=t).outputs["out"]
        )


@pytest.mark.parametrize("prefix", [0, 7])
def test_a_prefix_outside_the_window_is_refused(prefix: int) -> None:
    with pytest.raises(DataError, match=f"prefix of {prefix} steps outside a window of 6"):
        run_snn(chain(), X, timesteps=6, prefixes=(prefix,))


def test_readout_of_a_constant_current_counts_every_step() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3,)))
    graph.add("enc", EncodeDirect(), ["x"])
    graph.add("scale", Scale(factor=2.0), ["enc"])
    graph.add("out", Readout(), ["scale"])
    graph.outputs = ("out",)
    values = run_snn(graph, X, timesteps=4, prefixes=(3,))
    torch.testing.assert_close(values.sums["out"], torch.tensor(8.0 * X, dtype=torch.float64))
    torch.testing.assert_close(values.prefixes[3]["out"], values.outputs["out"])


def test_one_step_from_rest_is_a_binary_network() -> None:
    """T=1, v_init=0: leak, reset and wait-free order have no effect. Rule S8."""
    graph = chain(leak=0.5, reset="zero")
    w1, b1, w2 = (np.asarray(graph.params[n], np.float64) for n in ("w1", "b1", "w2"))
    binary = (X @ w1.T + b1 > 0.25).astype(np.float64)
    assert 0 < binary.mean() < 1
    found = run_snn(graph, X, timesteps=1).outputs["out"].numpy()
    np.testing.assert_allclose(found, 0.5 * binary @ w2.T)


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_a_batch_equals_its_samples(case: Case) -> None:
    x = sample_inputs(case.graph, 3)
    (name,) = case.graph.outputs
    whole = run_snn(case.graph, x, timesteps=4).outputs[name]
    single = [run_snn(case.graph, x[i : i + 1], timesteps=4).outputs[name] for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(single))


@pytest.mark.parametrize("case", snn_cases(), ids=lambda case: case.name)
def test_shapes_are_those_of_the_types(case: Case) -> None:
    values = run_snn(case.graph, sample_inputs(case.graph, 2), timesteps=3, keep="all").values
    for name, kind in case.graph.types().items():
        if name in case.graph.outputs:
            continue
        steps = 1 if kind.constant_in_time or kind.signal == "analog" else 3
        assert values[name].shape == (steps, 2, *kind.shape), name


@pytest.mark.parametrize("case", ann_cases(), ids=lambda case: case.name)
def test_ann_runs_in_both_precisions(case: Case) -> None:
    x = sample_inputs(case.graph, 2)
    single = run_ann(case.graph, x, keep="all")
    double = run_ann(case.graph, x, keep="all", dtype=torch.float64)
    assert set(single) == {node.name for node in case.graph.nodes}
    for name, value in single.items():
        assert value.dtype == torch.float32 and value.shape[1:] == case.graph.type_of(name).shape
        torch.testing.assert_close(value, double[name].float(), rtol=1e-4, atol=1e-4)


def test_values_are_forgotten_unless_kept() -> None:
    graph = Graph()
    last = graph.add("x", Input(shape=(3,)))
    for i in range(10):
        last = graph.add(f"relu{i}", Relu(), [last])
    graph.outputs = (last,)
    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def observe(node: Node, inputs: Sequence[Tensor], value: Tensor) -> None:
        seen.append(weakref.ref(value))
        alive.append(sum(reference() is not None for reference in seen))

    assert set(Interpreter(graph).ann(X, observe=observe)) == {last}
    assert len(alive) == 11 and max(alive) <= 3
    assert set(run_ann(graph, X, keep=["relu3"])) == {"relu3", last}


def test_apply_steps_through_a_graph_and_takes_replaced_ops() -> None:
    graph = chain()
    interpreter, run = Interpreter(graph), Run(timesteps=6)
    values: dict[str, Tensor] = {}
    for node in interpreter.nodes():
        inputs = [values[source] for source in graph.inputs_of(node.name)]
        first = isinstance(node.op, Input)
        values[node.name] = (
            interpreter.as_input(X)[None] if first else interpreter.apply(node, inputs, run)
        )
    torch.testing.assert_close(values["out"], run_snn(graph, X, timesteps=6).outputs["out"])
    never = replace(graph.node("act"), op=Neuron(threshold=1e9))
    assert not interpreter.apply(never, [values["fc1"]], run).any()


def test_parameters_can_be_replaced() -> None:
    graph = chain()
    zero = {"w2": torch.zeros(2, 4, dtype=torch.float64)}
    assert not Interpreter(graph, params=zero).snn(X, 3).outputs["out"].any()


def test_add_and_concat_of_constant_and_moving_currents() -> None:
    graph = chain()
    graph.add("sum", Add(), ["fc1", "fc1"])
    graph.add("again", Scale(factor=1.0), ["act"])
    graph.add("both", Concat(), ["sum", "again"])
    graph.add("out2", Readout(), ["both"])
    graph.outputs = ("out", "out2")
    values = run_snn(graph, X, timesteps=4, keep=["fc1", "act"])
    expected = torch.cat([8 * values.values["fc1"][0], values.values["act"].sum(0)], 1)
    torch.testing.assert_close(values.sums["out2"], expected)


def test_analog_pooling_before_the_encoder() -> None:
    """Rule S7 of docs/semantics.md."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(1, 4)))
    graph.add("pool", MaxPool(windows=(((0, 2), (2, 4)),)), ["x"])
    graph.add("enc", EncodeDirect(), ["pool"])
    graph.add("out", Readout(), ["enc"])
    graph.outputs = ("out",)
    x = np.array([[[1.0, 3.0, 2.0, -1.0]]])
    assert run_snn(graph, x, timesteps=2).outputs["out"].tolist() == [[[3, 2]]]


def test_poisson_follows_sample_ids_and_seed() -> None:
    graph = chain(EncodePoisson(scale=1 / 255, hi=255))

    def spikes(x: np.ndarray, ids: Sequence[int] | None, seed: int) -> Tensor:
        wanted = None if ids is None else np.array(ids)
        run = run_snn(graph, x, timesteps=20, keep=["enc"], sample_ids=wanted, seed=seed)
        return run.values["enc"]

    whole = spikes(X, None, 3)
    assert torch.equal(whole, torch.cat([spikes(X[:2], [0, 1], 3), spikes(X[2:], [2, 3, 4], 3)], 1))
    assert not torch.equal(whole, spikes(X, None, 4))
    assert run_snn(graph, X + 1, timesteps=1).saturated == {"enc": (X * 255 > 0.5).sum()}


@pytest.mark.parametrize("shape", [(5, 4), (3,), (5, 3, 1), ()])
def test_a_wrong_shape_is_one_clear_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"input has shape .*, the network takes \(N, 3\)"):
        run_snn(chain(), np.zeros(shape), timesteps=1)


def test_wrong_stage_window_and_names() -> None:
    with pytest.raises(DataError, match="a window of 0 steps"):
        run_snn(chain(), X, timesteps=0)
    with pytest.raises(GraphError, match="at stage snn, not ann"):
        run_ann(chain(), X)
    graph = ann_cases()[0].graph
    with pytest.raises(GraphError, match="at stage ann, not snn"):
        run_snn(graph, sample_inputs(graph, 1), timesteps=1)
    with pytest.raises(GraphError, match="no node called 'nobody' to keep"):
        run_snn(chain(), X, timesteps=1, keep=["nobody"])
    with pytest.raises(GraphError, match="needs a number of time steps"):
        interpreter = Interpreter(chain())
        interpreter.apply(interpreter.graph.node("act"), [torch.zeros(1, 5, 4)])
