"""Operations with weights."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir.kinds import Weighted
from snnc.ir.op import Op, Params, Types, check_sample_param, linear_result, require
from snnc.ir.types import TensorType


@dataclass(frozen=True, kw_only=True, repr=False)
class Conv(Weighted):
    """y[o,i] = bias[o] + sum over c, k of weight[o,c,k] * x[first[o]+c, stride*i + dilation*k-pad].

    first[o] is the first input channel of the group of o.
    weight: (C_out, C_in/groups, *kernel). bias: (C_out,) or the full output shape (a bias map).
    padding: (before, after) per spatial axis; padded positions are zero (silence).
    """

    mnemonic = "conv"
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def matrices(self) -> int:
        return self.groups

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        weight = params[self.weight.name]
        rank = len(self.stride)
        require(len(x.shape) == rank + 1, f"a {rank}-d convolution of a sample of shape {x.shape}")
        require(weight.ndim == rank + 2, f"weight of shape {weight.shape} for rank {rank}")
        self._check_geometry(rank)
        c_in, c_out = weight.shape[1] * self.groups, weight.shape[0]
        require(x.shape[0] == c_in, f"weights for {c_in} channels on an input of {x.shape[0]}")
        require(c_out % self.groups == 0, f"{c_out} outputs in {self.groups} groups")
        shape = (c_out, *self._spatial(x.shape[1:], weight.shape[2:]))
        require(min(shape) > 0, f"no output left: input {x.shape}, kernel {weight.shape[2:]}")
        check_sample_param("bias", self.bias, shape, params)
        return linear_result(x, shape, weight)

    def _check_geometry(self, rank: int) -> None:
        counts = (len(self.padding), len(self.dilation))
        require(counts == (rank, rank), f"padding, dilation of {counts} axes for rank {rank}")
        positive = (*self.stride, *self.dilation, self.groups)
        require(min(positive) > 0, "a stride, dilation or number of groups that is not positive")
        require(all(min(p) >= 0 for p in self.padding), "negative padding; use a slice")

    def _spatial(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        axes = zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


@dataclass(frozen=True, kw_only=True, repr=False)
class Linear(Weighted):
    """y = weight x + bias. weight: (F_out, F_in); the sample has shape (F_in,)."""

    mnemonic = "linear"

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        weight = params[self.weight.name]
        require(weight.ndim == 2, f"weight of shape {weight.shape}")
        require(
            x.shape == (weight.shape[1],),
            f"weights for {weight.shape[1]} features on a sample of shape {x.shape}",
        )
        shape = (weight.shape[0],)
        check_sample_param("bias", self.bias, shape, params)
        return linear_result(x, shape, weight)


OPS: tuple[type[Op], ...] = (Conv, Linear)
