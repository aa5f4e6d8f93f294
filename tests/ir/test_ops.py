"""Shape inference of every op, and the reason given when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    EncodeDirect,
    EncodeLatency,
    EncodePoisson,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Op,
    OpError,
    Pad,
    Permute,
    Readout,
    Ref,
    Relu,
    Reshape,
    Scale,
    Signal,
    Slice,
    SumPool,
    TensorType,
    Upsample,
    broadcast_to_sample,
)

ANALOG = TensorType((2, 4, 4), Signal.ANALOG)
SPIKE = TensorType((2, 4, 4), Signal.SPIKE, 1)
COUNT = TensorType((2, 4, 4), Signal.COUNT, 255, "int32", True)
CURRENT = TensorType((2, 4, 4), Signal.CURRENT)
QUANTISED = replace(CURRENT, dtype="int32")
VECTOR = TensorType((8,), Signal.SPIKE, 1)
HALVES = ((0, 2), (2, 4))
PARAMS: dict[str, Any] = {
    "w": np.ones((3, 2, 3, 3), np.float32),
    "wi": np.ones((3, 2, 3, 3), np.int8),
    "w1": np.ones((3, 2, 3), np.float32),
    "fc": np.ones((5, 8), np.float32),
    "c2": np.ones(2, np.float32),
    "c3": np.ones(3, np.float32),
    "i2": np.ones(2, np.int32),
    "negative": -np.ones(2, np.float32),
    "half": np.full(2, 0.5, np.float32),
    "map": np.ones((3, 2, 2), np.float32),
}
W, WI, W1, FC = Ref("w"), Ref("wi"), Ref("w1"), Ref("fc")
C2, C3, I2, NEGATIVE, HALF, MAP = (Ref(n) for n in ("c2", "c3", "i2", "negative", "half", "map"))


def slice_of(starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]) -> Slice:
    return Slice(starts=starts, stops=stops, steps=steps)


@pytest.mark.parametrize(
    ("op", "inputs", "expected"),
    [
        (Input(shape=(2, 4, 4)), [], "analog<2x4x4>"),
        (Conv(weight=W), [ANALOG], "analog<3x2x2>"),
        (Conv(weight=W, padding=((1, 1), (0, 2))), [SPIKE], "current<3x4x4>"),
        (Conv(weight=W, bias=MAP), [CURRENT], "current<3x2x2>"),
        (Conv(weight=WI), [COUNT], "current<3x2x2 int32 constant>"),
        (Linear(weight=FC), [VECTOR], "current<5>"),
        (BatchNorm(mean=C2, variance=C2), [ANALOG], "analog<2x4x4>"),
        (Relu(), [ANALOG], "analog<2x4x4>"),
        (Scale(factor=0.5), [SPIKE], "current<2x4x4>"),
        (Scale(factor=I2), [replace(SPIKE, dtype="int32")], "current<2x4x4 int32>"),
        (Add(), [CURRENT, replace(CURRENT, constant_in_time=True)], "current<2x4x4>"),
        (Add(), [ANALOG, ANALOG, ANALOG], "analog<2x4x4>"),
        (AvgPool(windows=(HALVES,) * 2, divisors=((2, 2),) * 2), [ANALOG], "analog<2x2x2>"),
        (SumPool(windows=(HALVES,) * 2), [SPIKE], "count<2x2x2 4>"),
        (SumPool(windows=(HALVES,) * 2), [CURRENT], "current<2x2x2>"),
        (
            SumPool(windows=(HALVES, HALVES), multiplicity=((1, 3), (2, 1))),
            [SPIKE],
            "count<2x2x2 24>",
        ),
        (MaxPool(windows=(HALVES,) * 2), [SPIKE], "spike<2x2x2>"),
        (Reshape(shape=(32,)), [SPIKE], "spike<32>"),
        (Permute(axes=(2, 0, 1)), [replace(SPIKE, shape=(2, 4, 5))], "spike<5x2x4>"),
        (slice_of((0, 1, 0), (2, 4, 4), (1, 2, 3)), [SPIKE], "spike<2x2x2>"),
        (slice_of((1, 3, 3), (-1, -1, 0), (-1, -1, -2)), [SPIKE], "spike<2x4x2>"),
        (Pad(padding=((1, 1), (0, 0), (0, 2))), [SPIKE], "spike<4x4x6>"),
        (Concat(axis=0), [SPIKE, COUNT], "count<4x4x4 255>"),
        (Concat(axis=1), [SPIKE, SPIKE], "spike<2x8x4>"),
        (Upsample(factors=(3, 1)), [COUNT], "count<2x12x4 255 int32 constant>"),
        (EncodeDirect(), [ANALOG], "current<2x4x4 constant>"),
        (EncodeDirect(scale=1 / 255), [ANALOG], "count<2x4x4 255 int32 constant>"),
        (EncodeDirect(scale=0.1, lo=-128, hi=127), [ANALOG], "count<2x4x4 ±128 int32 constant>"),
        (EncodePoisson(scale=0.1), [ANALOG], "spike<2x4x4 int32>"),
        (Neuron(threshold=C2, leak=HALF), [CURRENT], "spike<2x4x4>"),
        (Neuron(signed=True, threshold=3), [QUANTISED], "spike<2x4x4 ±1 int32>"),
        (Readout(), [CURRENT], "current<2x4x4>"),
        (Readout(scale=C2), [QUANTISED], "current<2x4x4 int64>"),
    ],
)
def test_type_of_the_result(op: Op, inputs: list[TensorType], expected: str) -> None:
    """Rules S1, S5 and S6 of docs/semantics.md."""
    assert str(op.infer(inputs, PARAMS)) == expected


@pytest.mark.parametrize(
    ("op", "inputs", "reason"),
    [
        (Input(shape=(2, 0)), [], "an input of shape (2, 0)"),
        (Conv(weight=W), [VECTOR], "2-d convolution of a sample of shape (8,)"),
        (Conv(weight=W1), [SPIKE], "weight of shape (3, 2, 3) for rank 2"),
        (
            Conv(weight=W, stride=(1,), padding=((0, 0),), dilation=(1,)),
            [VECTOR],
            "1-d convolution",
        ),
        (Conv(weight=W, padding=((0, 0),)), [SPIKE], "of (1, 2) axes for rank 2"),
        (Conv(weight=W, stride=(0, 1)), [SPIKE], "not positive"),
        (Conv(weight=W, dilation=(1, 0)), [SPIKE], "not positive"),
        (Conv(weight=W, groups=0), [SPIKE], "not positive"),
        (Conv(weight=W, padding=((-1, 0), (0, 0))), [SPIKE], "negative padding"),
        (Conv(weight=W, groups=2), [SPIKE], "weights for 4 channels on an input of 2"),
        (Conv(weight=W, groups=2), [replace(SPIKE, shape=(4, 4, 4))], "3 outputs in 2 groups"),
        (Conv(weight=W, dilation=(2, 2)), [SPIKE], "no output left"),
        (Conv(weight=W, bias=C2), [SPIKE], "bias: a parameter of shape (2,)"),
        (Conv(weight=WI), [CURRENT], "integer parameters on an input of type current"),
        (Conv(weight=W), [QUANTISED], "real parameters on an input of type current"),
        (Linear(weight=FC), [SPIKE], "weights for 8 features on a sample of shape (2, 4, 4)"),
        (Linear(weight=C2), [VECTOR], "weight of shape (2,)"),
        (Linear(weight=FC, bias=C2), [VECTOR], "bias"),
        (BatchNorm(mean=C3, variance=C2), [ANALOG], "mean: not one value per channel"),
        (BatchNorm(mean=C2, variance=NEGATIVE), [ANALOG], "variance that is not positive"),
        (Scale(factor=C3), [SPIKE], "factor: a parameter of shape (3,)"),
        (Scale(factor=1.0, bias=C3), [SPIKE], "bias: a parameter of shape (3,)"),
        (Add(), [CURRENT, replace(CURRENT, shape=(2, 4, 5))], "differ"),
        (Add(), [CURRENT, SPIKE], "put a Scale before it"),
        (Add(), [ANALOG, CURRENT], "adds analogs only"),
        (Add(), [CURRENT, QUANTISED], "adds integers to real values"),
        (SumPool(windows=(HALVES,)), [SPIKE], "1 window axes"),
        (SumPool(windows=(HALVES, ())), [SPIKE], "an axis without windows"),
        (SumPool(windows=(HALVES, ((0, 5),))), [SPIKE], "outside an axis of 4"),
        (SumPool(windows=(HALVES, ((2, 2),))), [SPIKE], "outside an axis of 4"),
        (SumPool(windows=(HALVES,) * 2, multiplicity=((1, 1),)), [SPIKE], "multiplicity do not"),
        (SumPool(windows=(HALVES,) * 2, multiplicity=((1, 0), (1, 1))), [SPIKE], "not positive"),
        (AvgPool(windows=(HALVES,) * 2, divisors=((2, 2), (2,))), [ANALOG], "divisors do not"),
        (AvgPool(windows=(HALVES,) * 2, divisors=((2, 2), (0, 2))), [ANALOG], "not positive"),
        (MaxPool(windows=(HALVES,) * 2), [CURRENT], "the maximum of a current"),
        (Reshape(shape=(31,)), [SPIKE], "does not reshape"),
        (Reshape(shape=(-1, -32)), [SPIKE], "a shape of (-1, -32)"),
        (Permute(axes=(0, 1)), [SPIKE], "(0, 1) of (2, 4, 4)"),
        (Permute(axes=(0, 1, 1)), [SPIKE], "(0, 1, 1) of"),
        (slice_of((0, 0), (2, 4), (1, 1)), [SPIKE], "2 axes of (2, 4, 4)"),
        (slice_of((0, 0, 0), (2, 4, 4), (1, 1)), [SPIKE], "3 axes of"),
        (slice_of((0, 0, 0), (2, 4, 5), (1, 1, 1)), [SPIKE], "outside (2, 4, 4)"),
        (slice_of((0, 0, 2), (2, 4, 2), (1, 1, 1)), [SPIKE], "outside (2, 4, 4)"),
        (slice_of((0, 0, 0), (2, 4, 4), (1, 1, 0)), [SPIKE], "a step of 0"),
        (slice_of((0, 0, 4), (2, 4, -1), (1, 1, -1)), [SPIKE], "outside (2, 4, 4)"),
        (slice_of((0, 0, 3), (2, 4, -2), (1, 1, -1)), [SPIKE], "outside (2, 4, 4)"),
        (Pad(padding=((0, 0),)), [SPIKE], "1 axes of (2, 4, 4)"),
        (Pad(padding=((0, 0), (0, 0), (0, -1))), [SPIKE], "negative padding"),
        (Upsample(factors=(2,)), [SPIKE], "1 spatial axes of (2, 4, 4)"),
        (Upsample(factors=(2, 0)), [SPIKE], "a factor that is not positive"),
        (Concat(axis=3), [SPIKE, SPIKE], "axis 3 of"),
        (Concat(axis=1), [SPIKE, replace(SPIKE, shape=(3, 4, 4))], "differ beside the axis"),
        (Concat(), [SPIKE, CURRENT], "signals of different kinds"),
        (Concat(), [CURRENT, QUANTISED], "integer and real currents"),
        (EncodeDirect(), [SPIKE], "encodes an analog tensor, not spike"),
        (EncodeLatency(), [ANALOG], "encode-latency needs a scale above 0"),
        (EncodeDirect(scale=-1.0), [ANALOG], "encode-direct needs a scale above 0"),
        (EncodeDirect(lo=1), [ANALOG], "range 1..255"),
        (Neuron(), [SPIKE], "integrates a current, not spike"),
        (Neuron(threshold=C3), [CURRENT], "threshold: a parameter of shape (3,)"),
        (Neuron(threshold=0.0), [CURRENT], "threshold that is not positive"),
        (Neuron(threshold=NEGATIVE), [CURRENT], "threshold that is not positive"),
        (Neuron(leak=1.5), [CURRENT], "leak outside 0..1"),
        (Neuron(leak=-0.5), [CURRENT], "leak outside 0..1"),
        (Neuron(wait=-1), [CURRENT], "wait -1"),
        (Neuron(signed=True, reset="zero"), [CURRENT], "signed spikes need reset=subtract"),
        (Neuron(threshold=1.5), [QUANTISED], "not whole on an integer current"),
        (Neuron(v_init=HALF), [QUANTISED], "not whole on an integer current"),
        (Readout(), [ANALOG], "reads out spikes, counts or currents"),
        (Readout(scale=C3), [CURRENT], "scale: a parameter of shape (3,)"),
    ],
)
def test_reason_for_refusal(op: Op, inputs: list[TensorType], reason: str) -> None:
    """Rule S2 of docs/semantics.md."""
    with pytest.raises(OpError) as caught:
        op.infer(inputs, PARAMS)
    assert reason in str(caught.value)


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    dilation=st.integers(1, 3),
    groups=st.integers(1, 3),
)
def test_shape_of_a_convolution_is_that_of_torch(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int, groups: int
) -> None:
    assume(size + before + after >= dilation * (kernel - 1) + 1)
    weight = np.zeros((2 * groups, 1, kernel), np.float32)
    op = Conv(
        weight=Ref("w"),
        stride=(stride,),
        padding=((before, after),),
        dilation=(dilation,),
        groups=groups,
    )
    found = op.infer([TensorType((groups, size), Signal.SPIKE, 1)], {"w": weight})
    x = torch.nn.functional.pad(torch.zeros(1, groups, size), (before, after))
    y = torch.nn.functional.conv1d(
        x, torch.from_numpy(weight), stride=stride, dilation=dilation, groups=groups
    )
    assert found.shape == tuple(y.shape[1:])


@given(
    bounds=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=3
    )
)
def test_shape_of_a_slice_is_that_of_numpy(bounds: list[tuple[int, int, int]]) -> None:
    op = Slice(**dict(zip(("starts", "stops", "steps"), zip(*bounds, strict=True), strict=True)))
    array = np.zeros((6,) * len(bounds))[op.slices()]
    x = TensorType((6,) * len(bounds), Signal.SPIKE, 1)
    if array.size:
        assert op.infer([x], {}).shape == array.shape
    else:
        with pytest.raises(OpError):
            op.infer([x], {})


def test_broadcast_follows_the_channels() -> None:
    channels = np.arange(2.0)
    assert broadcast_to_sample(channels, (2, 3, 3)).shape == (2, 1, 1)
    assert broadcast_to_sample(np.asarray(1.0), (2, 3)).shape == ()
    full = np.zeros((2, 3))
    assert broadcast_to_sample(full, (2, 3)) is full
    with pytest.raises(OpError, match=r"shape \(2,\) fits neither"):
        broadcast_to_sample(channels, (3, 2))


def test_fields_become_plain_data() -> None:
    op = Neuron(threshold=np.float32(0.5), wait=np.int64(2), signed=np.bool_(True))
    assert [type(v) for v in (op.threshold, op.wait, op.signed)] == [float, int, bool]
    pool = SumPool(windows=[[[0, np.int64(2)]]])  # pyright: ignore[reportArgumentType]
    assert pool == SumPool(windows=(((0, 2),),))
    assert hash(pool)
