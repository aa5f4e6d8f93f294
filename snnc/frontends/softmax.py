"""Detection of a final softmax of a traced module, which can be dropped."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from snnc.frontends.importing import DroppedSoftmax
from snnc.frontends.shapes import Seen

_FUNCTIONS: dict[Any, bool] = {
    F.softmax: False,
    torch.softmax: False,
    F.log_softmax: True,
    torch.log_softmax: True,
}
_METHODS = {"softmax": False, "log_softmax": True}
_MODULES: dict[type[nn.Module], bool] = {nn.Softmax: False, nn.LogSoftmax: True}


def final_softmax(
    node: fx.Node, module: nn.Module, seen: dict[fx.Node, Seen]
) -> DroppedSoftmax | None:
    """`node` as a softmax, if it is one over the classes and only the output uses it."""
    shape = seen[node].shape
    if shape is None or any(user.op != "output" for user in node.users):
        return None
    softmax = _softmax(node, module)
    if softmax is None:
        return None
    dim, log = softmax
    over_classes = isinstance(dim, int) and dim % (len(shape) + 1) == 1
    return DroppedSoftmax(dim, log) if over_classes else None


def _softmax(node: fx.Node, module: nn.Module) -> tuple[Any, bool] | None:
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        log = _MODULES.get(type(part))
        return None if log is None else (part.dim, log)
    table: dict[Any, bool] = _METHODS if node.op == "call_method" else _FUNCTIONS
    log = table.get(node.target)
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return None if log is None else (dim, log)
