"""Fold batch norm into the weights in front of it (S16)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import BatchNorm, Graph, Stage
from snnc.ir.walk import used_once
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._scales.affine import Affine, fold_into_outputs, scale_op


@dataclass(frozen=True, kw_only=True)
class FoldBatchnorm(Pass):
    """Fold batch norm into the convolution or linear layer that feeds it.

    weight' = weight * g and bias' = bias * g + (beta - mean * g) with g = gamma / sqrt(var + eps),
    computed in float64 (Rueckauer et al., "Conversion of Continuous-Valued Deep Networks to
    Efficient Event-Driven Networks for Image Classification", 2017, section 2.2.2). A batch norm
    becomes a Scale of the same name if its input is not such a layer, or has other users.

    Metrics: `folded`, `turned_into_scale`.
    """

    name = "fold-batchnorm"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Remove every batch norm."""
        folded = scales = 0
        for node in graph.nodes:
            if not isinstance(node.op, BatchNorm):
                continue
            affine = _affine(graph, node.op)
            (source,) = graph.inputs_of(node.name)
            if used_once(graph, source) and fold_into_outputs(graph, source, affine):
                merged = [node.name, *node.origins]
                graph.replace_op(source, graph.node(source).op, origins=merged)
                graph.bypass(node.name)
                folded += 1
            else:
                graph.replace_op(node.name, scale_op(graph, node.name, affine))
                scales += 1
        graph.prune_params()
        metrics = {"folded": folded, "turned_into_scale": scales}
        return PassResult(graph, metrics=metrics)


def _affine(graph: Graph, op: BatchNorm) -> Affine:
    mean, variance = (graph.array(ref).astype(np.float64) for ref in (op.mean, op.variance))
    gain = 1 / np.sqrt(variance + op.eps)
    if op.weight is not None:
        gain = gain * graph.array(op.weight).astype(np.float64)
    shift = -mean * gain
    if op.bias is not None:
        shift = shift + graph.array(op.bias).astype(np.float64)
    return Affine(gain, shift)
