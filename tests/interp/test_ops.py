"""Ops against torch's own modules, and against their definitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnc.errors import GraphError
from snnc.interp import evaluate
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Linear,
    MaxPool,
    Neuron,
    Op,
    Pad,
    Permute,
    Rearrange,
    Ref,
    Relu,
    Reshape,
    Scale,
    Shape,
    Slice,
    SumPool,
    Upsample,
)


def apply(op: Op, *inputs: Tensor, rank: int, params: Mapping[str, Tensor] | None = None) -> Tensor:
    def constant(value: Ref | float) -> Tensor:
        return (params or {})[value.name] if isinstance(value, Ref) else torch.tensor(value)

    return evaluate(op, inputs, rank, constant)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clipped(size: int, kernel: int, stride: int, pad: int, outputs: int) -> tuple:
    starts = [i * stride - pad for i in range(outputs)]
    return tuple((max(0, s), min(size, s + kernel)) for s in starts)


@settings(deadline=None)
@given(
    st.sampled_from([1, 2]), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3),
    st.integers(0, 2), st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_conv_equals_torch(
    rank: int, groups: int, kernel: int, stride: int, pad: int, dilation: int, biased: bool
) -> None:
    module = (nn.Conv1d, nn.Conv2d)[rank - 1](
        4, 8, kernel, stride, pad, dilation, groups, bias=biased, dtype=torch.float64
    )
    x = random(3, 4, *(7, 6)[:rank])
    params = {"w": module.weight} | ({"b": module.bias} if biased else {})
    op = Conv(
        weight=Ref("w"), bias=Ref("b") if biased else None, stride=(stride,) * rank,
        padding=((pad, pad),) * rank, dilation=(dilation,) * rank, groups=groups,
    )  # fmt: skip
    expected = module(x)
    torch.testing.assert_close(apply(op, x, rank=rank + 1, params=params), expected)
    folded = apply(op, x[:, None].expand(3, 2, *x.shape[1:]), rank=rank + 1, params=params)
    torch.testing.assert_close(folded[:, 1], expected)


def test_conv_asymmetric_padding_and_bias_map() -> None:
    x, weight, bias = random(2, 3, 5, 6), random(4, 3, 3, 3, seed=1), random(4, 6, 4, seed=2)
    op = Conv(weight=Ref("w"), bias=Ref("b"), padding=((1, 2), (0, 0)))
    found = apply(op, x, rank=3, params={"w": weight, "b": bias})
    torch.testing.assert_close(found, F.conv2d(F.pad(x, (0, 0, 1, 2)), weight) + bias)


def test_conv_in_parts_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x, params = random(7, 3, 5, 5), {"w": random(4, 3, 3, 3, seed=1)}
    op = Conv(weight=Ref("w"), padding=((1, 1), (1, 1)))
    whole = apply(op, x, rank=3, params=params)
    monkeypatch.setattr("snnc.interp.ops.COLUMN_BYTES", 2 * 27 * 36 * 8)
    torch.testing.assert_close(apply(op, x, rank=3, params=params), whole)


def test_linear_and_batchnorm_equal_torch() -> None:
    linear = nn.Linear(5, 3, dtype=torch.float64)
    x = random(4, 2, 5)
    params = {"w": linear.weight, "b": linear.bias}
    op = Linear(weight=Ref("w"), bias=Ref("b"))
    torch.testing.assert_close(apply(op, x, rank=1, params=params), linear(x))

    norm = nn.BatchNorm2d(3, eps=1e-3, dtype=torch.float64).eval()
    for i, tensor in enumerate((norm.running_mean, norm.weight.data, norm.bias.data)):
        assert tensor is not None
        tensor.copy_(random(3, seed=i))
    norm.running_var.copy_(random(3, seed=9).abs())  # type: ignore[union-attr]
    params = {
        "m": norm.running_mean, "v": norm.running_var, "w": norm.weight, "b": norm.bias,
    }  # fmt: skip
    op = BatchNorm(mean=Ref("m"), variance=Ref("v"), weight=Ref("w"), bias=Ref("b"), eps=1e-3)
    x = random(2, 3, 4, 4)
    torch.testing.assert_close(apply(op, x, rank=3, params=params), norm(x))  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.integers(3, 9), st.integers(3, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_pools_equal_torch(
    height: int, width: int, kernel: int, stride: int, pad: int, ceil: bool, count_pad: bool
) -> None:
    """Rule S4 of docs/semantics.md."""
    assume(2 * pad <= kernel)
    x = random(2, 3, height, width)
    expected = F.avg_pool2d(x, kernel, stride, pad, ceil, count_pad)
    axes = tuple(
        clipped(n, kernel, stride, pad, m)
        for n, m in zip((height, width), expected.shape[2:], strict=True)
    )
    divisors = tuple(
        tuple(
            min(i * stride - pad + kernel, n + pad) - (i * stride - pad) if count_pad else b - a
            for i, (a, b) in enumerate(axis)
        )
        for n, axis in zip((height, width), axes, strict=True)
    )
    op = AvgPool(windows=axes, divisors=divisors)
    torch.testing.assert_close(apply(op, x, rank=3), expected)
    expected = F.max_pool2d(x, kernel, stride, pad, 1, ceil)
    torch.testing.assert_close(apply(MaxPool(windows=axes), x, rank=3), expected)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_adaptive_pool_equals_torch(height: int, width: int, bins: int) -> None:
    x = random(2, 3, height, width)
    axes = tuple(
        tuple((i * n // bins, -(-(i + 1) * n // bins)) for i in range(bins))
        for n in (height, width)
    )
    divisors = tuple(tuple(b - a for a, b in axis) for axis in axes)
    op = AvgPool(windows=axes, divisors=divisors)
    torch.testing.assert_close(apply(op, x, rank=3), F.adaptive_avg_pool2d(x, bins))
    expected = F.adaptive_max_pool2d(x, bins)
    torch.testing.assert_close(apply(MaxPool(windows=axes), x, rank=3), expected)


def test_sumpool_by_hand() -> None:
    """Rule S3 of docs/semantics.md."""
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    op = SumPool(windows=(((0, 2), (1, 3)), ((0, 4), (3, 4))), multiplicity=((1, 3), (1, 2)))
    assert apply(op, x, rank=3).tolist() == [[[[28, 2 * 10], [3 * 60, 3 * 2 * 18]]]]
    line = torch.tensor([[[1.0, 2.0, 4.0]]])
    assert apply(SumPool(windows=(((0, 2), (1, 3)),)), line, rank=2).tolist() == [[[3, 6]]]


def test_pool_gradients_equal_torch() -> None:
    x = random(2, 3, 6, 6).requires_grad_()
    axis = tuple((2 * i, 2 * i + 2) for i in range(3))
    weight = random(2, 3, 3, 3, seed=1)
    for op, expected in (
        (MaxPool(windows=(axis, axis)), F.max_pool2d(x, 2)),
        (AvgPool(windows=(axis, axis), divisors=((2,) * 3,) * 2), F.avg_pool2d(x, 2)),
    ):
        (found,) = torch.autograd.grad((apply(op, x, rank=3) * weight).sum(), x)
        (wanted,) = torch.autograd.grad((expected * weight).sum(), x)
        torch.testing.assert_close(found, wanted)


def test_shape_ops_follow_numpy() -> None:
    x = random(2, 5, 3, 4, 6)  # (T, N, C, H, W)
    a = x.numpy()
    cases: list[tuple[Op, np.ndarray]] = [
        (Reshape(shape=(12, 6)), a.reshape(2, 5, 12, 6)),
        (Permute(axes=(2, 0, 1)), a.transpose(0, 1, 4, 2, 3)),
        (Slice(starts=(0, 1, 0), stops=(3, 4, 6), steps=(1, 2, 3)), a[:, :, 0:3, 1:4:2, ::3]),
        (
            Pad(padding=((1, 0), (0, 2), (3, 1))),
            np.pad(a, ((0, 0), (0, 0), (1, 0), (0, 2), (3, 1))),
        ),
        (Upsample(factors=(2, 3)), a.repeat(2, -2).repeat(3, -1)),
        (Relu(), np.maximum(a, 0)),
    ]
    for op, expected in cases:
        np.testing.assert_array_equal(apply(op, x, rank=3).numpy(), expected, err_msg=str(op))


def test_scale_shapes() -> None:
    x = random(2, 3, 4, 5)
    params = {"c": random(3), "b": random(3, 4, 5, seed=1)}
    found = apply(Scale(factor=Ref("c"), bias=Ref("b")), x, rank=3, params=params)
    torch.testing.assert_close(found, x * params["c"][:, None, None] + params["b"])
    torch.testing.assert_close(apply(Scale(factor=0.5), x, rank=3), x / 2)


def test_relu_is_bounded_and_rounded() -> None:
    x = 3 * random(2, 3, 4, 5)
    bounds = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    found = apply(Relu(upper=Ref("b")), x, rank=3, params={"b": bounds})
    torch.testing.assert_close(found, torch.minimum(F.relu(x), bounds[:, None, None]))
    found = apply(Relu(upper=0.7, levels=4), x, rank=3)
    torch.testing.assert_close(found, torch.floor((x / 0.7).clamp(0, 1) * 4 + 0.5) / 4 * 0.7)


def test_a_rounded_relu_has_the_gradient_of_the_bounded_one() -> None:
    x = 3 * random(2, 3, 4, 5)
    grads = []
    for op in (Relu(upper=0.7), Relu(upper=0.7, levels=4)):
        leaf = x.clone().requires_grad_()
        apply(op, leaf, rank=3).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1])
    assert float(grads[0].max()) == 1


def test_add_and_concat_broadcast_what_is_constant_in_time() -> None:
    moving, constant = random(4, 2, 3, 5), random(1, 2, 3, 5, seed=1)
    total = apply(Add(), moving, constant, moving, rank=2)
    torch.testing.assert_close(total, 2 * moving + constant)
    joined = apply(Concat(axis=1), moving, constant, rank=2)
    assert joined.shape == (4, 2, 3, 10)
    torch.testing.assert_close(joined[3, :, :, 5:], constant[0])


def test_an_op_with_state_is_refused() -> None:
    with pytest.raises(GraphError, match="neuron is not a stateless operation"):
        apply(Neuron(), random(1, 1), rank=1)


@dataclass(frozen=True, kw_only=True)
class Mirror(Rearrange):
    """The elements of a sample in reverse, with a zero in front of each."""

    mnemonic = "mirror-test"

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (2 * prod(shapes[0]),)

    def move(self, arrays: Sequence[np.ndarray], fill: float) -> np.ndarray:
        (x,) = arrays
        blank = np.full(x.size, fill, x.dtype)
        return np.stack([blank, x.reshape(-1)[::-1]], axis=1).reshape(-1)


def test_a_new_rearrangement_needs_nothing_here() -> None:
    """Rule S5 of docs/semantics.md."""
    x = random(2, 3, 2, 2)
    found = apply(Mirror(), x, rank=2)
    assert found.shape == (2, 3, 8)
    assert torch.equal(found[..., 1::2], x.flatten(2).flip(2))
    assert not found[..., ::2].any()


def test_what_keeps_its_order_is_not_moved() -> None:
    x = random(2, 3, 4)
    found = apply(Reshape(shape=(12,)), x, rank=2)
    assert found.data_ptr() == x.data_ptr()
