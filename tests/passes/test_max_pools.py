"""Max pools on their way to maxima of counts (docs/semantics.md, S4 and S25)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from snnc.analysis import SameFunction
from snnc.errors import Loc, PassError, UnsupportedError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    CountMaxPool,
    Graph,
    Identity,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Op,
    Permute,
    Relu,
    Reshape,
    Scale,
    Slice,
    verify,
)  # fmt: skip
from snnc.pipeline import Pipeline
from snnc.testing import sample_inputs, windows
from snnc.transform import PassContext

LOWER = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool"
SPIKING = f"{LOWER},activations-to-neurons"
HALVES = windows((6, 6), 2, 2)
CLIPPED = windows((6, 6), 3, 2, 1)


class Net:
    """x (2, 6, 6) -> conv (4, 6, 6); the caller goes on."""

    def __init__(self) -> None:
        self.graph, self.rng = Graph(), np.random.default_rng(5)
        self.graph.add("x", Input(shape=(2, 6, 6)))
        self.add("conv", self.conv(2, 4), "x")

    def conv(self, inputs: int, outputs: int, kernel: int = 3) -> Conv:
        shape = (outputs, inputs, kernel, kernel)
        pad = (kernel // 2, kernel // 2)
        return Conv(weight=self.array(self.rng.normal(size=shape)), padding=(pad, pad))

    def array(self, values: Any) -> Any:
        name = f"array{len(self.graph.params)}"
        return self.graph.set_param(name, np.asarray(values, np.float32))

    def add(self, name: str, op: Op, *sources: str) -> str:
        return self.graph.add(name, op, sources, loc=Loc("net.py", 10 + len(self.graph)))

    def norm(self, name: str, source: str, gains: Any) -> str:
        own = self.rng.normal(size=(2, 4))
        mean, bias, variance = (self.array(v) for v in (*own, self.rng.uniform(1, 2, 4)))
        op = BatchNorm(mean=mean, bias=bias, variance=variance, weight=self.array(gains))
        return self.add(name, op, source)

    def end(self, source: str) -> Graph:
        shape = self.graph.type_of(source).shape
        flat = self.add("flat", Reshape(shape=(int(np.prod(shape)),)), source)
        weight = self.array(self.rng.normal(size=(3, int(np.prod(shape)))))
        self.graph.outputs = (self.add("fc", Linear(weight=weight), flat),)
        verify(self.graph)
        return self.graph


def plain(net: Net) -> str:
    return net.add("pool", MaxPool(windows=CLIPPED), net.add("relu", Relu(), "conv"))


def relu_behind(net: Net) -> str:
    return net.add("relu", Relu(), net.add("pool", MaxPool(windows=HALVES), "conv"))


def norm_between(net: Net) -> str:
    pool = net.add("pool", MaxPool(windows=HALVES), "conv")
    return net.add("relu", Relu(), net.norm("bn", pool, [0.5, 1.0, 2.0, 0.1]))


def norm_before(net: Net) -> str:
    bn = net.norm("bn", net.add("relu", Relu(), "conv"), [0.5, 1.0, 2.0, 0.1])
    return net.add("pool", MaxPool(windows=HALVES), bn)


def two_pools(net: Net) -> str:
    first = net.add("pool", MaxPool(windows=CLIPPED), "conv")
    return net.add("relu", Relu(), net.add("second", MaxPool(windows=windows((3, 3), 2, 1)), first))


def of_averages(net: Net) -> str:
    op = AvgPool(windows=HALVES, divisors=((2, 2, 2), (2, 2, 2)))
    average = net.add("average", op, net.add("relu", Relu(), "conv"))
    return net.add("pool", MaxPool(windows=windows((3, 3), 2, 1)), average)


def of_a_concatenation(net: Net) -> str:
    relu = net.add("relu", Relu(), "conv")
    other = net.add("other", Relu(), net.add("conv2", net.conv(4, 3), relu))
    small = net.add("small", Scale(factor=0.25), other)
    return net.add("pool", MaxPool(windows=CLIPPED), net.add("join", Concat(axis=0), relu, small))


def of_a_sum(net: Net) -> str:
    relu = net.add("relu", Relu(), "conv")
    other = net.add("other", Relu(), net.add("conv2", net.conv(4, 4), relu))
    added = net.add("idle", Relu(), net.add("sum", Add(), relu, other))
    return net.add("pool", MaxPool(windows=HALVES), added)


def by_element(net: Net) -> str:
    """A factor of its own for every window of two columns, not for every channel."""
    factor = np.repeat(net.rng.uniform(0.5, 2, (4, 6, 3)), 2, axis=2)
    pair = (tuple((i, i + 1) for i in range(6)), ((0, 2), (2, 4), (4, 6)))
    scaled = net.add("scaled", Scale(factor=net.array(factor)), net.add("relu", Relu(), "conv"))
    return net.add("pool", MaxPool(windows=pair), scaled)


def of_the_input_too(net: Net) -> str:
    pool = net.add("pool", MaxPool(windows=windows((6, 6), 3, 1, 1)), "x")
    branch = net.add("branch", net.conv(2, 4, 1), pool)
    return net.add("relu", Relu(), net.add("sum", Add(), "conv", branch))


TAKEN = (
    plain, relu_behind, norm_between, norm_before, two_pools, of_averages, of_a_concatenation,
    of_a_sum, by_element, of_the_input_too,
)  # fmt: skip


def build(write: Callable[[Net], str]) -> Graph:
    net = Net()
    return net.end(write(net))


def negative(net: Net) -> str:
    bn = net.norm("bn", net.add("relu", Relu(), "conv"), [0.5, -1.0, 2.0, 0.1])
    return net.add("pool", MaxPool(windows=HALVES), bn)


def negative_between(net: Net) -> str:
    bn = net.norm("bn", net.add("pool", MaxPool(windows=HALVES), "conv"), [1.0, -1.0, 1.0, 1.0])
    return net.add("relu", Relu(), bn)


def no_relu(net: Net) -> str:
    return net.add("pool", MaxPool(windows=HALVES), "conv")


def a_sum(net: Net) -> str:
    relu = net.add("relu", Relu(), "conv")
    return net.add("pool", MaxPool(windows=HALVES), net.add("sum", Add(), relu, relu))


def uneven(net: Net) -> str:
    factor = net.array(net.rng.uniform(0.5, 2, (4, 6, 6)))
    scaled = net.add("scaled", Scale(factor=factor), net.add("relu", Relu(), "conv"))
    return net.add("pool", MaxPool(windows=HALVES), scaled)


def with_the_input(net: Net) -> str:
    joined = net.add("join", Concat(axis=0), "x", net.add("relu", Relu(), "conv"))
    return net.add("pool", MaxPool(windows=HALVES), joined)


def mixed(net: Net) -> str:
    """Channels become a spatial axis, and are pooled together."""
    moved = net.add("moved", Permute(axes=(1, 0, 2)), net.add("relu", Relu(), "conv"))
    return net.add("pool", MaxPool(windows=windows((4, 6), 2, 2)), moved)


@pytest.mark.parametrize("encode", ["direct", "poisson"])
@pytest.mark.parametrize("write", TAKEN)
def test_every_order_of_ops_becomes_a_maximum_of_counts(write: Any, encode: str) -> None:
    graph = build(write)
    x = sample_inputs(graph, 4)
    lowered = Pipeline.from_text(LOWER).run(graph, PassContext()).graph
    expected = run_ann(graph, x, dtype=torch.float64)["fc"]
    found = run_ann(lowered, x, dtype=torch.float64)[lowered.outputs[0]]
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    ctx = PassContext(timesteps=6, calibration=[(x, None)])
    text = f"{SPIKING}{{encode={encode}}},threshold-balance{{source=ann}},fold-scale"
    snn = Pipeline.from_text(text).run(graph, ctx).graph
    pools = [node for node in snn if isinstance(node.op, CountMaxPool)]
    assert pools and not any(isinstance(node.op, MaxPool) for node in snn)
    names = [name for pool in pools for name in (pool.name, *pool.inputs)]
    values = run_snn(snn, x, timesteps=6, keep=names).values
    for pool in pools:
        counts, pooled = (values[name].cumsum(0) for name in (pool.inputs[0], pool.name))
        patches = largest_by_hand(pool.op, counts)
        torch.testing.assert_close(pooled, patches, rtol=0, atol=1e-12)


def largest_by_hand(op: Any, x: torch.Tensor) -> torch.Tensor:
    rows, columns = op.windows
    lines = [
        torch.stack([x[..., a:b, c:d].amax((-2, -1)) for c, d in columns], -1) for a, b in rows
    ]
    return torch.stack(lines, -2)


@pytest.mark.parametrize("write", [*TAKEN[:-1], mixed])
def test_long_windows_give_the_logits_of_the_ann(write: Any) -> None:
    graph = build(write)
    x = sample_inputs(graph, 16)
    ctx = PassContext(timesteps=512, calibration=[(x, None)])
    balanced = "threshold-balance{statistic=max},initialize-potential,fold-scale"
    snn = Pipeline.from_text(f"{SPIKING},{balanced}").run(graph, ctx).graph
    found = run_snn(snn, x, timesteps=512).outputs[snn.outputs[0]]
    expected = run_ann(graph, x, dtype=torch.float64)["fc"]
    assert float((found - expected).norm() / expected.norm()) < 0.03


def test_windows_of_one_element_are_slices() -> None:
    net = Net()
    every = tuple((i, i + 1) for i in range(0, 6, 2))
    graph = net.end(net.add("pool", MaxPool(windows=(every, every)), "conv"))
    lowered = Pipeline.from_text(LOWER).run(graph, PassContext()).graph
    assert isinstance(lowered.node("pool").op, Slice)
    x = sample_inputs(graph, 2)
    assert torch.equal(run_ann(lowered, x)["fc"], run_ann(graph, x)["fc"])


@pytest.mark.parametrize(
    ("write", "pooled", "kind"),
    [
        (negative, "bn", Identity),
        (negative_between, "conv", Identity),
        (no_relu, "conv", Identity),
        (a_sum, "sum", Relu),
        (uneven, "scaled", Relu),
        (with_the_input, "x", Identity),
    ],
)
def test_what_is_no_activation_gets_one_before_the_pool(
    write: Any, pooled: str, kind: type[Op]
) -> None:
    graph = build(write)
    lowered = Pipeline.from_text(LOWER).run(graph, PassContext(), same=SameFunction()).graph
    assert type(lowered.node(f"{pooled}.spikes").op) is kind
    x = sample_inputs(graph, 16)
    ctx = PassContext(timesteps=512, calibration=[(x, None)])
    text = f"{SPIKING},threshold-balance{{statistic=max}},initialize-potential,fold-scale"
    snn = Pipeline.from_text(text).run(graph, ctx).graph
    found = run_snn(snn, x, timesteps=512).outputs[snn.outputs[0]]
    expected = run_ann(graph, x, dtype=torch.float64)["fc"]
    assert float((found - expected).norm() / expected.norm()) < 0.03


def test_without_lower_maxpool_what_is_no_activation_is_refused_by_name() -> None:
    where = r"net.py:1\d: pool \(maxpool\): pools conv, which is no activation"
    with pytest.raises(UnsupportedError, match=where) as caught:
        Pipeline.from_text("activations-to-neurons").run(build(no_relu), PassContext())
    assert caught.value.exit_code == 3
    assert "lower-maxpool" in str(caught.value)


def test_every_max_pool_is_listed_and_may_be_refused() -> None:
    net = Net()
    net.add("first", MaxPool(windows=HALVES), net.add("relu", Relu(), "conv"))
    graph = net.end(net.add("second", MaxPool(windows=windows((3, 3), 2, 1)), "first"))
    with pytest.raises(UnsupportedError, match="2 x maxpool: .*\n.*13: first\n.*14: second"):
        Pipeline.from_text(f"{SPIKING}{{maxpool=refuse}}").run(graph, PassContext())


def thresholds(graph: Graph, name: str) -> Any:
    return graph.array(graph.node(name).op.threshold)  # type: ignore[union-attr]


@pytest.mark.parametrize("last", ["calibrate", "threshold-balance", "threshold-balance,calibrate"])
def test_channels_of_one_window_get_one_threshold(last: str) -> None:
    graph = build(mixed)
    ctx = PassContext(timesteps=8, calibration=[(sample_inputs(graph, 32), None)], ann=graph)
    snn = Pipeline.from_text(f"{SPIKING},{last},fold-scale").run(graph, ctx).graph
    assert isinstance(snn.node("pool").op, CountMaxPool)
    first, second, third, last_one = thresholds(snn, "relu") * np.ones(4)
    assert first == second and third == last_one
    alone = Pipeline.from_text(f"{SPIKING},threshold-balance").run(build(TAKEN[0]), ctx).graph
    assert len(np.unique(thresholds(alone, "relu"))) == 4


def test_unequal_bounds_in_one_window_are_refused() -> None:
    graph = build(mixed)
    bounds = graph.set_param("bounds", np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    graph.replace_op("relu", Relu(upper=bounds))
    with pytest.raises(PassError, match=r"pool at net.py:14 pools relu") as caught:
        Pipeline.from_text(SPIKING).run(graph, PassContext(timesteps=4))
    assert "one bound" in str(caught.value.hint)


@pytest.mark.parametrize(("size", "equal"), [(2, False), (4, True)])
def test_populations_one_above_the_other(size: int, equal: bool) -> None:
    """Rows 0..5 are of one population, rows 6..11 of another; windows of 4 rows take both."""
    net = Net()
    relu = net.add("relu", Relu(), "conv")
    other = net.add("other", Relu(), net.add("conv2", net.conv(4, 4), relu))
    tall = net.add("tall", Concat(axis=1), relu, other)
    graph = net.end(net.add("pool", MaxPool(windows=windows((12, 6), size, size)), tall))
    ctx = PassContext(timesteps=4, calibration=[(sample_inputs(graph, 8), None)])
    snn = Pipeline.from_text(f"{SPIKING},threshold-balance").run(graph, ctx).graph
    one, two = (thresholds(snn, name) for name in ("relu", "other"))
    assert one.shape == two.shape and np.array_equal(one, two) == equal
    factor = snn.array(snn.node(snn.users_of("pool")[0][0]).op.factor)  # type: ignore[union-attr]
    assert factor.shape == (snn.type_of("pool").shape if not equal else (4,))


def test_the_thresholds_of_channels_move_behind_the_pool() -> None:
    graph = build(of_a_concatenation)
    ctx = PassContext(timesteps=4, calibration=[(sample_inputs(graph, 32), None)])
    snn = Pipeline.from_text(f"{SPIKING},threshold-balance").run(graph, ctx).graph
    ((scale, _),) = snn.users_of("pool")
    factor = snn.array(snn.node(scale).op.factor)  # type: ignore[union-attr]
    np.testing.assert_allclose(
        factor, np.concatenate([thresholds(snn, n) for n in ("relu", "other")]), rtol=1e-6
    )
    before, after = (g.array(g.node("fc").op.weight) for g in (graph, snn))  # type: ignore[union-attr]
    np.testing.assert_allclose(after[:, -27:], 0.25 * before[:, -27:], rtol=1e-6)
    assert all(isinstance(snn.node(n).op, Neuron) for n in ("relu", "other"))
