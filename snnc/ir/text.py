"""Graphs as text, for people and golden tests: the same text for the same graph."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import cast

import numpy as np

from snnc.ir.graph import Array, Graph
from snnc.ir.node import Node
from snnc.ir.op import Op
from snnc.ir.types import Windows


def to_text(graph: Graph) -> str:
    """The graph as text: stage and meta, one line per node, outputs, figures, arrays.

    Fields that have their default are left out. Pooling windows that are those of an ordinary
    pooling are written as `kernel`, `stride`, `padding`. Raises `GraphError` for a node that has
    no type.
    """
    lines = [f"graph {graph.stage} {{"]
    lines += [f"  meta {key} = {_json(value)}" for key, value in sorted(graph.meta.items())]
    lines += [f"  {node_text(graph, node)}" for node in graph.nodes]
    lines.append(f"  return {', '.join(f'%{name}' for name in graph.outputs)}")
    lines += [f"  stats %{name} = {_json(values)}" for name, values in sorted(graph.stats.items())]
    lines += [f"  @{name} = {_array(array)}" for name, array in sorted(graph.params.items())]
    return "\n".join([*lines, "}"]) + "\n"


def node_text(graph: Graph, node: Node) -> str:
    """One node: `%act0 = snn.neuron(%fc0) {threshold=@t} : spike<64x8x8>`."""
    inputs = ", ".join(f"%{name}" for name in graph.inputs_of(node.name))
    shown = _fields(node.op, [graph.type_of(name).shape for name in graph.inputs_of(node.name)])
    options = f" {{{', '.join(shown)}}}" if shown else ""
    kind = graph.type_of(node.name)
    return f"%{node.name} = {graph.stage}.{node.op.mnemonic}({inputs}){options} : {kind}"


def _fields(op: Op, inputs: list[tuple[int, ...]]) -> list[str]:
    shown: list[str] = []
    for field in fields(op):
        value = getattr(op, field.name)
        if field.name == "windows":
            shown += _windows(cast(Windows, value), inputs[0][1:])
        elif value != field.default or type(value) is not type(field.default):
            shown.append(f"{field.name}={_value(value)}")
    return shown


def _value(value: object) -> str:
    """Numbers and names as they are; tuples as `(a, b)`, or `(a)*n` when all entries are alike."""
    if not isinstance(value, tuple):
        return str(value)
    items = [_value(item) for item in cast(tuple[object, ...], value)]
    if len(items) > 2 and len(set(items)) == 1:
        return f"({items[0]})*{len(items)}"
    return f"({', '.join(items)})"


def _windows(windows: Windows, sizes: tuple[int, ...]) -> list[str]:
    axes = [_uniform(axis, size) for axis, size in zip(windows, sizes, strict=True)]
    uniform = [axis for axis in axes if axis is not None]
    if len(uniform) < len(axes):
        return [f"windows={_value(windows)}"]
    kernel, stride, padding = zip(*uniform, strict=True)
    shown = [f"kernel={_value(kernel)}", f"stride={_value(stride)}"]
    return shown + ([f"padding={_value(padding)}"] if any(padding) else [])


def _uniform(axis: tuple[tuple[int, int], ...], size: int) -> tuple[int, int, int] | None:
    """(kernel, stride, padding) if the windows are those of an ordinary pooling of `size` inputs.

    Windows are clipped to the input; the answer is one that gives just these windows.
    """
    if len(axis) == 1:
        start, stop = axis[0]
        return (stop, stop, 0) if start == 0 else None
    for padding in range(axis[0][1] + 1):
        kernel, stride = axis[0][1] + padding, axis[1][0] + padding
        starts = [i * stride - padding for i in range(len(axis))]
        if axis == tuple((max(0, start), min(size, start + kernel)) for start in starts):
            return kernel, stride, padding
    return None


def _array(array: Array) -> str:
    shape = "x".join(map(str, array.shape)) or "scalar"
    if array.size == 0:
        return f"{array.dtype}<{shape}>"
    low, high = (_number(value) for value in (np.min(array), np.max(array)))
    return f"{array.dtype}<{shape}> {low}" + ("" if low == high else f"..{high}")


def _number(value: np.generic) -> str:
    return f"{float(value.item()):.6g}" if value.dtype.kind == "f" else str(value.item())


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
