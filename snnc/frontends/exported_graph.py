"""A graph of operators of torch.export in the form in which torch.fx traces modules.

Parameters, buffers and constants are nodes of `get_attr`; the input is the only placeholder. Every
node has in its `meta` what the nodes of `snnc.frontends.tracer` have, and as `layer` the class of
the layer of torch that it is an operator of, "" for none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, fx

from snnc.errors import Loc, ModelError, SnncError
from snnc.frontends.shapes import dependent
from snnc.frontends.tracer import OWN_DIR, TORCH_DIR, VALUE, shown_path

_FRAME = re.compile(r'File "([^"\n]+)", line (\d+), in ')
_LAYERS = "torch.nn."
_CONTAINERS = "torch.nn.modules.container."


def unlifted(graph: fx.Graph, tensors: Mapping[str, Tensor]) -> fx.Graph:
    """A copy of `graph` in which the placeholders named in `tensors` are those tensors."""
    copy = fx.Graph()
    nodes: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op == "placeholder" and node.name in tensors:
            nodes[node] = copy.create_node("get_attr", node.name)
            nodes[node].meta[VALUE] = tensors[node.name]
        else:
            nodes[node] = copy.node_copy(node, nodes.__getitem__)
            nodes[node].meta[VALUE] = _zeros(node.meta.get("val"))
    return copy


def zeros(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros of a shape, that take no memory."""
    return torch.zeros((), dtype=dtype).expand(shape)


def _zeros(value: Any) -> Any:
    """Zeros in the place of tensors without values."""
    if isinstance(value, Tensor):
        return zeros(tuple(value.shape), value.dtype)
    return [*map(_zeros, value)] if isinstance(value, list | tuple) else value


def annotate(graph: fx.Graph, name: str) -> None:
    """Add the user's line and module to every node, and the values of constants.

    Args:
        graph: its nodes have the tensors that depend on the input, as zeros, in `meta`.
        name: what messages call the model.

    Raises `ModelError` for a constant that cannot be computed.
    """
    depends = dependent(graph)
    for node in graph.nodes:
        _locate(node)
        if node.op == "call_function" and not depends[node]:
            node.meta[VALUE] = _computed(node, name)


def _locate(node: fx.Node) -> None:
    path = owner = layer = ""
    for where, kind in _modules(node.meta.get("nn_module_stack")):
        if kind.startswith(_LAYERS) and not kind.startswith(_CONTAINERS):
            owner, layer = where, kind.rpartition(".")[2]
            break
        path = where
    file, line = _users_line(node.meta.get("stack_trace") or "")
    node.meta["owner"], node.meta["path"], node.meta["layer"] = owner, path, layer
    node.meta["loc"] = Loc(file, line, owner or path or None)


def _modules(stack: Mapping[str, tuple[str, Any]] | None) -> list[tuple[str, str]]:
    """(path, class) of the modules that call an operator, the outermost first."""
    found = (stack or {}).values()
    return [
        (path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")
        for path, kind in found
    ]


def _users_line(trace: str) -> tuple[str | None, int | None]:
    """The innermost line that is not torch's. A trace begins in `forward` of the whole model."""
    for file, line in reversed(_FRAME.findall(trace)):
        torchs = "site-packages" in PurePath(file).parts and "torch" in PurePath(file).parts
        if not torchs and not file.startswith((TORCH_DIR, OWN_DIR)):
            return shown_path(file), int(line)
    return None, None


def apply(node: fx.Node, value_of: Callable[[fx.Node], Any], *, overwrites: bool) -> Any:
    """The result of an operator for the values of its arguments.

    Without `overwrites` one that works in place is given a copy.
    """
    both: Any = (node.args, node.kwargs)
    args, kwargs = fx.map_arg(both, value_of)
    call: Any = node.target
    schema = getattr(call, "_schema", None)
    if not overwrites and schema is not None and schema.is_mutable:
        args = (args[0].clone(), *args[1:])
    return call(*args, **kwargs)


def _computed(node: fx.Node, name: str) -> Any:
    """The value of an operator that does not depend on the input, which leaves tensors alone."""
    try:
        return apply(node, lambda source: source.meta[VALUE], overwrites=False)
    except SnncError:
        raise
    except Exception as error:  # torch raises various exceptions
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{name}: {node.meta['loc']}: {reason}") from error
