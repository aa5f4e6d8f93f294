"""`fold-batchnorm`: batch norms become weights, biases and scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnc.ir import BatchNorm, Graph, Node, Scale, Stage
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.folding import Real, affine, fold_output


@dataclass(frozen=True, kw_only=True)
class FoldBatchnorm(Pass):
    """Fold every batch norm into the convolution or linear layer before it.

    With f = weight / sqrt(variance + eps): W' = f W, b' = f (b - mean) + bias (Rueckauer et al.
    2017, section 2.2). Where the layer before has other users, or is none, the batch norm becomes a
    `Scale` with factor f and bias, for `fold-normalization` to fold forward.
    """

    name: ClassVar[str] = "fold-batchnorm"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        norms = [node for node in graph.nodes if isinstance(node.op, BatchNorm)]
        folded = sum(_fold(graph, node) for node in norms)
        if norms:
            graph.prune_params()
        metrics = {"folded": folded, "scales": len(norms) - folded}
        return PassResult(graph, changed=bool(norms), metrics=metrics)


def _fold(graph: Graph, node: Node) -> bool:
    """Fold one batch norm; False where it became a `Scale`."""
    factor, shift = _affine_form(graph, node)
    (source,) = graph.inputs_of(node.name)
    alone = len(graph.users_of(source)) == 1 and source not in graph.outputs
    if affine(graph.node(source)) is None or not alone:
        op = Scale(
            factor=graph.set_param(f"{node.name}.factor", factor.astype(np.float32)),
            bias=graph.set_param(f"{node.name}.shift", shift.astype(np.float32)),
        )
        graph.replace_op(node.name, op)
        return False
    fold_output(graph, source, factor, shift, origins=(source, node.name))
    graph.bypass(node.name)
    return True


def _affine_form(graph: Graph, node: Node) -> tuple[Real, Real]:
    """(factor, shift), each (C,), of a batch norm."""
    op = node.op
    if not isinstance(op, BatchNorm):
        raise TypeError(node.name)
    mean = graph.array(op.mean).astype(np.float64)
    factor = 1 / np.sqrt(graph.array(op.variance).astype(np.float64) + op.eps)
    if op.weight is not None:
        factor = factor * graph.array(op.weight)
    shift = -mean * factor
    return factor, shift if op.bias is None else shift + graph.array(op.bias)
