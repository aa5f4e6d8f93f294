"""Canonical text form of graphs, for reading and golden tests; `snnc.ir.parse` reads it back."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import cast

import numpy as np

from snnc.ir.graph import Array, Graph
from snnc.ir.node import Node
from snnc.ir.op import Op
from snnc.ir.types import Ref, Windows, regular_windows

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-/]+")
SHOWN = 16
"""Arrays with at most this many elements are written in full, others by their range."""


def to_text(graph: Graph) -> str:
    """The graph as text: stage and meta, one line per node, outputs, stats, arrays.

    Fields with default values are omitted, names with unusual characters are quoted. Windows of
    regular pooling are written as `kernel`, `stride`, `padding`. Raises `GraphError` for a node
    without a type.
    """
    lines = [f"graph {graph.stage} {{"]
    lines += [f"  meta {_name(key)} = {_json(value)}" for key, value in sorted(graph.meta.items())]
    lines += [f"  {node_text(graph, node)}" for node in graph.nodes]
    lines.append(f"  return {', '.join(f'%{_name(name)}' for name in graph.outputs)}")
    lines += [
        f"  stats %{_name(name)} = {_json(values)}" for name, values in sorted(graph.stats.items())
    ]
    lines += [f"  @{_name(name)} = {_array(array)}" for name, array in sorted(graph.params.items())]
    return "\n".join([*lines, "}"]) + "\n"


def node_text(graph: Graph, node: Node) -> str:
    """One node: `%act0 = snn.neuron(%fc0) {threshold=@t} : spike<64x8x8>`."""
    inputs = ", ".join(f"%{_name(name)}" for name in node.inputs)
    shown = _fields(node.op, [graph.type_of(name).shape for name in node.inputs])
    options = f" {{{', '.join(shown)}}}" if shown else ""
    return (
        f"%{_name(node.name)} = {graph.stage}.{node.op.mnemonic}({inputs}){options} : {node.type}"
    )


def _name(name: str) -> str:
    return name if PLAIN_NAME.fullmatch(name) else json.dumps(name)


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
    """Numbers and names verbatim; tuples as `(a, b)`, or `(a)*n` if all entries are equal."""
    if isinstance(value, Ref):
        return f"@{_name(value.name)}"
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
    """(kernel, stride, padding) that give these windows of `size` inputs, else None.

    Windows are clipped to the input, so that several solutions may exist.
    """
    if len(axis) == 1:
        start, stop = axis[0]
        return (stop, stop, 0) if start == 0 else None
    for padding in range(axis[0][1] + 1):
        kernel, stride = axis[0][1] + padding, axis[1][0] + padding
        if axis == regular_windows(size, len(axis), kernel, stride, padding):
            return kernel, stride, padding
    return None


def _array(array: Array) -> str:
    shape = "x".join(map(str, array.shape)) or "scalar"
    if array.size == 0:
        return f"{array.dtype}<{shape}>"
    if array.size <= SHOWN:
        values = [str(value) for value in array.ravel()]
        same = len(set(values)) == 1
        return f"{array.dtype}<{shape}> " + (values[0] if same else f"[{', '.join(values)}]")
    low, high = (_number(value) for value in (np.min(array), np.max(array)))
    return f"{array.dtype}<{shape}> {low}" + ("" if low == high else f"..{high}")


def _number(value: np.generic) -> str:
    return f"{float(value.item()):.6g}" if value.dtype.kind == "f" else str(value.item())


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
