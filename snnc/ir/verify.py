"""Verifier: one table of rules per stage. Numbers such as S7 refer to docs/semantics.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, cast

import numpy as np

from snnc.errors import GraphError
from snnc.ir.encode import Encode
from snnc.ir.endpoints import Input, Readout
from snnc.ir.graph import Array, Graph
from snnc.ir.node import Node
from snnc.ir.types import Stage
from snnc.memory import LONGEST_WINDOW

Rule = Callable[[Graph, Node], Iterator[str]]


def _legal_at_stage(graph: Graph, node: Node) -> Iterator[str]:
    if graph.stage not in node.op.stages:
        yield f"{node.op.mnemonic} is not legal at stage {graph.stage}"


def _arity(graph: Graph, node: Node) -> Iterator[str]:
    count, arity = len(graph.inputs_of(node.name)), node.op.arity
    if arity is None and count < 2:
        yield f"{node.op.mnemonic} needs two or more inputs, has {count}"
    if arity is not None and count != arity:
        yield f"{node.op.mnemonic} needs {arity} inputs, has {count}"


def _arrays_exist(graph: Graph, node: Node) -> Iterator[str]:
    for field, ref in node.op.refs().items():
        if ref.name not in graph.params:
            yield f"{field} refers to {ref}, which the graph does not hold"
        elif not _finite(graph.params[ref.name]):
            yield f"{field} {ref} holds NaN or infinity"


def _finite(array: Array) -> bool:
    if array.dtype.kind in "biu":
        return True
    with np.errstate(all="ignore"):
        total = array.sum()  # finite only if all are, and faster than to look at each
    return bool(np.isfinite(total) or np.isfinite(array).all())


def _numbers_finite(graph: Graph, node: Node) -> Iterator[str]:
    for field in fields(node.op):
        value = getattr(node.op, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{field.name} is {value}"


def _used(graph: Graph, node: Node) -> Iterator[str]:
    if not graph.users_of(node.name) and node.name not in graph.outputs:
        yield "its result is never used"


def _is_analog(graph: Graph, name: str) -> bool:
    """Whether a node of an snn graph is the input, possibly rearranged or max-pooled."""
    while graph.node(name).op.before_encode:
        name = graph.inputs_of(name)[0]
    return isinstance(graph.node(name).op, Input)


def _analog_is_encoded_once(graph: Graph, node: Node) -> Iterator[str]:
    if not _is_analog(graph, node.name):
        return
    if node.name in graph.outputs or len(graph.users_of(node.name)) != 1:
        yield "an input must be followed by exactly one encode (S7)"


def _analog_ends_at_encode(graph: Graph, node: Node) -> Iterator[str]:
    if isinstance(node.op, Encode) or node.op.before_encode:
        return
    for source in graph.inputs_of(node.name):
        if _is_analog(graph, source):
            yield f"takes the analog {source}; put an encode between (S7)"


def _readouts_are_outputs(graph: Graph, node: Node) -> Iterator[str]:
    if node.name in graph.outputs and not isinstance(node.op, Readout):
        yield "an output of an snn graph must be a readout (S15)"
    if isinstance(node.op, Readout) and graph.users_of(node.name):
        yield "a readout is the end of the network; nothing may use it (S15)"


STRUCTURE: tuple[Rule, ...] = (_legal_at_stage, _arity, _arrays_exist, _numbers_finite, _used)
RULES: dict[Stage, tuple[Rule, ...]] = {
    Stage.ANN: (),
    Stage.SNN: (_analog_is_encoded_once, _analog_ends_at_encode, _readouts_are_outputs),
}


def problems(graph: Graph) -> list[str]:
    """Every broken rule, in graph order, each with node, op and the user's line."""
    if not graph.outputs:
        return ["the graph has no outputs"]
    missing = [name for name in graph.outputs if name not in graph]
    if missing:
        return [f"output {name!r} is not a node" for name in missing]
    if wrong := list(_wrong_facts(graph)):
        return wrong
    try:
        inputs = [node.name for node in graph.nodes if isinstance(node.op, Input)]
        if len(inputs) != 1:
            return [f"the graph has {len(inputs)} inputs instead of one: {inputs}"]
        broken = _apply(STRUCTURE, graph) or _apply(RULES[graph.stage], graph)
        if not broken:
            graph.types()
    except GraphError as error:
        return [error.message]
    return broken


def _wrong_facts(graph: Graph) -> Iterator[str]:
    """What is wrong with the facts in `meta` that every reader of a graph relies on."""
    window, proof = graph.meta.get("timesteps"), graph.meta.get("quantize", {})
    if window is not None and not _is_window(window):
        yield f"its number of time steps is {window!r:.40}, not 1 to {LONGEST_WINDOW}"
    if not isinstance(proof, dict):
        yield f"what quantize proved is {proof!r:.40}"
        return
    proved, bounds = (cast("dict[str, Any]", proof).get(key) for key in ("timesteps", "bounds"))
    if proved is not None and not _is_window(proved):
        yield f"the window that quantize proved is {proved!r:.40}, not 1 to {LONGEST_WINDOW}"
    if bounds is not None and not isinstance(bounds, dict):
        yield f"the bounds that quantize proved are {bounds!r:.40}"


def _is_window(value: object) -> bool:
    return type(value) is int and 1 <= value <= LONGEST_WINDOW


def _apply(rules: tuple[Rule, ...], graph: Graph) -> list[str]:
    return [
        f"{node.name} ({node.op.mnemonic}) at {node.loc}: {problem}"
        for node in graph.nodes
        for rule in rules
        for problem in rule(graph, node)
    ]


def verify(graph: Graph) -> None:
    """Raise `GraphError` listing every broken rule, if any."""
    broken = problems(graph)
    if broken:
        raise GraphError("the graph breaks a rule of its stage:\n  " + "\n  ".join(broken))
