"""Detection of in-place operations on tensors that are used again, which graphs cannot express."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn

from snnc.frontends.shapes import Seen
from snnc.frontends.unsupported import function_name, is_aten
from snnc.frontends.untraceable import WRITES_INTO_PART

_DROPPED_IN_EVAL = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
_NEVER_CHANGE = frozenset({"requires_grad_", "squeeze_", "unsqueeze_", "t_", "transpose_"})


def overwritten(
    traced: fx.Graph, seen: dict[fx.Node, Seen], module: nn.Module
) -> Iterator[tuple[fx.Node, str, str]]:
    """(node, reason, remedy) of every in-place operation whose input is used after it."""
    order = {node: i for i, node in enumerate(traced.nodes)}
    for node in traced.nodes:
        if node.op not in ("call_module", "call_function", "call_method"):
            continue
        if not seen[node].depends or not _in_place(node, module):
            continue
        if not node.users and is_aten(node.target):
            yield (node, *WRITES_INTO_PART)
            continue
        (target, *_) = node.all_input_nodes
        later = [user for user in target.users if order[user] > order[node]]
        used = [user for user in later if seen[user].depends or user.op == "output"]
        if used:
            yield (
                node,
                "overwrites a tensor that is used again",
                "use the operation that returns a new tensor (inplace=False)",
            )


def _in_place(node: fx.Node, module: nn.Module) -> bool:
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return bool(getattr(part, "inplace", False)) and not isinstance(part, _DROPPED_IN_EVAL)
    if node.kwargs.get("inplace", False) is True:
        return node.kwargs.get("training", True) is not False
    name = node.target if isinstance(node.target, str) else function_name(node.target)
    in_place = name.endswith("_") and not name.endswith("__") and name not in _NEVER_CHANGE
    return in_place or "out" in node.kwargs
