"""Detection of a sigmoid or tanh on an output of a traced module, which is kept as its function."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from snnc.frontends.ops_shape import cast, reshape, same
from snnc.frontends.softmax import leads_to_outputs
from snnc.output_function import OutputFunction

SIGMOID, TANH = OutputFunction("sigmoid"), OutputFunction("tanh")
_FUNCTIONS: dict[Any, OutputFunction] = {
    torch.sigmoid: SIGMOID,
    torch.sigmoid_: SIGMOID,
    torch.special.expit: SIGMOID,
    F.sigmoid: SIGMOID,
    torch.tanh: TANH,
    torch.tanh_: TANH,
    F.tanh: TANH,
    torch.ops.aten.sigmoid.default: SIGMOID,
    torch.ops.aten.sigmoid_.default: SIGMOID,
    torch.ops.aten.tanh.default: TANH,
    torch.ops.aten.tanh_.default: TANH,
}
_METHODS = {"sigmoid": SIGMOID, "sigmoid_": SIGMOID, "tanh": TANH, "tanh_": TANH}
_MODULES: dict[type[nn.Module], OutputFunction] = {nn.Sigmoid: SIGMOID, nn.Tanh: TANH}
_AFTER = (same, cast, reshape)
"""Converters of what may follow it."""


def final_squashing(node: fx.Node, module: nn.Module) -> OutputFunction | None:
    """`node` as a sigmoid or tanh, if it is one that leads to outputs only."""
    function = _function(node, module)
    if function is None or not leads_to_outputs(node, module, _AFTER):
        return None
    return function


def _function(node: fx.Node, module: nn.Module) -> OutputFunction | None:
    if node.op == "call_module":
        return _MODULES.get(type(module.get_submodule(str(node.target))))
    table: dict[Any, OutputFunction] = _METHODS if node.op == "call_method" else _FUNCTIONS
    return table.get(node.target)
