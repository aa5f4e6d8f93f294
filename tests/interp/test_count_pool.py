"""The maximum of counts (docs/semantics.md, S4 and S25), against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snnc.interp import CountPool, Interpreter, Run
from snnc.ir import (
    CountMaxPool,
    EncodeDirect,
    Graph,
    Input,
    MaxPool,
    OpError,
    Signal,
    Stage,
    TensorType,
)
from snnc.testing import windows

T = 9
CLIPPED = windows((5, 6), 3, 2, 1)
SPIKE = TensorType((2, 5, 6), Signal.SPIKE, 1)


def events(low: int, high: int, seed: int = 0) -> Tensor:
    """(T, N, 2, 5, 6)"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, (T, 3, 2, 5, 6), generator=generator).double()


def maxima(x: Tensor) -> Tensor:
    """Of every window of (…, 2, 5, 6), one window at a time."""
    rows, columns = CLIPPED
    return torch.stack(
        [torch.stack([x[..., a:b, c:d].amax((-2, -1)) for c, d in columns], -1) for a, b in rows],
        -2,
    )


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 5), (-3, 3)])
def test_the_count_is_the_maximum_of_the_counts_at_every_step(low: int, high: int) -> None:
    x = events(low, high)
    y = CountPool(CountMaxPool(windows=CLIPPED)).run(x, T)
    for t in range(T):
        assert torch.equal(y[: t + 1].sum(0), maxima(x[: t + 1].sum(0))), t
    assert float(y.abs().max()) <= max(high, -low)
    assert low < 0 or float(y.min()) == 0


def test_it_is_not_the_or_of_a_step() -> None:
    x = events(0, 1)
    counted = CountPool(CountMaxPool(windows=CLIPPED)).run(x, T).sum(0)
    either = torch.stack([maxima(step) for step in x]).sum(0)
    assert float((either - counted).min()) >= 0
    assert float((either - counted).max()) >= 2


def test_single_steps_carry_its_counts() -> None:
    pool, x = CountPool(CountMaxPool(windows=CLIPPED)), events(0, 1, seed=3)
    whole, state = pool.run(x, T), pool.init(x[0])
    for t in range(T):
        state, y = pool.step(state, x[t], t)
        assert torch.equal(y, whole[t])


def test_an_input_constant_in_time_needs_no_state() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 5, 6)))
    graph.add("encode", EncodeDirect(), ["x"])
    graph.add("pool", CountMaxPool(windows=CLIPPED), ["encode"])
    kind = graph.type_of("pool")
    assert kind.constant_in_time and kind.shape == (2, 3, 3)
    x = torch.randn(1, 3, 2, 5, 6, dtype=torch.float64)
    y = Interpreter(graph).apply(graph.node("pool"), [x], Run(T))
    assert torch.equal(y, maxima(x))


def test_types() -> None:
    pool = CountMaxPool(windows=CLIPPED)
    assert str(pool.infer([SPIKE], {})) == "spike<2x3x3>"
    count = TensorType((2, 5, 6), Signal.COUNT, 4, signed=True)
    assert str(pool.infer([count], {})) == "count<2x3x3 ±4>"
    with pytest.raises(OpError, match=r"counts events, not current.*\(S25\)"):
        pool.infer([TensorType((2, 5, 6), Signal.CURRENT)], {})
    assert pool.stages == {Stage.SNN}
    assert pool != MaxPool(windows=CLIPPED)
