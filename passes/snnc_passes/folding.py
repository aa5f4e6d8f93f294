"""Folding a factor and a shift into neighbouring weights, in float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.interp.ops import evaluate
from snnc.ir import Conv, Graph, Linear, Node, broadcast_to_sample

Real = NDArray[np.float64]


def affine(node: Node) -> Conv | Linear | None:
    """The node's op if it is a Conv or a Linear."""
    return node.op if isinstance(node.op, Conv | Linear) else None


def set_affine(
    graph: Graph, name: str, weight: Real, bias: Real | None, origins: Iterable[str] = ()
) -> None:
    """Give a Conv or Linear new arrays under its own name; other users of the old ones keep them.

    A bias map that is the same everywhere is stored as one value per channel, a zero one not.
    """
    op = graph.node(name).op
    if not isinstance(op, Conv | Linear):
        raise TypeError(f"{name} is a {op.mnemonic}")
    stored = graph.own_param(name, "weight", weight.astype(np.float32))
    ref = None
    if bias is not None and np.any(bias):
        flat = bias.reshape(len(bias), -1)
        uniform = bool(np.all(flat == flat[:, :1]))
        ref = graph.own_param(name, "bias", (flat[:, 0] if uniform else bias).astype(np.float32))
    graph.replace_op(name, replace(op, weight=stored, bias=ref), origins=origins)


def fold_output(graph: Graph, name: str, factor: Real, shift: Real, origins: Iterable[str]) -> None:
    """Let a Conv or Linear give `factor * y + shift`; both are (C_out,)."""
    op = graph.node(name).op
    if not isinstance(op, Conv | Linear):
        raise TypeError(f"{name} is a {op.mnemonic}")
    weight = graph.array(op.weight).astype(np.float64)
    bias = np.zeros(len(weight)) if op.bias is None else graph.array(op.bias).astype(np.float64)
    weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    column = (-1, *(1,) * (bias.ndim - 1))
    set_affine(graph, name, weight, bias * factor.reshape(column) + shift.reshape(column), origins)


def can_fold_input(graph: Graph, name: str, factor: NDArray[np.generic]) -> bool:
    """Whether a factor on the input of a Conv or Linear can go into its weights."""
    op = affine(graph.node(name))
    return op is not None and (factor.ndim < 2 or isinstance(op, Linear))


def fold_input(
    graph: Graph, name: str, factor: Real, shift: Real | None, origins: Iterable[str]
) -> None:
    """Let a Conv or Linear compute f(factor * x + shift) from x.

    Args:
        factor: () or (C_in,).
        shift: (), (C_in,) or the input's shape; None for 0. Where the convolution pads, the bias
            becomes a map (C, H, W): a shift of the input is not there outside of it.
    """
    op = graph.node(name).op
    if not isinstance(op, Conv | Linear):
        raise TypeError(f"{name} is a {op.mnemonic}")
    weight = graph.array(op.weight).astype(np.float64)
    bias = None if op.bias is None else graph.array(op.bias).astype(np.float64)
    if shift is not None and np.any(shift):
        shape = graph.type_of(graph.inputs_of(name)[0]).shape
        plane = np.broadcast_to(broadcast_to_sample(shift, shape), shape)
        answer = _without_bias(op, weight, plane)
        known = 0.0 if bias is None else broadcast_to_sample(bias, answer.shape)
        bias = answer + known
    set_affine(graph, name, _scale_columns(op, weight, factor), bias, origins)


def _scale_columns(op: Conv | Linear, weight: Real, factor: Real) -> Real:
    """Multiply what weighs input channel c by factor[c]."""
    if factor.ndim == 0:
        return weight * factor
    if isinstance(op, Linear):
        return weight * factor
    per_group = factor.reshape(op.groups, weight.shape[1])
    spread = np.repeat(per_group, len(weight) // op.groups, axis=0)
    return weight * spread.reshape(*spread.shape, *(1,) * (weight.ndim - 2))


def _without_bias(op: Conv | Linear, weight: Real, x: Real) -> Real:
    """W x for one sample, in float64."""
    tensors = {op.weight: torch.from_numpy(weight)}
    sample = torch.from_numpy(np.array(x, order="C"))[None]
    result = evaluate(replace(op, bias=None), [sample], x.ndim, lambda ref: tensors[ref])  # type: ignore[index]
    return result[0].numpy()
