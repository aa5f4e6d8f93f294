"""Passes that only rearrange arithmetic must not change a result, borders included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Op,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Slice,
    SumPool,
    Upsample,
    verify,
)
from snnc.pipeline import Pipeline
from snnc.testing import NetBuilder, Style, ann_cases, random_graph, sample_inputs, snn_cases
from snnc.transform import Pass, PassContext
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm
from snnc_passes.fold.fold_normalization import FoldNormalization
from snnc_passes.fold.fold_scale import FoldScale
from snnc_passes.lower.lower_avgpool import LowerAvgpool

SPIKING = "fold-batchnorm,lower-avgpool,activations-to-neurons"
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_float64(graph: Graph) -> Graph:
    """The same graph with arrays of float64, so that rounding hides nothing."""
    twin = graph.clone()
    for name, array in graph.params.items():
        twin.set_param(name, array.astype(np.float64))
    return twin


def outputs(graph: Graph, x) -> list[torch.Tensor]:
    if graph.stage == "ann":
        values = run_ann(graph, x, dtype=torch.float64)
    else:
        values = run_snn(graph, x, timesteps=5).outputs
    return [values[name] for name in graph.outputs]


def assert_same(each: Pass, graph: Graph, *, tolerance: float = 1e-9, samples: int = 3) -> Graph:
    graph = in_float64(graph)
    result = each.run(graph.clone(), PassContext())
    verify(result.graph)
    x = sample_inputs(graph, samples)
    for before, after in zip(outputs(graph, x), outputs(result.graph, x), strict=True):
        size = float(before.abs().max()) + 1e-30
        assert float((before - after).abs().max()) <= tolerance * size
    return result.graph


class Net:
    """A graph with random arrays."""

    def __init__(self, *shape: int) -> None:
        self.graph, self.rng = Graph(), np.random.default_rng(0)
        self.graph.add("x", Input(shape=shape))

    def array(self, name: str, *shape: int, low: float = -1.0, high: float = 1.0):
        return self.graph.set_param(name, self.rng.uniform(low, high, shape))

    def conv(self, name: str, x: str, out: int, pad: int = 1, bias: bool = True, **options) -> str:
        channels = self.graph.type_of(x).shape[0] // options.get("groups", 1)
        op = Conv(
            weight=self.array(f"{name}.weight", out, channels, 3, 3),
            bias=self.array(f"{name}.bias", out) if bias else None,
            padding=((pad, pad), (pad, pad)),
            **options,
        )
        return self.graph.add(name, op, [x])

    def linear(self, name: str, x: str, out: int) -> str:
        size = self.graph.type_of(x).size
        if len(self.graph.type_of(x).shape) > 1:
            x = self.graph.add(f"{name}.flat", Reshape(shape=(size,)), [x])
        op = Linear(weight=self.array(f"{name}.weight", out, size))
        return self.graph.add(name, op, [x])

    def norm(self, name: str, x: str, *, affine: bool = True, dead: bool = False) -> str:
        channels = self.graph.type_of(x).shape[0]
        variance = self.rng.uniform(0.5, 2, channels)
        variance[: 1 if dead else 0] = 0
        op = BatchNorm(
            mean=self.array(f"{name}.mean", channels),
            variance=self.graph.set_param(f"{name}.variance", variance),
            weight=self.array(f"{name}.weight", channels) if affine else None,
            bias=self.array(f"{name}.bias", channels) if affine else None,
        )
        return self.graph.add(name, op, [x])

    def scale(self, name: str, x: str, *, bias: bool = True, low: float = -2.0) -> str:
        channels = self.graph.type_of(x).shape[0]
        op = Scale(
            factor=self.array(f"{name}.factor", channels, low=low, high=2.0),
            bias=self.array(f"{name}.bias", channels) if bias else None,
        )
        return self.graph.add(name, op, [x])

    def done(self, *outputs: str) -> Graph:
        self.graph.outputs = outputs
        verify(self.graph)
        return self.graph


def kinds(graph: Graph) -> list[type]:
    return [type(node.op) for node in graph.nodes]


@pytest.mark.parametrize("case", ann_cases(), ids=lambda c: c.name)
@pytest.mark.parametrize("each", [FoldBatchnorm(), FoldNormalization(), LowerAvgpool()])
def test_the_example_networks_keep_their_meaning(each: Pass, case) -> None:
    assert_same(each, case.graph)


@pytest.mark.parametrize("case", snn_cases(), ids=lambda c: c.name)
def test_fold_scale_keeps_the_example_networks(case) -> None:
    assert_same(FoldScale(), case.graph)


@given(seed=st.integers(0, 10**6))
@FEW
def test_fold_scale_keeps_random_networks(seed: int) -> None:
    assert_same(FoldScale(), random_graph(seed, Style.SNN))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_folds_backward_also_without_gain_and_with_a_dead_channel(affine: bool) -> None:
    net = Net(2, 5, 5)
    graph = net.done(net.norm("bn", net.conv("conv", "x", 4), affine=affine, dead=True))
    folded = assert_same(FoldBatchnorm(), graph)
    assert kinds(folded) == [Input, Conv]
    assert folded.node("conv").origins == ("bn",)


def test_batch_norm_behind_a_layer_with_two_users_becomes_a_scale() -> None:
    """Rule S16 of docs/semantics.md."""
    net = Net(2, 5, 5)
    conv = net.conv("conv", "x", 4)
    graph = net.done(net.graph.add("add", Add(), [net.norm("bn", conv), conv]))
    assert isinstance(assert_same(FoldBatchnorm(), graph).node("bn").op, Scale)


def test_layers_that_share_an_array_are_folded_apart() -> None:
    net = Net(4, 5, 5)
    first = net.norm("bn1", net.conv("conv", "x", 4, bias=False))
    again = net.graph.add("conv_1", net.graph.node("conv").op, [first])
    graph = net.done(net.norm("bn2", again))
    folded = assert_same(FoldBatchnorm(), graph)
    names = [node.op.weight.name for node in folded.nodes if isinstance(node.op, Conv)]
    assert len(set(names)) == 2


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_shift_in_front_of_a_padded_convolution_becomes_a_bias_map(pad: int, groups: int) -> None:
    """Rule S18 of docs/semantics.md."""
    net = Net(2, 6, 5)
    graph = net.done(net.conv("conv", net.scale("norm", "x"), 4, pad, groups=groups, stride=(2, 1)))
    folded = assert_same(FoldNormalization(), graph)
    assert kinds(folded) == [Input, Conv]
    bias = folded.array(folded.node("conv").op.bias)
    assert bias.shape == (folded.type_of("conv").shape if pad else (4,))
    if pad:
        inside, corner = bias[:, 1, 2], bias[:, 0, 0]
        assert not np.allclose(inside, corner)


def test_a_normalisation_keeps_its_other_users() -> None:
    net = Net(4, 5, 5)
    norm = net.scale("norm", "x")
    graph = net.done(net.graph.add("add", Add(), [net.conv("conv", norm, 4), norm]))
    folded = assert_same(FoldNormalization(), graph)
    assert folded.inputs_of("conv") == ("x",)
    assert folded.inputs_of("add") == ("conv", "norm")


def test_a_normalisation_passes_pools_and_rearrangements() -> None:
    """Rule S17 of docs/semantics.md."""
    net = Net(2, 6, 6)
    x = net.scale("norm", "x", low=0.5)
    two = (((0, 2), (2, 4), (4, 6)),) * 2
    x = net.graph.add("max", MaxPool(windows=two), [x])
    x = net.graph.add("pad", Pad(padding=((0, 0), (1, 0), (0, 1))), [x])
    pool = AvgPool(windows=(((0, 2), (1, 4)),) * 2, divisors=((4, 3), (2, 3)))
    x = net.graph.add("avg", pool, [x])
    x = net.graph.add("upsample", Upsample(factors=(1, 3)), [x])
    graph = net.done(net.linear("fc", x, 3))
    folded = assert_same(FoldNormalization(), graph)
    assert Scale not in kinds(folded)


def test_a_negative_factor_does_not_pass_a_max_pool() -> None:
    net = Net(2, 4, 4)
    x = net.scale("norm", "x")
    x = net.graph.add("max", MaxPool(windows=(((0, 2), (2, 4)),) * 2), [x])
    folded = assert_same(FoldNormalization(), net.done(net.conv("conv", x, 2)))
    assert folded.inputs_of("max") == ("norm",)


@pytest.mark.parametrize("divisors", [((2, 2), (2, 2)), ((1, 2), (3, 2))])
def test_average_pooling_becomes_sums(divisors) -> None:
    """Rule S3 of docs/semantics.md."""
    net = Net(2, 4, 4)
    op = AvgPool(windows=(((0, 2), (2, 4)),) * 2, divisors=divisors)
    lowered = assert_same(LowerAvgpool(), net.done(net.graph.add("pool", op, ["x"])))
    pool, scale = lowered.node("pool").op, lowered.node("pool.scale").op
    assert isinstance(pool, SumPool)
    assert (pool.multiplicity is None) == (divisors == ((2, 2), (2, 2)))
    assert scale.factor == pytest.approx(1 / 4 if pool.multiplicity is None else 1 / 12)


def test_an_uneven_pooling_with_a_large_common_multiple_is_refused() -> None:
    net = Net(1, 14, 14)
    op = AvgPool(windows=(((0, 11), (1, 14)),) * 2, divisors=((11, 13),) * 2)
    graph = net.done(net.graph.add("pool", op, ["x"]))
    with pytest.raises(PassError, match=r"pool at unknown location.*20449"):
        LowerAvgpool().run(graph, PassContext())


def test_an_even_pooling_of_any_size_is_lowered() -> None:
    net = Net(1, 80, 80)
    op = AvgPool(windows=(((0, 80),),) * 2, divisors=((80,), (80,)))
    assert_same(LowerAvgpool(), net.done(net.graph.add("pool", op, ["x"])))


def converted(graph: Graph) -> Graph:
    """As activations-to-neurons and threshold-balance leave it, with odd thresholds."""
    from snnc_passes.lower.activations_to_neurons import ActivationsToNeurons

    graph = ActivationsToNeurons().run(graph.clone(), PassContext()).graph
    rng, types = np.random.default_rng(1), dict(graph.types())
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            channels = types[node.name].shape[0]
            ref = graph.set_param(f"{node.name}.threshold", rng.uniform(0.3, 0.9, channels))
            graph.replace_op(node.name, replace(node.op, threshold=ref))
            graph.insert_after(node.name, f"{node.name}.scale", Scale(factor=ref))
    return graph


def test_scales_sink_through_a_residual_network_and_stay_at_the_sum() -> None:
    net = Net(2, 6, 6)
    first = net.graph.add("act1", Relu(), [net.conv("conv1", "x", 4)])
    half = net.graph.add("half", Slice(starts=(0,) * 3, stops=(4, 6, 6), steps=(1, 2, 2)), [first])
    pad = net.graph.add("pad", Pad(padding=((2, 2), (0, 0), (0, 0))), [half])
    x = net.conv("conv2", first, 8, stride=(2, 2))
    x = net.graph.add("act2", Relu(), [net.graph.add("add", Add(), [x, pad])])
    pool = AvgPool(windows=(((0, 3),),) * 2, divisors=((3,), (3,)))
    x = net.graph.add("pool", pool, [x])
    graph = LowerAvgpool().run(net.done(net.linear("fc", x, 3)), PassContext()).graph
    folded = assert_same(FoldScale(), converted(graph))
    (left,) = [node for node in folded.nodes if isinstance(node.op, Scale)]
    assert [user for user, _ in folded.users_of(left.name)] == ["add"]
    assert isinstance(folded.node(folded.inputs_of(left.name)[0]).op, Pad)


def test_scales_sink_past_a_concatenation() -> None:
    net = Net(2, 4, 4)
    left, right = (
        net.graph.add(f"act{i}", Relu(), [net.conv(f"conv{i}", "x", i + 1)]) for i in (1, 2)
    )
    x = net.graph.add("concat", Concat(), [left, right])
    folded = assert_same(FoldScale(), converted(net.done(net.conv("last", x, 3))))
    assert Scale not in kinds(folded)


def test_a_scale_that_is_concatenated_with_itself() -> None:
    """Also where it has been moved past a pool before."""
    net = NetBuilder(Style.SNN, (2, 6, 6), 0)
    x = net.act("act", net.conv("conv", net.input, 3))
    x = net.sumpool("pool", net.scale("scale", x, np.array([0.5, 1.0, 2.0])), ((((0, 6)),),) * 2)
    graph = net.finish(net.linear("fc", net.concat("concat", x, x), 4))
    x = sample_inputs(graph, 3)
    expected = run_snn(graph, x, timesteps=5).outputs["readout"]
    folded = Pipeline([FoldScale()]).run(graph, PassContext()).graph
    assert not any(isinstance(node.op, Scale) for node in folded)
    torch.testing.assert_close(
        run_snn(folded, x, timesteps=5).outputs["readout"], expected, rtol=1e-6, atol=1e-7
    )


def test_a_scale_of_a_current_goes_back_into_the_weights_that_made_it() -> None:
    net = Net(2, 4, 4)
    x = net.conv("conv1", "x", 3)
    pool = AvgPool(windows=(((0, 2), (2, 4)),) * 2, divisors=((2, 2), (2, 2)))
    x = net.graph.add("act", Relu(), [net.graph.add("pool", pool, [x])])
    graph = LowerAvgpool().run(net.done(net.linear("fc", x, 2)), PassContext()).graph
    assert Scale not in kinds(assert_same(FoldScale(), converted(graph)))


@pytest.mark.parametrize(
    ("op", "folds"),
    [
        (Slice(starts=(0, 0, 0), stops=(4, 6, 6), steps=(1, 2, 2)), True),
        (Upsample(factors=(2, 2)), True),
        (AvgPool(windows=(((0, 3), (3, 6)),) * 2, divisors=((3, 3),) * 2), True),
        (AvgPool(windows=(((0, 2), (1, 4)),) * 2, divisors=((3, 3),) * 2), False),  # uneven shift
        (Pad(padding=((0, 0), (1, 1), (1, 1))), False),  # zeros are shifted
        (Permute(axes=(1, 0, 2)), False),  # factors of rows, not of channels
    ],
)
def test_a_batch_norm_behind_a_moved_current_goes_back_into_its_weights(
    op: Op, folds: bool
) -> None:
    net = Net(2, 6, 6)
    moved = net.graph.add("moved", op, [net.conv("conv", "x", 4)])
    relu = net.graph.add("relu", Relu(), [net.norm("norm", moved)])
    net.graph.outputs = (net.linear("fc", relu, 3),)
    snn = Pipeline.from_text(SPIKING).run(net.graph, PassContext())
    folded = assert_same(FoldScale(), snn.graph)
    assert folds == (not any(isinstance(node.op, Scale) for node in folded))


def test_nothing_to_do_is_no_change() -> None:
    net = Net(2, 4, 4)
    graph = net.done(net.graph.add("act", Relu(), [net.conv("conv", "x", 2)]))
    for each in (FoldBatchnorm(), FoldNormalization(), LowerAvgpool()):
        result = each.run(graph.clone(), PassContext())
        assert result.graph.fingerprint() == graph.fingerprint()
