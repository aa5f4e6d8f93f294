"""`fold-normalization`: scales and shifts of the input go into the weights that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Node, Scale, Stage
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.folding import can_fold_input, fold_input


@dataclass(frozen=True, kw_only=True)
class FoldNormalization(Pass):
    """Fold every `Scale` (input mean and deviation, batch norm before a layer) forward.

    f(a x + b): the factor goes into the input channels of the weights, W a; the shift becomes the
    bias W b. In front of a padded convolution that is a bias map (C, H, W), because the padding
    is not shifted: a bias per channel would be wrong at the border. A `Scale` stays for users that
    are neither convolution nor linear.
    """

    name: ClassVar[str] = "fold-normalization"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        scales = [node for node in graph.nodes if isinstance(node.op, Scale)]
        folded = sum(_fold(graph, node) for node in scales)
        if folded:
            graph.prune_params()
        return PassResult(graph, changed=folded > 0, metrics={"folded": folded})


def _fold(graph: Graph, node: Node) -> int:
    """Fold one scale into every user that can take it; returns how many did."""
    op = node.op
    if not isinstance(op, Scale):
        raise TypeError(node.name)
    factor = graph.array(op.factor).astype(np.float64)
    shift = None if op.bias is None else graph.array(op.bias).astype(np.float64)
    (source,) = graph.inputs_of(node.name)
    takers = [u for u, _ in graph.users_of(node.name) if can_fold_input(graph, u, factor)]
    for user in takers:
        fold_input(graph, user, factor, shift, origins=(node.name, user))
        graph.set_input(user, 0, source)
    if not graph.users_of(node.name) and node.name not in graph.outputs:
        graph.remove(node.name)
    return len(takers)
