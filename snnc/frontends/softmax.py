"""Detection of a final softmax of a traced module, which can be dropped."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from snnc.frontends.importing import DroppedSoftmax
from snnc.frontends.ops_arithmetic import exponential, logarithm
from snnc.frontends.ops_shape import cast, reshape, same
from snnc.frontends.shapes import Seen
from snnc.frontends.torch_operations import FUNCTIONS, METHODS
from snnc.frontends.torch_site import Converter

_FUNCTIONS: dict[Any, bool] = {
    F.softmax: False,
    torch.softmax: False,
    torch.special.softmax: False,
    F.log_softmax: True,
    torch.log_softmax: True,
    torch.special.log_softmax: True,
    torch.ops.aten.softmax.int: False,
    torch.ops.aten.log_softmax.int: True,
}
_METHODS = {"softmax": False, "log_softmax": True}
_MODULES: dict[type[nn.Module], bool] = {nn.Softmax: False, nn.LogSoftmax: True}
_AFTER = (same, cast, reshape, exponential, logarithm)
"""Converters of what may follow a final softmax."""


def final_softmax(
    node: fx.Node, module: nn.Module, seen: dict[fx.Node, Seen]
) -> DroppedSoftmax | None:
    """`node` as a softmax, if it is one over the classes that leads to outputs only."""
    shape = seen[node].shape
    softmax = _softmax(node, module)
    if shape is None or softmax is None or not leads_to_outputs(node, module, _AFTER):
        return None
    dim, log = softmax
    rank = len(shape) + 1
    if dim is None:
        dim = 0 if rank in (1, 3) else 1  # what torch takes, with a warning
    over_classes = isinstance(dim, int) and dim % rank == 1
    return DroppedSoftmax(dim % rank, log) if over_classes else None


def leads_to_outputs(node: fx.Node, module: nn.Module, after: tuple[Converter, ...]) -> bool:
    """Whether only outputs use `node`, directly or after operations with the converters `after`."""
    users = [user for user in node.users if user.op != "output"]
    return all(
        _follows(user, module, after) and leads_to_outputs(user, module, after) for user in users
    )


def _follows(node: fx.Node, module: nn.Module, after: tuple[Converter, ...]) -> bool:
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return isinstance(part, nn.Flatten | nn.Identity | nn.Dropout)
    table = METHODS if node.op == "call_method" else FUNCTIONS
    return table.get(node.target) in after


def _softmax(node: fx.Node, module: nn.Module) -> tuple[Any, bool] | None:
    """(axis, whether its logarithm is taken)."""
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        if type(part) is nn.Softmax2d:
            return -3, False
        log = _MODULES.get(type(part))
        return None if log is None else (part.dim, log)
    table: dict[Any, bool] = _METHODS if node.op == "call_method" else _FUNCTIONS
    log = table.get(node.target)
    keyword = node.kwargs.get("dim", node.kwargs.get("axis"))
    dim = node.args[1] if len(node.args) > 1 else keyword
    return None if log is None else (dim, log)
