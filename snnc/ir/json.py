"""Serialisation of a graph: JSON for its structure, and a separate mapping of arrays.

`from_json(to_json(graph), graph.params)` has the fingerprint of `graph`. Fields of ops are encoded
by their annotations, so that a new op needs no change here.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from snnc.errors import ArtifactError, GraphError, Loc
from snnc.ir.graph import Array, Graph
from snnc.ir.node import Node
from snnc.ir.op import Op
from snnc.ir.ops import MNEMONICS
from snnc.ir.types import Ref, Stage

VERSION = 2
"""Version written. Version 1 (readable) has one op `encode` with a field `mode`."""
LARGEST_INT = 2**63 - 1


def expect(value: object, kind: type[Any], what: str) -> Any:
    """`value` if it is exactly of the JSON type `kind`; else raises `ArtifactError`."""
    if type(value) is not kind:
        raise ArtifactError(f"{what} should be a {kind.__name__}, is a {type(value).__name__}")
    return value


# -- writing -------------------------------------------------------------------------------


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as JSON-able dict, with dtype and shape of the arrays but not their values.

    Nodes are in graph order, each with the names of its inputs by port.
    """
    return {
        "version": VERSION,
        "stage": str(graph.stage),
        "nodes": [_node_to_json(graph, node) for node in graph.nodes],
        "outputs": list(graph.outputs),
        "params": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in graph.params.items()
        },
        "stats": graph.stats,
        "meta": graph.meta,
    }


def _node_to_json(graph: Graph, node: Node) -> dict[str, Any]:
    loc = node.loc
    return {
        "name": node.name,
        "op": node.op.mnemonic,
        "fields": {name: _encode(value) for name, value in node.op.stated().items()},
        "inputs": list(graph.inputs_of(node.name)),
        "loc": {"file": loc.file, "line": loc.line, "module": loc.module},
        "origins": list(node.origins),
    }


def _encode(value: object) -> Any:
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, tuple):
        return [_encode(item) for item in cast(tuple[object, ...], value)]
    return value


# -- reading -------------------------------------------------------------------------------


def from_json(data: Mapping[str, Any], params: Mapping[str, Array]) -> Graph:
    """The graph of `to_json`, with its arrays. The caller verifies it.

    Raises:
        ArtifactError: an unknown op or field, a value of a wrong type, or arrays that do not match.
    """
    version = expect(data.get("version"), int, "graph version")
    if version > VERSION:
        raise ArtifactError(
            f"the graph has format {version}, this snnc reads up to {VERSION}",
            hint="update snnc",
        )
    graph = Graph(stage_of(data.get("stage")))
    _set_params(graph, _member(data, "params", dict, "graph"), params)
    for i, node in enumerate(_member(data, "nodes", list, "graph")):
        data_of = expect(node, dict, f"node {i}")
        _add_node(graph, data_of if version > 1 else _from_format_1(data_of), f"node {i}")
    graph.outputs = _names(data, "outputs", "graph")
    graph.stats = _member(data, "stats", dict, "graph")
    for name, values in graph.stats.items():
        expect(values, dict, f"stats of {name}")
    graph.meta = _member(data, "meta", dict, "graph")
    return graph


def _member(data: Mapping[str, Any], key: str, kind: type[Any], what: str) -> Any:
    if key not in data:
        raise ArtifactError(f"{what} has no {key!r}")
    return expect(data[key], kind, f"{key!r} of {what}")


def _names(data: Mapping[str, Any], key: str, what: str) -> tuple[str, ...]:
    names = _member(data, key, list, what)
    return tuple(expect(name, str, f"an entry of {key!r} of {what}") for name in names)


def stage_of(value: object) -> Stage:
    """The stage called `value`. Raises `ArtifactError` if there is none."""
    if value not in list(Stage):
        raise ArtifactError(f"unknown stage {value!a:.60}")
    return Stage(value)


def _set_params(graph: Graph, listed: dict[str, Any], params: Mapping[str, Array]) -> None:
    wrong = sorted(listed.keys() ^ params.keys())
    if wrong:
        raise ArtifactError(f"array {wrong[0]!a:.60} is not in both the graph and the tensors")
    for name, facts in listed.items():
        actual = {"dtype": str(params[name].dtype), "shape": list(params[name].shape)}
        if facts != actual:
            raise ArtifactError(f"array {name!r} is {actual}, the graph says {facts!a:.90}")
        try:
            graph.set_param(name, params[name])
        except GraphError as error:
            raise ArtifactError(error.message) from None


def _add_node(graph: Graph, data: dict[str, Any], what: str) -> None:
    name = _member(data, "name", str, what)
    mnemonic = _member(data, "op", str, name)
    if mnemonic not in MNEMONICS:
        raise ArtifactError(f"{name}: unknown operation {mnemonic!a:.60}", hint="update snnc")
    op = decode_op(MNEMONICS[mnemonic], _member(data, "fields", dict, name), name)
    loc = _decode_as(Loc, _member(data, "loc", dict, name), f"loc of {name}")
    try:
        graph.add(
            name, op, _names(data, "inputs", name), loc=loc, origins=_names(data, "origins", name)
        )
    except GraphError as error:
        raise ArtifactError(error.message) from None


def _from_format_1(node: dict[str, Any]) -> dict[str, Any]:
    """A node as format 2 writes it."""
    fields = node.get("fields")
    if node.get("op") != "encode" or not isinstance(fields, dict):
        return node
    known = cast(dict[str, Any], fields)
    rest = {name: value for name, value in known.items() if name != "mode"}
    return {**node, "op": f"encode-{known.get('mode', 'direct')}", "fields": rest}


def decode_op(kind: type[Op], values: dict[str, Any], name: str) -> Op:
    """An op from its fields in JSON form. Raises `ArtifactError` naming node and field."""
    return _decode_as(kind, values, f"{name} ({kind.mnemonic})")


def _decode_as(kind: type[Any], values: dict[str, Any], what: str) -> Any:
    """An instance of the dataclass `kind`, every value checked against its annotation."""
    hints = _hints(kind)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ArtifactError(f"{what}: unknown field {unknown[0]!a:.60}", hint="update snnc")
    required = [f.name for f in fields(kind) if f.default is MISSING and f.name not in values]
    if required:
        raise ArtifactError(f"{what}: no field {required[0]!r}")
    return kind(**{key: _decode(hints[key], v, f"{what}: {key}") for key, v in values.items()})


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _decode(hint: Any, value: Any, what: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decode(_alternative(args, value), value, what)
    if origin is Literal:
        if type(value) is str and value in args:
            return value
        raise ArtifactError(f"{what} is {value!a:.60}, not one of {', '.join(args)}")
    if origin is tuple:
        return _decode_tuple(args, expect(value, list, what), what)
    if hint is Ref:
        return Ref(_member(expect(value, dict, what), "ref", str, what))
    if hint is type(None):
        return expect(value, type(None), what)
    return _decode_number(hint, value, what)


def _alternative(options: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that fits a JSON value."""
    plain = [option for option in options if option not in (Ref, type(None))]
    if value is None and type(None) in options:
        return type(None)
    return Ref if Ref in options and (type(value) is dict or not plain) else plain[0]


def _decode_tuple(args: tuple[Any, ...], value: list[Any], what: str) -> tuple[Any, ...]:
    if args[-1] is Ellipsis:
        return tuple(_decode(args[0], item, what) for item in value)
    if len(value) != len(args):
        raise ArtifactError(f"{what}: {len(value)} values instead of {len(args)}")
    return tuple(_decode(hint, item, what) for hint, item in zip(args, value, strict=True))


def _decode_number(hint: type[Any], value: Any, what: str) -> Any:
    """int, float, bool or str; an integer may stand for a float and stays one."""
    number = expect(value, int if hint is float and type(value) is int else hint, what)
    if type(number) is int and abs(number) > LARGEST_INT:
        raise ArtifactError(f"{what} is beyond 64 bits")
    return number
